// test/protocol/connection/ack-state.test.ts — does the sender hear in time, and not more than it asked?
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AckState } from '../../../protocol/connection/ack-state.ts'
import { type FrameSink, FrameWriter, parseFrames } from '../../../protocol/wire/frames.ts'

const RTT_MS = 20
const EAGER_PACKETS = 32
const PACKET_BYTES = 1_400
const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`protocol: acknowledging, replay with SEED=${seed}`)

class Bench {
  nowMs = 1_000
  next = 0
  readonly acks = new AckState()
  readonly told = new Set<number>()

  /** Past the first packets, each of which is acknowledged at once. */
  static started(): Bench {
    const bench = new Bench()
    for (let i = 0; i < EAGER_PACKETS; i += 1) bench.receive(bench.next)
    bench.tell()
    return bench
  }

  /** Milliseconds until the ACK is due; Infinity: none is. */
  receive(number: number, isEliciting = true): number {
    this.acks.handlePacket(this.nowMs, number, isEliciting, RTT_MS)
    this.next = Math.max(this.next, number + 1)
    return this.acks.pollTimeout() - this.nowMs
  }

  /** Sends the ACK. */
  tell(): void {
    const writer = new FrameWriter(Buffer.alloc(PACKET_BYTES))
    writer.end = PACKET_BYTES
    assert.ok(this.acks.write(this.nowMs, writer))
    const note: Partial<FrameSink> = {
      handleAck: (ranges, count) => {
        for (let i = 0; i < count; i += 1) {
          for (let n = ranges[2 * i]!; n <= ranges[2 * i + 1]!; n += 1) this.told.add(n)
        }
      },
    }
    assert.is(parseFrames(writer.bytes, 0, writer.offset, note as FrameSink), null)
  }
}

test('in order, every tenth packet and nothing for 5 ms: few ACKs on a clean path', () => {
  const bench = Bench.started()
  for (let i = 1; i < 10; i += 1) assert.is(bench.receive(bench.next), 5)
  assert.is(bench.receive(bench.next), 0)
})

test('a gap is told at once, and so is the packet that fills it: loss is repaired in one round trip', () => {
  const bench = Bench.started()
  assert.is(bench.receive(bench.next + 1), 0)
  bench.tell()
  assert.is(bench.receive(bench.next), 5, 'the gap was told')
  assert.is(bench.receive(EAGER_PACKETS), 0, 'the late one')
})

test('after a silence the first packet is acknowledged at once: the sender learns the round trip', () => {
  const bench = Bench.started()
  bench.nowMs += RTT_MS + 1
  assert.is(bench.receive(bench.next), 0)
  bench.tell()
  assert.is(bench.receive(bench.next), 5)
})

test('packets that oblige nobody are never acknowledged by themselves: no ACK of an ACK', () => {
  const bench = Bench.started()
  for (let i = 0; i < 100; i += 1) {
    assert.is(bench.receive(bench.next + 1, false), Number.POSITIVE_INFINITY)
  }
})

test('the peer gets ACKs as seldom as it asks for, and no older wish comes back', () => {
  const bench = Bench.started()
  bench.acks.setPolicy(3, 40, 12, 1)
  bench.acks.setPolicy(2, 2, 1, 1)
  for (let i = 1; i < 40; i += 1) assert.is(bench.receive(bench.next), 12)
  assert.is(bench.receive(bench.next), 0)
})

test('who asks for an ACK per year still gets one in time: its own data would not flow', () => {
  const bench = Bench.started()
  bench.acks.setPolicy(0, 2 ** 30 - 1, 2 ** 30, 2)
  assert.is(bench.receive(bench.next), 25)
  for (let i = 2; i < 256; i += 1) assert.ok(bench.receive(bench.next) > 0)
  assert.is(bench.receive(bench.next), 0)
})

test('a gap within the announced reordering waits: a path that reorders is not flooded with ACKs', () => {
  const bench = Bench.started()
  bench.acks.setPolicy(0, 1_000, 25, 8)
  const missing = bench.next
  for (let i = 1; i < 8; i += 1) assert.is(bench.receive(missing + i), 25, `${i} behind`)
  assert.is(bench.receive(missing + 8), 0, 'now the sender would take it for lost')
  bench.tell()
  assert.is(bench.receive(missing + 9), 25, 'told')
  assert.is(bench.receive(missing), 0, 'the sender has given it up, and should hear')
})

test('reordering 0 means that order does not matter at all', () => {
  const bench = Bench.started()
  bench.acks.setPolicy(0, 1_000, 25, 0)
  for (let i = 1; i < 10; i += 1) assert.is(bench.receive(bench.next + 3), 25)
  assert.is(bench.receive(EAGER_PACKETS), 25)
})

test('17 new gaps are told at once, whatever was asked', () => {
  const bench = Bench.started()
  bench.acks.setPolicy(0, 200, 25, 1_000)
  let gaps = 0
  while (bench.receive(bench.next + 1) > 0) gaps += 1
  assert.is(gaps + 1, 16)
})

test('a range with news is told before it falls out of memory: no good packet is sent again', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 800 }), (steps) => {
      const bench = Bench.started()
      bench.acks.setPolicy(0, 256, 25, 0)
      const received: number[] = []
      for (const step of steps) {
        const number = bench.next + step - 1
        received.push(number)
        if (bench.receive(number) <= 0) bench.tell()
      }
      if (bench.acks.isWorthwhile) bench.tell()
      assert.ok(received.every((number) => bench.told.has(number)))
    }),
    { seed, numRuns: 100 },
  )
})

test('an ACK is due exactly when the sender would find a loss that it was not told (RFC draft)', () => {
  const shuffled = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.boolean()), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(shuffled, fc.integer({ min: 2, max: 12 }), (picks, reorder) => {
      const bench = Bench.started()
      bench.acks.setPolicy(0, 256, 25, reorder)
      const received = new Set(Array.from({ length: EAGER_PACKETS }, (_, i) => i))
      let largestTold = EAGER_PACKETS - 1
      for (const [ahead, tells] of picks) {
        const number = EAGER_PACKETS - 4 + received.size - EAGER_PACKETS + ahead
        if (bench.acks.isDuplicate(number)) continue
        received.add(number)
        const isLate = number <= largestTold - reorder
        const dueMs = bench.receive(number)
        const largest = bench.next - 1
        let isLost = false
        for (let n = largestTold - reorder + 1; n <= largest - reorder; n += 1) {
          isLost ||= n >= 0 && !received.has(n)
        }
        if (isLost || isLate) assert.is(dueMs, 0)
        else if (received.size < EAGER_PACKETS + 12) assert.is(dueMs, 25)
        if (dueMs > 0 && !tells) continue
        bench.tell()
        largestTold = largest
      }
    }),
    { seed, numRuns: 500 },
  )
})

test.run()
