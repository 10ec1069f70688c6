// test/protocol/congestion/rate-sampler.test.ts — is the rate that the path delivers measured right?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RateSampler } from '../../../protocol/congestion/rate-sampler.ts'

const BYTES = 1_000
const RTT_MS = 20

/** Packets pass a path of a fixed rate; each is acknowledged when it has. */
class Bench {
  readonly sampler = new RateSampler(4_096)
  inFlightBytes = 0
  readonly #sentMs: number[] = []

  constructor() {
    this.sampler.sample.minRttMs = RTT_MS
  }

  send(nowMs: number): number {
    const index = this.#sentMs.length % 4_096
    this.sampler.handleSending(nowMs, this.inFlightBytes)
    this.inFlightBytes += BYTES
    this.sampler.handleSent(index, this.inFlightBytes)
    this.#sentMs.push(nowMs)
    return this.#sentMs.length - 1
  }

  /** The rate after these packets, the last of them the newest. */
  ack(nowMs: number, first: number, last = first): number {
    const count = last - first + 1
    this.inFlightBytes -= count * BYTES
    this.sampler.deliveredBytes += count * BYTES
    this.sampler.handleDelivered(nowMs, last % 4_096, this.#sentMs[last]!)
    return this.sampler.sample.deliveryRate
  }
}

const test = suite('congestion: delivery rate')

test('a burst is measured at the rate at which its acknowledgements come', () => {
  const bench = new Bench()
  for (let i = 0; i < 50; i += 1) bench.send(0)
  let rate = 0
  for (let i = 0; i < 50; i += 1) rate = bench.ack(RTT_MS + i, i)
  assert.ok(Math.abs(rate - (50 * BYTES) / (RTT_MS + 49)) < 1e-9, 'the first flight counts')
  for (let i = 50; i < 150; i += 1) {
    bench.send(RTT_MS + i)
    if (i >= 70) rate = bench.ack(RTT_MS + i, i - 20)
  }
  assert.ok(Math.abs(rate - BYTES) < 100, `${rate} of 1000 bytes per ms`)
})

test('acknowledgements that come in a heap do not show a rate that was never sent', () => {
  const bench = new Bench()
  for (let i = 0; i < 40; i += 1) bench.send(i)
  const rate = bench.ack(100, 0, 39)
  assert.ok(rate <= BYTES * (40 / 39), `${rate}`)
  for (let i = 40; i < 80; i += 1) bench.send(100 + i)
  assert.ok(bench.ack(200, 40, 79) <= BYTES * (40 / 39), 'the second heap')
})

test('less than a round trip tells nothing', () => {
  const bench = new Bench()
  bench.send(0)
  assert.is(bench.ack(RTT_MS / 2, 0), 0)
})

test('what is measured across a lack of data is marked, until a packet sent after it is through', () => {
  const bench = new Bench()
  bench.send(0)
  bench.sampler.handleDry(1)
  bench.send(10)
  bench.ack(RTT_MS, 0)
  assert.not(bench.sampler.sample.isAppLimited)
  bench.ack(10 + RTT_MS, 1)
  assert.ok(bench.sampler.sample.isAppLimited, 'the packet after the gap')
  bench.send(40)
  bench.send(40)
  bench.ack(60, 2)
  bench.send(61)
  bench.ack(62, 3)
  bench.ack(85, 4)
  assert.not(bench.sampler.sample.isAppLimited, 'the gap has left the path')
})

test('to wait for the pacer, or for a writer’s turn of the loop, is no lack of data', () => {
  const bench = new Bench()
  bench.send(0)
  bench.sampler.handleDry(5) // the pacer would not have let anything go before
  bench.send(5.5)
  bench.ack(26, 0, 1)
  assert.not(bench.sampler.sample.isAppLimited)
})

test('counters do not wrap at 4 GiB', () => {
  const bench = new Bench()
  bench.sampler.deliveredBytes = 2 ** 32 - 5 * BYTES
  bench.sampler.lostBytes = 2 ** 33
  for (let i = 0; i < 20; i += 1) bench.send(i)
  let rate = 0
  for (let i = 0; i < 20; i += 1) rate = bench.ack(RTT_MS + i, i)
  assert.ok(rate > 0 && rate < 2 * BYTES, `${rate}`)
  assert.is(bench.sampler.sample.deliveredTotalBytes, 2 ** 32 + 15 * BYTES)
  assert.is(bench.sampler.sample.lostSinceBytes, 0)
})

test('lost since it was sent: what the newest packet saw, less what turned out to have arrived', () => {
  const bench = new Bench()
  for (let i = 0; i < 4; i += 1) bench.send(i)
  assert.is(bench.sampler.describeLost(0, BYTES, 0).lostSinceBytes, BYTES)
  assert.is(bench.sampler.describeLost(1, BYTES, 1).lostSinceBytes, 2 * BYTES)
  bench.sampler.handleSpurious(BYTES)
  bench.ack(30, 3)
  assert.is(bench.sampler.sample.lostSinceBytes, BYTES)
})

test.run()
