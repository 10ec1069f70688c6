// test/protocol/congestion/cubic.test.ts — does the window follow RFC 9438 and RFC 9406?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { AckSample } from '../../../protocol/congestion/controller.ts'
import { Cubic } from '../../../protocol/congestion/cubic.ts'
import { RateSampler } from '../../../protocol/congestion/rate-sampler.ts'

const SEGMENT = 1_000
const RTT_MS = 100

class Bench {
  readonly cubic = new Cubic(SEGMENT)
  readonly #sample: AckSample = { ...new RateSampler(1).sample }
  nowMs = 1_000
  rttMs = RTT_MS
  #delivered = 0

  /** A round trip in which a whole window is acknowledged in steps. */
  round(isWindowLimited = true): void {
    const windowBytes = this.cubic.windowBytes
    const steps = 10
    const prior = this.#delivered
    for (let i = 0; i < steps; i += 1) {
      this.nowMs += RTT_MS / steps
      this.#delivered += windowBytes / steps
      Object.assign(this.#sample, {
        nowMs: this.nowMs,
        sentMs: this.nowMs - this.rttMs,
        rttMs: this.rttMs,
        smoothedRttMs: this.rttMs,
        ackedBytes: windowBytes / steps,
        priorDeliveredBytes: prior,
        deliveredTotalBytes: this.#delivered,
        isWindowLimited,
      })
      this.cubic.handleAck(this.#sample)
    }
  }

  lose(): boolean {
    return this.cubic.handleLosses(this.nowMs, this.nowMs - 1)
  }

  get segments(): number {
    return this.cubic.windowBytes / SEGMENT
  }
}

const test = suite('congestion: CUBIC')

test('the window doubles each round trip until something is lost, then is 0.7 of what it was', () => {
  const bench = new Bench()
  bench.round()
  assert.is(bench.segments, 64)
  bench.round()
  assert.is(bench.segments, 128)
  assert.ok(bench.lose())
  assert.ok(Math.abs(bench.segments - 89.6) < 0.001, `${bench.segments}`)
  assert.not(bench.cubic.isSlowStart)
  assert.not(bench.cubic.handleLosses(bench.nowMs + 1, bench.nowMs - 5), 'one episode, one step')
})

test('it is back at its old size after K seconds, flat there, and goes on beyond', () => {
  const bench = new Bench()
  for (let i = 0; i < 5; i += 1) bench.round() // 1,024 segments: Reno would take half a minute
  const before = bench.segments
  bench.lose()
  const plateauS = Math.cbrt((before * 0.3) / 0.4)
  const rounds = Math.round((plateauS * 1_000) / RTT_MS)
  const grown: number[] = []
  for (let i = 0; i < rounds + 10; i += 1) {
    const was = bench.segments
    bench.round()
    grown.push(bench.segments - was)
    if (i === rounds) assert.ok(Math.abs(bench.segments / before - 1) < 0.02, `${bench.segments}`)
  }
  assert.ok(grown[1]! > 5 * grown[rounds - 2]!, 'steep at first, flat where it was before')
  assert.ok(grown.at(-1)! > grown[rounds - 2]!, 'and steeper again')
})

test('on a small window it grows no slower than Reno', () => {
  const bench = new Bench()
  bench.lose()
  const before = bench.segments
  for (let i = 0; i < 40; i += 1) bench.round()
  // 3 (1 − 0.7) / (1 + 0.7) of a segment each round trip, a whole one above the old size.
  assert.ok(bench.segments > before + 30, `${before} to ${bench.segments}`)
})

test('who gives way twice in a row gives a little more', () => {
  const bench = new Bench()
  for (let i = 0; i < 3; i += 1) bench.round()
  bench.lose()
  bench.nowMs += 1_000
  bench.round()
  const lower = bench.segments
  bench.lose()
  for (let i = 0; i < 100 && bench.segments < lower * 0.86; i += 1) bench.round()
  const near = bench.segments
  bench.round()
  assert.ok(bench.segments - near < lower * 0.02, 'the curve is flat below the size before')
})

test('time in which the window limits nobody does not make it grow', () => {
  const bench = new Bench()
  for (let i = 0; i < 3; i += 1) bench.round()
  bench.lose()
  bench.round()
  const before = bench.segments
  for (let i = 0; i < 200; i += 1) bench.round(false)
  assert.is(bench.segments, before)
  bench.round()
  assert.ok(bench.segments < before * 1.1, `${bench.segments}: 20 s of silence count for nothing`)
})

test('a false alarm is undone', () => {
  const bench = new Bench()
  for (let i = 0; i < 3; i += 1) bench.round()
  const before = bench.segments
  bench.lose()
  bench.cubic.undo()
  assert.is(bench.segments, before)
  assert.ok(bench.cubic.isSlowStart)
})

test('slow start ends by a longer round trip, before anything is lost', () => {
  const bench = new Bench()
  bench.round()
  bench.rttMs = RTT_MS * 1.2
  bench.round()
  bench.round()
  assert.is(bench.cubic.state, 'conservative_slow_start')
  const before = bench.segments
  bench.round()
  assert.ok(bench.segments / before < 1.3, 'a quarter of the growth')
  for (let i = 0; i < 6; i += 1) bench.round()
  assert.is(bench.cubic.state, 'congestion_avoidance')
})

test('a longer round trip that was only jitter does not end it', () => {
  const bench = new Bench()
  bench.round()
  bench.rttMs = RTT_MS * 1.2
  bench.round()
  bench.round()
  bench.rttMs = RTT_MS
  bench.round()
  assert.is(bench.cubic.state, 'slow_start')
})

test.run()
