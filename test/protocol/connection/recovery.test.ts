// test/protocol/connection/recovery.test.ts — which losses shrink the window, and which come back?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NewReno } from '../../../protocol/congestion/new-reno.ts'
import { Recovery } from '../../../protocol/connection/recovery.ts'
import type { SentFrame } from '../../../protocol/connection/sent-frame.ts'

const PACKET_BYTES = 1_000
const RTT_MS = 20
const frames: SentFrame[] = [{ kind: 8, id: 0, offset: 0, lengthBytes: 1, fin: false }]

class Bench {
  nowMs = 1_000
  lost: SentFrame[] = []
  readonly congestion = new NewReno(PACKET_BYTES)
  readonly recovery = new Recovery(0, this.congestion)
  readonly #fate = {
    handleFrameAcked: (): void => {},
    handleFrameLost: (frame: SentFrame): void => void this.lost.push(frame),
    handlePacketAcked: (): void => {},
    handlePacketLost: (): void => {},
  }

  /** Sends so many packets, `everyMs` apart; the number of the first. */
  send(count: number, everyMs = 0): number {
    const first = this.recovery.nextPacketNumber
    for (let i = 0; i < count; i += 1) {
      this.recovery.handleSent(this.nowMs, PACKET_BYTES, frames)
      this.nowMs += everyMs
    }
    return first
  }

  /** One ACK of these [low, high] pairs, highest first. */
  ack(...pairs: [number, number][]): boolean {
    const ranges = Float64Array.from(pairs.flat())
    const ack = { ranges, count: pairs.length, delayMs: 0, overtook: false }
    this.recovery.sampler.handleWindowFull(this.recovery.inFlightBytes)
    return this.recovery.handleAck(this.nowMs, ack, this.#fate)
  }

  timeout(): boolean {
    this.nowMs = Math.max(this.nowMs, this.recovery.timeoutMs())
    return this.recovery.handleTimeout(this.nowMs, this.#fate)
  }

  /** A round trip without trouble, so that there is a sample. */
  warmUp(): number {
    const first = this.send(4)
    this.nowMs += RTT_MS
    this.ack([first, first + 3])
    return first + 4
  }
}

const test = suite('protocol: recovery')

test('a packet that overtook others does not shorten the path, and those behind it lengthen it', () => {
  const bench = new Bench()
  const first = bench.warmUp()
  bench.send(3)
  bench.nowMs += 1
  bench.ack([first + 2, first + 2], [first - 4, first - 1])
  assert.is(bench.recovery.rtt.minMs, RTT_MS)
  bench.nowMs += RTT_MS
  bench.ack([first - 4, first + 2])
  assert.is(bench.recovery.rtt.latestMs, RTT_MS + 1)
})

test('losses with an arrival between them are no persistent congestion', () => {
  const bench = new Bench()
  const first = bench.warmUp()
  bench.send(40, 20) // 800 ms in which no ACK comes back
  bench.nowMs += RTT_MS
  // Every fourth is lost, over far more than three probe timeouts, but most arrived.
  const pairs: [number, number][] = []
  for (let low = first + 37; low > first; low -= 4) pairs.push([low, low + 2])
  bench.ack(...pairs)
  assert.ok(bench.recovery.packetsLost >= 9)
  assert.ok(bench.congestion.windowBytes > 20 * PACKET_BYTES, `${bench.congestion.windowBytes}`)
})

test('nothing through for three probe timeouts is persistent congestion', () => {
  const bench = new Bench()
  const first = bench.warmUp()
  bench.send(40, 20)
  bench.nowMs += RTT_MS
  bench.ack([first + 39, first + 39])
  // The window is the smallest one, and has grown by the packet that did arrive.
  assert.is(bench.congestion.windowBytes, 5 * PACKET_BYTES)
})

test('a false alarm is undone, also after losses that were real', () => {
  const bench = new Bench()
  bench.warmUp()
  const real = bench.send(10)
  bench.nowMs += RTT_MS
  bench.ack([real + 1, real + 9])
  assert.is(bench.recovery.packetsLost, 1)
  bench.nowMs += 10 * RTT_MS
  const windowBytes = bench.congestion.windowBytes
  const late = bench.send(10)
  bench.nowMs += RTT_MS
  bench.ack([late + 5, late + 9])
  assert.ok(bench.congestion.windowBytes < windowBytes, 'taken for lost')
  bench.ack([late, late + 9])
  assert.ok(bench.recovery.spuriousLosses > 0)
  assert.ok(bench.congestion.windowBytes >= windowBytes, 'it was only late')
})

test('a late packet of one episode does not undo the next one', () => {
  const bench = new Bench()
  bench.warmUp()
  const a = bench.send(10)
  bench.nowMs += RTT_MS
  bench.ack([a + 1, a + 9]) // a is late
  bench.nowMs += 1
  const b = bench.send(10)
  bench.nowMs += RTT_MS
  bench.ack([b + 1, b + 9], [a + 1, a + 9]) // b is lost for good
  const windowBytes = bench.congestion.windowBytes
  bench.ack([b + 1, b + 9], [a, a + 9])
  assert.is(bench.recovery.spuriousLosses, 1)
  assert.is(bench.congestion.windowBytes, windowBytes)
})

test('every packet ends acknowledged, lost or in flight, whatever the ACKs repeat', () => {
  const bench = new Bench()
  let state = 7
  const chance = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const arrived = new Set<number>()
  for (let round = 0; round < 400; round += 1) {
    const first = bench.send(20)
    for (let number = first; number < first + 20; number += 1) {
      if (chance() > 0.2) arrived.add(number)
    }
    bench.nowMs += 5
    const pairs: [number, number][] = []
    for (let high = first + 19; high >= 0 && pairs.length < 32; high -= 1) {
      if (!arrived.has(high)) continue
      let low = high
      while (arrived.has(low - 1)) low -= 1
      pairs.push([low, high])
      high = low
    }
    assert.ok(bench.ack(...pairs))
    const { packetsLost, packetsAcked, spuriousLosses, inFlightBytes } = bench.recovery
    const sent = first + 20
    assert.is(packetsLost + packetsAcked + inFlightBytes / PACKET_BYTES, sent, `round ${round}`)
    assert.is(spuriousLosses, 0)
  }
  assert.is(bench.recovery.packetsAcked, arrived.size)
})

test('an ACK of a number that was left out, or is yet to come, is a lie', () => {
  const bench = new Bench()
  bench.warmUp()
  const first = bench.send(3)
  bench.recovery.skip()
  bench.send(3)
  assert.not(bench.ack([first, first + 7]))
  assert.not(bench.ack([first, first + 5]))
  assert.ok(bench.ack([first + 4, first + 6], [first, first + 2]))
})

test('a probe repeats the oldest frames, and waits twice as long each time', () => {
  const bench = new Bench()
  bench.warmUp()
  bench.send(5)
  const waits: number[] = []
  for (let i = 0; i < 5; i += 1) {
    const beforeMs = bench.nowMs
    assert.ok(bench.timeout())
    waits.push(bench.nowMs - beforeMs)
    bench.send(1)
  }
  assert.is(bench.lost.length, 10)
  for (let i = 1; i < 5; i += 1)
    assert.ok(Math.abs(waits[i]! / waits[i - 1]! - 2) < 0.01, `${waits}`)
})

test('an overtaker’s time is no measure: the controller hears of its bytes with the next packet', () => {
  const bench = new Bench()
  bench.warmUp()
  const first = bench.send(10)
  bench.nowMs += RTT_MS / 2
  const heard: number[] = []
  bench.congestion.handleAck = (sample) => void heard.push(sample.ackedBytes)
  bench.ack([first + 2, first + 2])
  assert.equal(heard, [])
  bench.nowMs += RTT_MS / 2
  bench.ack([first, first + 9])
  assert.equal(heard, [10 * PACKET_BYTES])
})

test('two probes repeat what fits into them of large packets, not all of it', () => {
  const bench = new Bench()
  bench.warmUp()
  const large = { kind: 8, id: 0, offset: 0, lengthBytes: 65_000, fin: true }
  bench.recovery.handleSent(bench.nowMs, 65_053, [large])
  assert.ok(bench.timeout())
  const bytes = bench.lost.reduce((sum, frame) => sum + frame.lengthBytes, 0)
  assert.ok(bytes > 1_200 && bytes <= 2_400, `${bytes}`)
  assert.not(
    bench.lost.some((frame) => frame.fin),
    'its end is not among them',
  )
})

test('a lost probe of the MTU is no sign of congestion', () => {
  const bench = new Bench()
  bench.warmUp()
  const windowBytes = bench.congestion.windowBytes
  bench.recovery.handleSent(bench.nowMs, 9_000, frames, true)
  const first = bench.send(5)
  bench.nowMs += RTT_MS
  bench.ack([first, first + 4])
  assert.is(bench.lost.length, 1, 'whoever sent it is told')
  assert.is(bench.recovery.packetsLost, 1)
  assert.is(bench.recovery.sampler.lostBytes, 0)
  assert.ok(bench.congestion.windowBytes >= windowBytes)
  assert.is(bench.recovery.inFlightBytes, 0)
})

test('a peer that never acknowledges cannot make us remember for ever', () => {
  const bench = new Bench()
  bench.send(1)
  let sent = 0
  for (; !bench.recovery.isExhausted && sent < 2 ** 20; sent += 1) {
    bench.recovery.handleSent(bench.nowMs, 60, null) // ACKs of what it sends
  }
  assert.ok(sent < 300_000, `${sent} packets are remembered`)
  const healthy = new Bench()
  for (let round = 0; round < 2_000; round += 1) {
    const first = healthy.send(200)
    healthy.nowMs += 1
    healthy.ack([first + 1, first + 199]) // one of 200 is lost
    assert.not(healthy.recovery.isExhausted)
  }
})

test.run()
