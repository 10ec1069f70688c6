// test/protocol/connection/misbehaviour.test.ts — a peer breaks one rule: is it cut off, and nobody else?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import {
  FRAME,
  type FrameSink,
  type FrameWriter,
  parseFrames,
} from '../../../protocol/wire/frames.ts'
import { RawPeer, readAll, type WriteFrames, writeStream } from './raw-peer.ts'

const test = suite('protocol: misbehaviour')

const MIB = 2 ** 20
const FRAMES_PER_PACKET = 60

/** One peer that breaks rules and one that keeps them, at the same endpoint. */
class Pair {
  readonly bad = new RawPeer()
  readonly connection: Connection
  readonly #good: RawPeer
  readonly #goodConnection: Connection
  #goodStreams = 0

  constructor() {
    this.connection = this.bad.connect()
    this.#good = new RawPeer({}, this.bad)
    this.#goodConnection = this.#good.connect()
  }

  send(...frames: WriteFrames[]): void {
    for (const frame of frames) this.bad.send(frame)
  }

  /** The close code, 0 for none, null while the connection lives. */
  get closeCode(): number | null {
    const events = [...this.bad.events, ...this.#good.events]
    const closed = events.find(
      (event) => event.type === 'closed' && event.connection === this.connection,
    )
    return closed?.type === 'closed' ? (closed.error?.wireCode ?? 0) : null
  }

  /** A request of the good peer, and its answer. */
  mustServeTheOther(): void {
    this.#good.nowMs = Math.max(this.#good.nowMs, this.bad.nowMs)
    const id = 4 * this.#goodStreams
    this.#goodStreams += 1
    this.#good.send(stream(id, 0, 5, true))
    assert.is(this.#goodConnection.state, 'open')
    assert.is(this.#goodConnection.read(id, 100)?.length, 5, 'the other is not read')
    assert.is(this.#goodConnection.write(id, new Uint8Array(7)), 7)
    this.#good.heard.length = 0
    this.#good.turn()
    const sent = this.#good.heard.reduce((sum, { length }) => sum + length, 0)
    assert.ok(sent > 24 + 13 + 7, 'the other hears no answer')
    this.#goodConnection.finish(id)
    this.#good.pass(10)
    this.#good.acknowledge()
  }

  /** Long after it is over, nothing is left of it. */
  mustBeForgotten(): void {
    this.bad.pass(20_000)
    assert.is(this.endpointConnections, 1)
  }

  get endpointConnections(): number {
    return this.bad.endpoint.connectionCount
  }
}

const stream =
  (id: number, offset: number, lengthBytes: number, fin = false): WriteFrames =>
  (writer) =>
    writeStream(writer, { id, offset, bytes: Buffer.alloc(lengthBytes, 1), fin })

/** Fields: a number is a u32, [n] a u48, {v} a varint, {u8} a byte. */
type Field = number | [number] | { v: number } | { u8: number }

const frame =
  (type: number, ...fields: Field[]): WriteFrames =>
  (writer) => {
    writer.u8(type)
    for (const field of fields) {
      if (typeof field === 'number') writer.u32(field)
      else if (Array.isArray(field)) writer.u48(field[0])
      else if ('v' in field) writer.varint(field.v)
      else writer.u8(field.u8)
    }
  }

const reset = (id: number, finalSize: number): WriteFrames =>
  frame(FRAME.resetStream, id, { v: 7 }, [finalSize])

const ack = (largest: number, first = 0): WriteFrames =>
  frame(FRAME.ack, [largest], 0, { u8: 1 }, { v: first })

const filled = (id: number, fromBytes: number, toBytes: number): WriteFrames[] =>
  Array.from({ length: Math.ceil((toBytes - fromBytes) / 32_768) }, (_, i) => {
    const offset = fromBytes + i * 32_768
    return stream(id, offset, Math.min(32_768, toBytes - offset))
  })

const OURS_BIDI = 1
const OURS_UNI = 3
const PEER_UNI = 2

const OFFENCES: readonly [what: string, code: number, ...frames: WriteFrames[]][] = [
  ['a byte beyond the limit of its stream', 3, stream(0, MIB, 1)],
  ['a FIN beyond it that carries nothing', 3, stream(0, MIB + 1, 0, true)],
  [
    'more on two streams than the connection may carry',
    3,
    ...filled(0, 0, MIB),
    ...filled(4, 0, MIB / 2),
    stream(4, MIB / 2, 1),
  ],
  ['leaps on many streams that add up to too much', 3, ...leaps(4)],
  ['a reset that claims more than the limit', 3, reset(0, MIB + 1)],
  ['bytes behind the FIN', 6, stream(0, 0, 5, true), stream(0, 5, 1)],
  ['a FIN before the FIN', 6, stream(0, 3, 5, true), stream(0, 0, 4, true)],
  ['a FIN before what came', 6, stream(0, 0, 10), stream(0, 0, 5, true)],
  ['a reset below what came', 6, stream(0, 0, 10), reset(0, 5)],
  ['a reset of another size than the FIN', 6, stream(0, 3, 2, true), reset(0, 6)],
  ['a stream over the limit', 4, stream(4 * 1_024, 0, 1)],
  ['a one-way stream over the limit', 4, stream(4 * 1_024 + PEER_UNI, 0, 1)],
  ['a reset of a stream over the limit', 4, reset(4 * 1_024, 0)],
  ['a limit for a stream over the limit', 4, frame(FRAME.maxStreamData, 4 * 1_024, [9])],
  ['bytes on a stream that is ours to open', 5, stream(OURS_BIDI, 0, 1)],
  ['bytes on a one-way stream of ours', 5, stream(OURS_UNI, 0, 1)],
  ['a reset of a stream that is ours to open', 5, reset(OURS_BIDI, 0)],
  ['a limit for a stream of ours that is not open', 5, frame(FRAME.maxStreamData, OURS_BIDI, [9])],
  ['a limit for a one-way stream of its own', 5, frame(FRAME.maxStreamData, PEER_UNI, [9])],
  ['a stop to a one-way stream of its own', 5, frame(FRAME.stopSending, PEER_UNI, { v: 1 })],
  ['an ACK of what is yet to be sent', 10, ack(2 ** 40)],
  ['an ACK of everything below', 10, ack(2 ** 21, 2 ** 20)],
  ['HANDSHAKE_DONE, which is not its to say', 10, frame(FRAME.handshakeDone)],
  ['a frame type that nobody knows', 7, frame(0x3f)],
  ['half a frame', 7, frame(FRAME.maxData, 1)],
  ['an ACK without ranges', 7, frame(FRAME.ack, [5], 0, { u8: 0 })],
  ['an ACK below zero', 7, frame(FRAME.ack, [5], 0, { u8: 1 }, { v: 6 })],
  ['a varint of eight bytes', 7, frame(FRAME.retireCid, { u8: 0xc0 }, 0)],
]

/** Half a window each, with one byte sent. */
function leaps(streams: number): WriteFrames[] {
  return Array.from({ length: streams }, (_, i) => stream(4 * i, MIB / 2, 1))
}

for (const [what, code, ...frames] of OFFENCES) {
  test(`${what}: closed with code ${code}, and nobody else notices`, () => {
    const pair = new Pair()
    pair.send(...frames)
    assert.is(pair.closeCode, code)
    pair.mustServeTheOther()
    pair.mustBeForgotten()
    pair.mustServeTheOther()
  })
}

test('an ACK of a number that was left out on purpose: closed with code 10', () => {
  const pair = new Pair()
  const { bad } = pair
  const numbers: number[] = []
  bad.heard.length = 0
  for (let i = 0; i < 1_000 && pair.closeCode === null; i += 1) {
    pair.send(frame(FRAME.immediateAck))
    for (const packet of bad.heard.splice(0)) numbers.push(numberOf(packet))
    const [before = 0, now = 0] = numbers.slice(-2)
    if (now !== before + 2 || before === 0) continue
    pair.send(ack(now))
    assert.is(pair.closeCode, null, 'what was sent may be acknowledged')
    pair.send(ack(now - 1))
  }
  assert.is(pair.closeCode, 10)
  pair.mustServeTheOther()
})

test('acknowledging early gains nothing: the window grows by what was sent', () => {
  const pair = new Pair()
  const id = pair.connection.openStream('uni', 2)!
  pair.connection.write(id, new Uint8Array(2 * MIB))
  pair.bad.heard.length = 0
  pair.bad.turn()
  const sentBytes = pair.bad.heard.reduce((sum, { length }) => sum + length, 0)
  const largest = numberOf(pair.bad.heard.at(-1)!)
  const before = pair.connection.stats().cwndBytes
  for (let i = 0; i < 100; i += 1) pair.send(ack(largest, pair.bad.heard.length - 1))
  assert.ok(pair.connection.stats().cwndBytes <= before + sentBytes, 'the same ACK counts once')
  pair.send(ack(largest + 1_000))
  assert.is(pair.closeCode, 10)
})

const numberOf = (packet: Buffer): number => Number(packet.readBigUInt64BE(16))

/** How often each frame was heard. */
function heardFrames(peer: RawPeer): Map<string, number> {
  const counts = new Map<string, number>()
  const sink = new Proxy({} as FrameSink, {
    get: (_, name: string) => () => counts.set(name, (counts.get(name) ?? 0) + 1),
  })
  for (const packet of peer.heard.splice(0)) {
    if (packet.length > 40) parseFrames(packet, 24, packet.length - 16, sink)
  }
  return counts
}

function flood(pair: Pair, packets: number, write: (writer: FrameWriter, n: number) => void): void {
  for (let i = 0; i < packets; i += 1) {
    pair.send((writer) => {
      for (let j = 0; j < FRAMES_PER_PACKET; j += 1) write(writer, i * FRAMES_PER_PACKET + j)
    })
  }
}

/** No flood of these may close the connection, as each alone is legal, or cost more than itself. */
const FLOODS: readonly [what: string, write: (writer: FrameWriter, n: number) => void][] = [
  [
    'STREAM_PRIORITY of all streams',
    (w, n) => frame(FRAME.streamPriority, n, { u8: n & 255 }, { u8: 1 })(w),
  ],
  ['BLOCKED by the connection', (w, n) => frame(FRAME.dataBlocked, [n])(w)],
  ['BLOCKED by streams that nobody opened', (w, n) => frame(FRAME.streamDataBlocked, n, [n])(w)],
  ['BLOCKED by the number of streams', (w, n) => frame(FRAME.streamsBlocked, { u8: n & 1 }, n)(w)],
  ['limits that go down again', (w, n) => frame(FRAME.maxData, [2 ** 40 - n])(w)],
  [
    'limits of streams that go up by one',
    (w, n) => frame(FRAME.maxStreamData, 0, [2 ** 21 + n])(w),
  ],
  ['limits of the number of streams', (w, n) => frame(FRAME.maxStreams, { u8: n & 1 }, n)(w)],
  ['answers to challenges never made', (w, n) => frame(FRAME.pathResponse, n, n)(w)],
  ['challenges', (w, n) => frame(FRAME.pathChallenge, n, n)(w)],
  ['DRAIN', (w, n) => frame(FRAME.drain, n)(w)],
  [
    'wishes for other ACKs',
    (w, n) => frame(FRAME.ackFrequency, { v: n }, { v: 1 }, { v: 1 }, { v: 1 })(w),
  ],
  ['wishes for ACKs at once', (w) => frame(FRAME.immediateAck)(w)],
  ['datagrams', (w) => frame(FRAME.datagram, { u8: 2 }, { u8: 0 }, { u8: 1 }, { u8: 1 })(w)],
  ['empty pieces of one stream', (w, n) => stream(0, n % 1_000, 0)(w)],
  ['stops of a stream that is stopped', (w) => frame(FRAME.stopSending, 0, { v: 3 })(w)],
]

for (const [what, write] of FLOODS) {
  test(`a flood of frames: ${what}: an answer a packet at most, and then silence`, () => {
    const pair = new Pair()
    pair.bad.heard.length = 0
    const packets = 500
    flood(pair, packets, write)
    assert.is(pair.closeCode, null)
    const heard = pair.bad.heard.length
    assert.ok(heard <= packets + 50, `${heard} packets for ${packets}`)
    const frames = heardFrames(pair.bad)
    for (const [name, count] of frames) {
      if (name !== 'handlePadding') assert.ok(count <= 4 * packets, `${name}: ${count}`)
    }
    pair.mustServeTheOther()
    assert.ok(pair.bad.pass(1_000) < 100, 'quiet again')
  })
}

test('BLOCKED and credit do not play ping-pong: once answered, both ends are silent', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.send(stream(0, 0, 5))
  peer.send(frame(FRAME.dataBlocked, [5]))
  peer.send(frame(FRAME.streamDataBlocked, 0, [5]))
  peer.pass(1_000)
  const numbers = peer.heard.map(numberOf)
  const frames = heardFrames(peer)
  assert.ok((frames.get('handleMaxData') ?? 0) >= 1, 'it is told the limit again')
  assert.ok((frames.get('handleMaxStreamData') ?? 0) >= 1)
  const largest = Math.max(...numbers)
  peer.send(ack(largest, largest - Math.min(...numbers)))
  peer.heard.length = 0
  peer.pass(11_000)
  assert.is(peer.heard.length, 0)
})

test('streams opened and reset for ever: over the limit while we have not ended our half', () => {
  const pair = new Pair()
  for (let i = 0; i < 1_024; i += 1) pair.send(reset(4 * i, 0))
  assert.is(pair.closeCode, null)
  pair.send(reset(4 * 1_024, 0))
  assert.is(pair.closeCode, 4)
  pair.mustServeTheOther()
  pair.mustBeForgotten()
})

test('20,000 one-way streams opened and reset within their limit leave nothing behind', () => {
  const pair = new Pair()
  for (let i = 0; i < 20_000; i += 1) {
    pair.bad.deliver(pair.bad.makePacket(reset(4 * i + PEER_UNI, 100)))
    if (i % 100 === 99) {
      pair.bad.turn()
      pair.bad.events.length = 0
      pair.bad.heard.length = 0
    }
  }
  assert.is(pair.connection.state, 'open')
  const { streams } = pair.connection as unknown as { streams: { isEmpty: boolean } }
  assert.ok(streams.isEmpty)
  pair.mustServeTheOther()
})

test('pieces that overlap, straddle and repeat, byte by byte and backwards, give the bytes once', () => {
  const pair = new Pair()
  const content = Buffer.from(Array.from({ length: 3_000 }, (_, i) => (i * 7) & 255))
  const piece =
    (start: number, end: number): WriteFrames =>
    (writer) =>
      writeStream(writer, {
        id: 0,
        offset: start,
        bytes: content.subarray(start, Math.min(end, content.length)),
        fin: end >= content.length,
      })
  for (let at = content.length - 1; at >= 2_000; at -= 1) pair.send(piece(at, at + 1))
  for (let at = 1_990; at >= 0; at -= 13) pair.send(piece(at, at + 40), piece(at + 5, at + 9))
  for (let at = 0; at < content.length; at += 700) pair.send(piece(at, at + 1_400))
  assert.is(pair.closeCode, null)
  assert.ok(readAll(pair.connection, 0).equals(content))
  assert.ok(pair.connection.isReadFinished(0))
})

test('a drip of an hour holds its bytes and its place, and keeps nobody from anything', () => {
  const pair = new Pair()
  for (let second = 0; second < 3_600; second += 1) {
    pair.bad.nowMs += 1_000
    pair.bad.turn()
    pair.send(stream(0, second, 1))
    if (second % 20 === 0) pair.mustServeTheOther()
    pair.bad.heard.length = 0
  }
  assert.is(pair.closeCode, null)
  assert.is(readAll(pair.connection, 0).length, 3_600)
})

test.run()
