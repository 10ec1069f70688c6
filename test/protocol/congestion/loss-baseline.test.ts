// test/protocol/congestion/loss-baseline.test.ts — what does a path lose anyway, and what is too much?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LossBaseline } from '../../../protocol/congestion/loss-baseline.ts'
import { chosenSeed, Random } from '../../sim/random.ts'

const SEGMENT = 1_000
const ROUND = 400

/** Rounds of 400 packets on a path that loses `ratio`, in bursts of so many. */
function learn(seed: number, ratio: number, burst: number, rounds = 60, isOn = true): LossBaseline {
  const baseline = new LossBaseline(isOn)
  const random = new Random(seed, 'baseline')
  for (let round = 0; round < rounds; round += 1) {
    let lost = 0
    for (let i = 0; i < ROUND; i += 1) if (random.chance(ratio / burst)) lost += burst
    lost = Math.min(lost, ROUND)
    baseline.handleQuiet(lost * SEGMENT, (ROUND - lost) * SEGMENT)
    baseline.handleRound(SEGMENT)
  }
  return baseline
}

const allowed = (baseline: LossBaseline): number => baseline.allowedBytes(ROUND * SEGMENT) / SEGMENT

const seed = chosenSeed()
const test = suite(`congestion: loss baseline, replay with SEED=${seed}`)

test('without losses it is the draft: 2 %', () => {
  assert.is(allowed(learn(seed, 0, 1)), 0.02 * ROUND)
  assert.is(allowed(learn(seed, 0.05, 1, 60, false)), 0.02 * ROUND, 'switched off')
})

test('5 % of random loss is found, and 2 to 4 % more are allowed', () => {
  const baseline = learn(seed, 0.05, 1)
  assert.ok(Math.abs(baseline.ratio - 0.05) < 0.015, `${baseline.ratio}`)
  const share = allowed(baseline) / ROUND - baseline.ratio
  assert.ok(share >= 0.0199 && share <= 0.0401, `${share}`)
})

test('bursts may lose more in one round than the same loss one by one', () => {
  const spread = learn(seed, 0.01, 1, 200)
  const bursts = learn(seed, 0.01, 8, 200)
  assert.ok(allowed(bursts) - bursts.ratio * ROUND > allowed(spread) - spread.ratio * ROUND)
})

test('it believes in 12 % at most, so that a full queue is noticed at last', () => {
  const baseline = learn(seed, 0.4, 1)
  assert.is(baseline.ratio, 0.12)
  assert.ok(allowed(baseline) <= 0.161 * ROUND)
})

test('a path that got better is known within some ten rounds', () => {
  const baseline = learn(seed, 0.05, 1)
  for (let round = 0; round < 60; round += 1) {
    baseline.handleQuiet(0, ROUND * SEGMENT)
    baseline.handleRound(SEGMENT)
  }
  assert.ok(baseline.ratio < 0.005, `${baseline.ratio}`)
})

test('one loss among the first packets says little', () => {
  const baseline = new LossBaseline(true)
  baseline.handleQuiet(SEGMENT, 9 * SEGMENT)
  baseline.handleRound(SEGMENT)
  assert.ok(baseline.ratio < 0.02, `${baseline.ratio}`)
})

test.run()
