// test/protocol/connection/pacer.test.ts — do packets leave at the rate, on slow and on fast paths?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NewReno } from '../../../protocol/congestion/new-reno.ts'
import { Pacer } from '../../../protocol/connection/pacer.ts'
import { RttEstimator } from '../../../protocol/connection/rtt.ts'

const SEGMENT = 1_472

function bench(rateBytesPerMs: number, rttMs = 50, queueMs = Number.POSITIVE_INFINITY): Pacer {
  const congestion = Object.assign(new NewReno(SEGMENT), { queueMs })
  congestion.pacingRateBytesPerMs = rateBytesPerMs
  const rtt = new RttEstimator()
  rtt.handleSample(rttMs, 0, false)
  return new Pacer({ congestion, rtt }, SEGMENT)
}

/** Sends whatever may leave, woken when the pacer says, so much later; bytes. */
function run(pacer: Pacer, forMs: number, lateMs: (wake: number) => number): number {
  let nowMs = 0
  let sent = 0
  for (let wake = 0; nowMs < forMs; wake += 1) {
    while (pacer.roomBytes(nowMs) > 0) {
      pacer.handleSent(SEGMENT)
      sent += SEGMENT
    }
    nowMs = pacer.releaseMs(nowMs) + lateMs(wake)
  }
  return sent
}

const test = suite('protocol: pacer')

for (const [name, rate] of [
  ['400 kbit/s', 50],
  ['10 Mbit/s', 1_250],
  ['1 Gbit/s', 125_000],
] as const) {
  test(`${name}: the rate is kept, with exact timers and with late ones`, () => {
    const forMs = Math.max(1_000, (200 * SEGMENT) / rate)
    for (const late of [() => 0, () => 0.4, (wake: number) => (wake % 5 === 0 ? 5 : 0.1)]) {
      const share = run(bench(rate), forMs, late) / (forMs * rate)
      assert.ok(share > 0.97 && share < 1.05, `${share} of the rate`)
    }
  })
}

test('after a pause two milliseconds’ worth may leave at once, and two packets at least', () => {
  for (const rate of [50, 12_500]) {
    const pacer = bench(rate)
    pacer.roomBytes(0)
    pacer.handleDry()
    assert.is(pacer.roomBytes(10_000), Math.max(2 * SEGMENT, 2 * rate))
  }
})

test('a sender that was kept waiting makes up for 8 ms, and says when it was more', () => {
  const rate = 12_500
  const pacer = bench(rate)
  const drain = (nowMs: number): void => {
    while (pacer.roomBytes(nowMs) > 0) pacer.handleSent(SEGMENT)
  }
  drain(0)
  const dueMs = pacer.releaseMs(0)
  drain(dueMs + 5)
  assert.not(pacer.hasFallenBehind)
  assert.is(pacer.roomBytes(dueMs + 5 + 30), 8 * rate)
  assert.ok(pacer.hasFallenBehind)
})

test('… but no burst is longer than the queue that it falls into', () => {
  const rate = 12_500
  for (const [queueMs, madeUpMs] of [
    [0.1, 2],
    [5, 5],
    [50, 8],
  ] as const) {
    const pacer = bench(rate, 50, queueMs)
    while (pacer.roomBytes(0) > 0) pacer.handleSent(SEGMENT)
    assert.is(pacer.roomBytes(100), madeUpMs * rate)
  }
})

test('within a machine nothing is paced', () => {
  const pacer = bench(10, 0.1)
  assert.is(pacer.roomBytes(0), Number.POSITIVE_INFINITY)
  pacer.handleSent(1e9)
  assert.is(pacer.releaseMs(5), 5)
})

test.run()
