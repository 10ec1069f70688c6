// test/protocol/connection/hostile.test.ts — can a peer that breaks the rules crash, fill or spin us?
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FRAME, type FrameSink, parseFrames } from '../../../protocol/wire/frames.ts'
import { chosenSeed, Random } from '../../sim/random.ts'
import { RawPeer, readAll, type WriteFrames, writeStream } from './raw-peer.ts'

const test = suite('protocol: hostile peers')

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const closeCodeOf = (peer: RawPeer): number | null => {
  const closed = peer.events.find((event) => event.type === 'closed')
  return closed?.type === 'closed' ? (closed.error?.wireCode ?? 0) : null
}

const stream =
  (id: number, offset: number, lengthBytes: number, fin = false): WriteFrames =>
  (writer) =>
    writeStream(writer, { id, offset, bytes: Buffer.alloc(lengthBytes, 1), fin })

const reset =
  (id: number, finalSize: number): WriteFrames =>
  (writer) => {
    writer.u8(FRAME.resetStream)
    writer.u32(id)
    writer.varint(0)
    writer.u48(finalSize)
  }

const stopSendingOf = (peer: RawPeer, id: number): void =>
  peer.events.find((event) => event.type === 'accepted')?.connection.stopSending(id, 0)

/** The largest MAX_DATA that the acceptor has sent. */
function maxDataOf(peer: RawPeer): number {
  let limit = 3 << 19
  const sink = new Proxy({} as FrameSink, {
    get: (_, name) =>
      name === 'handleMaxData' ? (value: number) => (limit = Math.max(limit, value)) : () => {},
  })
  for (const packet of peer.heard) parseFrames(packet, 24, packet.length - 16, sink)
  return limit
}

test('packet numbers from the end of the range bring no process down', () => {
  for (const packetNumber of [2 ** 31, 2 ** 40, 2 ** 48 - 1, 2 ** 48, 2 ** 53, 2 ** 63]) {
    const peer = new RawPeer()
    const connection = peer.connect()
    peer.send((writer) => writer.u8(FRAME.ping), packetNumber)
    peer.send((writer) => writer.u8(FRAME.ping), 1_000)
    peer.pass(100)
    assert.is(connection.state, 'open')
  }
})

test('a packet that comes twice is no reason to wake up again and again', () => {
  const peer = new RawPeer()
  peer.connect()
  const packet = peer.makePacket((writer) => writer.u8(FRAME.ping))
  peer.deliver(packet)
  peer.turn()
  peer.pass(100)
  peer.deliver(packet)
  peer.turn()
  assert.ok(peer.pass(1_000) < 20, 'timeouts in a quiet second')
})

test('ACKs that come twice are not answered: two such ends would never be quiet', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.pass(1_000)
  const packet = peer.makePacket((writer) => writer.u8(FRAME.padding))
  peer.heard.length = 0
  for (let i = 0; i < 3; i += 1) peer.deliver(packet)
  peer.turn()
  assert.is(peer.heard.length, 0)
})

test('an ACK whose news are hours old still fits its field', () => {
  const peer = new RawPeer()
  peer.connect()
  for (let i = 0; i < 40; i += 1) peer.send((writer) => writer.u8(FRAME.ping))
  peer.heard.length = 0
  peer.deliver(peer.makePacket((writer) => writer.u8(FRAME.ping)))
  peer.nowMs += 2 * 3_600_000 // the process was stopped, and goes on with sending
  peer.transmit()
  assert.is(peer.heard.length, 1)
})

/** Bytes of array buffers that are still held, once the collector had its chance: it frees them on
 * threads of its own, a little later. */
async function heldBytes(enoughBytes: number): Promise<number> {
  let held = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 50 && held > enoughBytes; turn += 1) {
    collectGarbage()
    await new Promise((resolve) => setTimeout(resolve, 10))
    held = Math.min(held, process.memoryUsage().arrayBuffers)
  }
  return held
}

test('single bytes in padded datagrams cost what they are, not a datagram each', async () => {
  const peer = new RawPeer()
  const connection = peer.connect()
  const before = await heldBytes(0)
  for (let i = 0; i < 500; i += 1) {
    peer.deliver(peer.makePacket(stream(0, i, 1), undefined, 60_000))
    peer.deliver(peer.makePacket(stream(4, 2 * i + 1, 1), undefined, 60_000))
  }
  const grownBytes = (await heldBytes(before + 2 ** 20)) - before
  assert.ok(grownBytes < 2 ** 20, `${grownBytes} bytes are held for 1,000`)
  assert.is(readAll(connection, 0).length, 500)
})

test('holes without end are cut off: per stream, and over all streams', () => {
  const one = new RawPeer()
  one.connect()
  for (let i = 0; i < 2_000; i += 1) one.deliver(one.makePacket(stream(0, 2 * i + 1, 1)))
  one.turn()
  assert.is(closeCodeOf(one), 13)
  const many = new RawPeer()
  many.connect()
  for (let i = 0; i < 20_000; i += 1) {
    many.deliver(many.makePacket(stream(4 * (i % 100), 2 * Math.floor(i / 100) + 1, 1)))
  }
  many.turn()
  assert.is(closeCodeOf(many), 13)
})

test('a RESET_STREAM far behind the limits is a flow-control error', () => {
  const beyondStream = new RawPeer()
  beyondStream.connect()
  beyondStream.send(reset(0, 2 ** 40))
  assert.is(closeCodeOf(beyondStream), 3)
  const beyondConnection = new RawPeer()
  beyondConnection.connect()
  beyondConnection.send(stream(0, 0, 1_000))
  beyondConnection.send(stream(4, 1_000_000, 1_000))
  beyondConnection.send(reset(8, 1_000_000)) // 2 of 1.5 MiB
  assert.is(closeCodeOf(beyondConnection), 3)
})

test('bytes of a stopped stream give their credit back once, holes or not', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.send(stream(0, 0, 10))
  stopSendingOf(peer, 0)
  for (let offset = 2_000; offset < 1_000_000; offset += 2_000) peer.send(stream(0, offset, 1_000))
  peer.send(reset(0, 1_000_000))
  assert.is(closeCodeOf(peer), null)
  const limit = maxDataOf(peer)
  assert.ok(limit >= 0.75 * (3 << 19) + 1_000_000, `${limit}: the credit is back`)
  assert.ok(limit <= (3 << 19) + 1_000_000, `${limit}: not more than was sent`)
})

test('whole streams that nobody wanted leave the connection its credit', () => {
  const peer = new RawPeer()
  peer.connect()
  for (const id of [0, 4, 8]) {
    peer.send(stream(id, 0, 1))
    stopSendingOf(peer, id)
    for (let at = 0; at < 524_288; at += 16_384) {
      peer.send(stream(id, at, 16_384, at + 16_384 === 524_288))
    }
  }
  assert.is(maxDataOf(peer), 2 * (3 << 19), 'the window is open again')
})

test('a CLOSE whose reason is too long is no CLOSE', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.send((writer) => {
    writer.u8(FRAME.closeApplication)
    writer.varint(0)
    writer.u16(513)
    writer.raw(Buffer.alloc(513, FRAME.ping))
  })
  assert.is(closeCodeOf(peer), 7)
})

test('no frame of any bytes throws, whatever came before it', () => {
  const peer = new RawPeer()
  const random = new Random(chosenSeed(), 'garbage')
  for (let round = 0; round < 300; round += 1) {
    const fresh = new RawPeer()
    fresh.connect()
    for (let i = 0; i < 10; i += 1) {
      const bytes = random.bytes(1 + random.below(60))
      // Mostly frames that exist, so that their fields are what is random.
      bytes[0] = random.below(0x24)
      fresh.send((writer) => writer.raw(bytes))
    }
    fresh.pass(50)
  }
  assert.is(closeCodeOf(peer), null)
})

test('a flood of HELLOs takes a bounded number of places, which come back', () => {
  const peer = new RawPeer()
  for (let i = 0; i < 2_000; i += 1) peer.deliver(peer.makeHello())
  peer.turn()
  // One address, and none of them has proven it: the others get a RETRY.
  assert.ok(peer.endpoint.connectionCount <= 8, `${peer.endpoint.connectionCount} half-open`)
  assert.ok(peer.endpoint.stats.retries >= 1_900)
  assert.ok(peer.heard.length <= 256 + 64, `${peer.heard.length} answers`)
  peer.pass(11_000)
  assert.is(peer.endpoint.connectionCount, 0)
  peer.heard.length = 0
  assert.is(peer.connect().state, 'open')
})

test('the window is counted in datagrams of the size that both ends take', () => {
  const peer = new RawPeer({ mtuBytes: 65_507 })
  const connection = peer.connect({ mtuBytes: 1_200 })
  assert.is(connection.stats().mtuBytes, 1_200)
  assert.is(connection.stats().cwndBytes, 32 * 1_200)
})

test('nobody may allow more streams than there are ids', () => {
  for (const [limit, code] of [
    [2 ** 30, null],
    [2 ** 30 + 1, 7],
  ] as const) {
    const peer = new RawPeer()
    peer.connect()
    peer.send((writer) => {
      writer.u8(FRAME.maxStreams)
      writer.u8(0)
      writer.u32(limit)
    })
    assert.is(closeCodeOf(peer), code)
  }
  const greedy = new RawPeer()
  greedy.deliver(greedy.makeHello({ streamsMax: 2 ** 30 + 1 }))
  greedy.turn()
  assert.is(greedy.heard.length, 0)
})

const newCid =
  (sequence: number, retirePrior = 0): WriteFrames =>
  (writer) => {
    writer.u8(FRAME.newCid)
    writer.varint(sequence)
    writer.varint(retirePrior)
    writer.u32(1_000 + sequence)
    writer.u32(sequence)
    writer.raw(new Uint8Array(16))
  }

const retireCid =
  (sequence: number): WriteFrames =>
  (writer) => {
    writer.u8(FRAME.retireCid)
    writer.varint(sequence)
  }

test('connection ids beyond the eight that anyone needs close the connection', () => {
  const peer = new RawPeer()
  peer.connect()
  for (let sequence = 1; sequence <= 7; sequence += 1) peer.send(newCid(sequence))
  assert.is(closeCodeOf(peer), null)
  peer.send(newCid(8))
  assert.is(closeCodeOf(peer), 9)
})

test('connection ids that are retired as soon as they are given cost a bounded list', () => {
  const peer = new RawPeer()
  peer.connect()
  let sequence = 0
  while (closeCodeOf(peer) === null && sequence < 100) {
    sequence += 1
    peer.deliver(peer.makePacket(newCid(sequence, sequence)))
    for (let e = peer.endpoint.pollEvent(); e; e = peer.endpoint.pollEvent()) peer.events.push(e)
  }
  assert.ok(sequence <= 20, `${sequence} were taken`)
  assert.is(closeCodeOf(peer), 9)
})

test('what contradicts an id given before, or retires one never given, is no accident', () => {
  const lies: [WriteFrames, number][] = [
    [retireCid(77), 10],
    [retireCid(0), 10], // the one that the packet itself is addressed to
    [newCid(1, 5), 7],
    [(writer) => writer.u8(FRAME.handshakeDone), 10], // is the acceptor's to say
  ]
  for (const [lie, code] of lies) {
    const peer = new RawPeer()
    peer.connect()
    peer.send(lie)
    assert.is(closeCodeOf(peer), code)
  }
  const peer = new RawPeer()
  peer.connect()
  peer.send(newCid(1))
  peer.send((writer) => {
    newCid(2)(writer)
    writer.bytes[writer.offset - 26] = 1 // sequence 1 again, with the id of 2
  })
  assert.is(closeCodeOf(peer), 10)
})

test('retiring our spare ids again and again brings fresh ones, never more than three', () => {
  const peer = new RawPeer()
  const connection = peer.connect()
  for (let sequence = 1; sequence <= 200; sequence += 1) peer.send(retireCid(sequence))
  assert.is(connection.state, 'open')
  assert.is(peer.endpoint.connectionCount, 1)
})

test('a flood of path challenges gets four answers a packet at most', () => {
  const peer = new RawPeer()
  peer.connect()
  peer.heard.length = 0
  peer.send((writer) => {
    for (let i = 0; i < 100; i += 1) {
      writer.u8(FRAME.pathChallenge)
      writer.raw(new Uint8Array(8).fill(i))
    }
  })
  let answers = 0
  const sink = new Proxy({} as FrameSink, {
    get: (_, name) => (name === 'handlePathResponse' ? () => (answers += 1) : () => {}),
  })
  for (const packet of peer.heard) parseFrames(packet, 24, packet.length - 16, sink)
  assert.is(answers, 4)
})

test.run()
