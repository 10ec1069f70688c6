// test/protocol/connection/scheduler.test.ts — who is sent first, and who is never forgotten?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Scheduler } from '../../../protocol/connection/scheduler.ts'
import { SendStream } from '../../../protocol/connection/send-stream.ts'

const PACKET_BYTES = 1_400
const test = suite('protocol: order of sending')

class Bench {
  readonly scheduler = new Scheduler()
  readonly sent = new Map<SendStream, number>()
  /** Streams in the order in which they got a packet. */
  readonly order: SendStream[] = []
  /** New bytes that the connection's limit still allows. */
  creditBytes = Number.POSITIVE_INFINITY
  #next = 0

  stream(urgency: number, bytes: number, limitBytes = Number.POSITIVE_INFINITY): SendStream {
    const stream = new SendStream(4 * this.#next, urgency, limitBytes)
    this.#next += 1
    stream.write(new Uint8Array(bytes))
    this.scheduler.add(stream)
    return stream
  }

  /** One packet; the stream that began it. */
  packet(): SendStream | undefined {
    let room = PACKET_BYTES
    let first: SendStream | undefined
    this.scheduler.visit((stream) => {
      if (room === 0) return -1
      const before = stream.nextOffset
      const piece = stream.take(room, this.creditBytes)
      if (piece === null) return 0
      this.creditBytes -= stream.nextOffset - before
      first ??= stream
      room -= piece.lengthBytes
      this.sent.set(stream, (this.sent.get(stream) ?? 0) + piece.lengthBytes)
      return piece.lengthBytes
    })
    if (first) this.order.push(first)
    return first
  }

  bytes = (stream: SendStream): number => this.sent.get(stream) ?? 0
}

test('what is urgent leaves before what is not, however much waits', () => {
  const bench = new Bench()
  const bulk = bench.stream(5, 1e6)
  for (let i = 0; i < 100; i += 1) bench.packet()
  const control = bench.stream(0, 100)
  assert.is(bench.packet(), control)
  assert.is(bench.packet(), bulk)
})

test('the last class gets a twentieth of the bytes, not of the packets', () => {
  const bench = new Bench()
  const urgent = bench.stream(2, 1e8)
  bench.stream(4, 1e8)
  const repair = bench.stream(7, 1e8)
  for (let i = 0; i < 2_000; i += 1) bench.packet()
  const ratio = bench.bytes(repair) / (bench.bytes(urgent) + bench.bytes(repair))
  assert.ok(ratio >= 0.05 && ratio < 0.055, `${(100 * ratio).toFixed(2)} %`)
})

test('the last class saves up at most 64 KiB while it has nothing to say', () => {
  const bench = new Bench()
  const repair = bench.stream(7, 100)
  bench.stream(2, 1e9)
  for (let i = 0; i < 10_000; i += 1) bench.packet()
  repair.write(new Uint8Array(1e6))
  bench.scheduler.add(repair)
  const before = bench.bytes(repair)
  for (let i = 0; i < 100; i += 1) bench.packet()
  assert.ok(bench.bytes(repair) - before <= 65_536 + 0.06 * 100 * PACKET_BYTES)
})

test('streams of one urgency take turns of 64 KiB', () => {
  const bench = new Bench()
  const [a, b] = [bench.stream(5, 1e6), bench.stream(5, 1e6)]
  const perTurn = Math.ceil(65_536 / PACKET_BYTES)
  for (let i = 0; i < 2 * perTurn; i += 1) bench.packet()
  assert.equal([...new Set(bench.order.slice(0, perTurn))], [a])
  assert.equal([...new Set(bench.order.slice(perTurn))], [b])
})

test('a stream that a limit holds back keeps its turn', () => {
  const bench = new Bench()
  const held = bench.stream(5, 1e6)
  bench.stream(5, 1e6)
  bench.creditBytes = 0
  assert.is(bench.packet(), undefined)
  bench.creditBytes = 1e6
  assert.is(bench.packet(), held)
})

test('what was lost leaves before anything new of the same urgency, not before what is more urgent', () => {
  const bench = new Bench()
  const fresh = bench.stream(5, 1e6)
  const loser = bench.stream(5, 1e6)
  while (bench.bytes(loser) < 20_000) bench.packet()
  const urgent = bench.stream(1, PACKET_BYTES)
  loser.handleLost(0, 2 * PACKET_BYTES, false)
  bench.scheduler.add(loser)
  bench.creditBytes = 0 // what is repeated needs none
  urgent.limit = Number.POSITIVE_INFINITY
  assert.is(bench.packet(), loser, 'the urgent one is held back here')
  bench.creditBytes = 1e6
  assert.is(bench.packet(), urgent)
  assert.is(bench.packet(), loser)
  assert.ok([fresh, loser].includes(bench.packet()!))
})

test('a stream that is removed, or changes its urgency, is where it should be', () => {
  const bench = new Bench()
  const [a, b] = [bench.stream(5, 1e6), bench.stream(5, 1e6)]
  bench.packet()
  a.handleLost(0, 100, false)
  bench.scheduler.add(a)
  bench.scheduler.remove(a)
  assert.is(bench.packet(), b)
  a.urgency = 1
  bench.scheduler.add(a)
  assert.is(bench.packet(), a)
  bench.scheduler.remove(a)
  bench.scheduler.remove(b)
  assert.is(bench.scheduler.isEmpty, true)
})

test.run()
