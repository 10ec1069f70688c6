// test/fuzz/targets/packets.ts — what can datagrams do to a live endpoint?
import * as assert from 'node:assert/strict'
import type { Endpoint, EndpointEvent } from '../../../protocol/connection/api.ts'
import { createCoreEndpoint } from '../../../protocol/connection/endpoint.ts'
import {
  encodeAccept,
  encodeHello,
  encodeRefused,
  encodeRetry,
  encodeVersions,
} from '../../../protocol/handshake/messages.ts'
import { NoiseInitiator } from '../../../protocol/handshake/noise.ts'
import { encodePayload } from '../../../protocol/handshake/payload.ts'
import { prologueOf } from '../../../protocol/handshake/prologue.ts'
import { chacha20Poly1305 } from '../../../protocol/protection/chacha20-poly1305.ts'
import { FRAME } from '../../../protocol/wire/frames.ts'
import { PACKET } from '../../../protocol/wire/header.ts'
import { RawPeer, writeStream } from '../../protocol/connection/raw-peer.ts'
import { plainSuite } from '../../sim/plain-suite.ts'
import { Random } from '../../sim/random.ts'
import { identityOf } from '../../support/identity.ts'
import { asPacket, withCrcs, withMac1, withReplyTag } from '../repair.ts'
import { Choices, coarse, type Target } from '../target.ts'
import { everyFrame } from './frames.ts'
import { PAYLOAD } from './handshake.ts'

const SERVER_KEY = identityOf(2).publicKey
const HELLO_BYTES_MIN = 1_200
/** A driver that has to turn more often in a tenth of a second is spinning. */
const TURNS_MAX = 1_000

/** How the acceptor's connection ended, and what the application heard. */
function outcomeOf(peer: RawPeer): string {
  const closed = peer.events.find((event) => event.type === 'closed')
  const heard = [...new Set(peer.events.map((event) => event.type.slice(0, 8)))].sort().join()
  const code = closed?.type === 'closed' ? closed.error?.wireCode : undefined
  return coarse(`${heard} `) + (closed?.type === 'closed' ? `${code} ${coarse(closed.reason)}` : '')
}

function settle(peer: RawPeer): void {
  const turns = peer.pass(100)
  assert.ok(turns < TURNS_MAX, `${turns} turns in 100 ms`)
  assert.ok(peer.endpoint.connectionCount <= 70, `${peer.endpoint.connectionCount} connections`)
}

const tally = (peer: RawPeer): string =>
  Object.entries(peer.endpoint.stats)
    .filter(([, count]) => count > 0)
    .map(([name]) => name)
    .join()

/** As they come, and with their CRCs made good. */
const datagrams: Target = {
  name: 'datagrams',
  inputsInTest: 500,
  sizeBytesMax: 3_000,
  seeds: () => {
    const peer = new RawPeer()
    peer.connect()
    const ping = peer.makePacket((writer) => writer.u8(FRAME.ping))
    const data = peer.makePacket((writer) =>
      writeStream(writer, { id: 0, offset: 0, bytes: Buffer.from('hello'), fin: true }),
    )
    const all = peer.makePacket((writer) => writer.raw(everyFrame()))
    const versions = encodeVersions({ dcid: [1, 2], scid: [3, 4] })
    const reset = asPacket(Buffer.alloc(45, 7), PACKET.reset)
    return [Buffer.concat([ping, data, ping]), all, peer.makeHello(), versions, reset]
  },
  run(input) {
    const peer = new RawPeer()
    peer.connect()
    for (const datagram of [input, withCrcs(input)]) {
      peer.deliver(datagram)
      peer.turn()
    }
    settle(peer)
    return `${tally(peer)} ${outcomeOf(peer)}`
  },
}

/** A script: frames of the peer, calls of the application, and time. */
const session: Target = {
  name: 'session',
  inputsInTest: 500,
  sizeBytesMax: 1_200,
  seeds: () => {
    const frames = everyFrame()
    const send = (bytes: Uint8Array): number[] => [0, bytes.length, ...bytes]
    const stream = [FRAME.stream, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 2, 3]
    return [
      Buffer.from(send(frames.subarray(0, 200))),
      Buffer.from([...send(Buffer.from(stream)), 4, 5, 0, 200, 7, 50, ...send(frames)]),
      Buffer.from([5, 3, 255, 5, 3, 255, 6, 0, 1, 7, 255, ...send(Buffer.from(stream))]),
    ]
  },
  run(input) {
    const peer = new RawPeer()
    const connection = peer.connect()
    const choices = new Choices(input)
    const streams: number[] = []
    while (!choices.isOver) {
      const kind = choices.u8() % 8
      if (kind < 4) {
        const frames = choices.take(choices.u8())
        peer.send((writer) => writer.raw(frames))
      } else if (kind === 4) {
        for (const event of peer.events) {
          if (event.type === 'stream-readable') connection.read(event.streamId, 2 ** 20)
        }
      } else if (kind === 5) {
        const id = connection.openStream(choices.u8() % 2 === 0 ? 'bidi' : 'uni', 2)
        if (id !== null) streams.push(id)
        for (const each of streams) connection.write(each, new Uint8Array(choices.u8() * 16))
        if (choices.u8() % 4 === 0 && id !== null) connection.finish(id)
      } else if (kind === 6) {
        const id = choices.u8()
        if (choices.u8() % 2 === 0) connection.reset(id, 7)
        else connection.stopSending(id, 7)
      } else peer.nowMs += choices.u8() * 4
      peer.turn()
      peer.heard.length = 0
    }
    settle(peer)
    return `${connection.state} ${outcomeOf(peer)}`
  },
}

/** Bodies of HELLOs with a good length, CRC and mac1. */
const hello: Target = {
  name: 'hello',
  sizeBytesMax: 1_500,
  seeds: () => [new RawPeer().makeHello().subarray(2)],
  run(input) {
    const packet = Buffer.alloc(Math.max(HELLO_BYTES_MIN, input.length + 2))
    input.copy(packet, 2)
    const version = packet[1] ?? 0
    asPacket(packet, PACKET.hello)
    if (input.length % 7 === 6) packet[1] = (version & 0xe0) | (PACKET.hello << 1)
    const peer = new RawPeer({ alwaysRetry: input.length % 2 === 1 })
    peer.deliver(withMac1(packet, SERVER_KEY))
    peer.turn()
    const sentBytes = peer.heard.reduce((sum, { length }) => sum + length, 0)
    assert.ok(sentBytes <= packet.length, 'an answer longer than the HELLO')
    const types = peer.heard.map((heard) => (heard[1]! >> 1) & 15)
    peer.pass(11_000)
    assert.equal(peer.endpoint.connectionCount, 0, 'a half-open connection stays')
    return `${tally(peer)} ${types.join()}`
  },
}

/** Whatever may stand in a message 1 that opens. */
const helloPayload: Target = {
  name: 'hello-payload',
  inputsInTest: 500,
  sizeBytesMax: 1_000,
  seeds: () => [encodePayload(PAYLOAD)],
  run(input) {
    const cids = { dcid: [7, 7], scid: [8, 8], token: new Uint8Array(0) } as const
    const noise = new NoiseInitiator({
      prologue: prologueOf(cids),
      keys: identityOf(1),
      remoteKey: SERVER_KEY,
      ephemeralSecret: new Uint8Array(32).fill(5),
    })
    const message = noise.writeMessage1(input)!
    const peer = new RawPeer()
    peer.deliver(encodeHello({ ...cids, message, serverKey: SERVER_KEY }))
    peer.turn()
    const answer = peer.heard[0]
    if (!answer || ((answer[1]! >> 1) & 15) !== PACKET.accept) return `none ${tally(peer)}`
    // Open it, so that what the parameters say is used.
    const data = Buffer.alloc(41)
    answer.copy(data, 4, 24, 32)
    data[24] = FRAME.ping
    peer.deliver(asPacket(data, PACKET.data))
    const accepted = peer.events.concat(drain(peer.endpoint)).find((e) => e.type === 'accepted')
    if (accepted?.type !== 'accepted') return 'not opened'
    const { connection } = accepted
    const id = connection.openStream('bidi', 2)
    if (id !== null) connection.write(id, new Uint8Array(5_000))
    peer.turn()
    peer.pass(1_000)
    return `open ${connection.state} ${id === null} ${peer.heard.length > 2}`
  },
}

function drain(endpoint: Endpoint): EndpointEvent[] {
  const events: EndpointEvent[] = []
  for (let event = endpoint.pollEvent(); event; event = endpoint.pollEvent()) events.push(event)
  return events
}

const FROM = { host: '10.0.0.2', port: 2 }

/** A dialling endpoint, its HELLO, and a way to answer it. */
function dialler() {
  const random = new Random(1, 'dialler')
  const endpoint = createCoreEndpoint({
    identity: identityOf(1),
    suites: [plainSuite],
    random: (lengthBytes) => random.bytes(lengthBytes),
  })
  const connection = endpoint.connect(0, { ...FROM, publicKey: SERVER_KEY })
  const out = { bytes: new Uint8Array(65_536), lengthBytes: 0, segmentBytes: 0, to: FROM }
  const transmit = (nowMs: number): Buffer | null =>
    endpoint.pollTransmit(nowMs, out) ? Buffer.from(out.bytes.subarray(0, out.lengthBytes)) : null
  const first = transmit(0)!
  return { endpoint, connection, transmit, first, ephemeral: first.subarray(35, 67) }
}

/** Type and body of an answer to a HELLO; CIDs, tag and CRC are made good. */
const replies: Target = {
  name: 'replies',
  inputsInTest: 500,
  sizeBytesMax: 600,
  seeds: () => {
    const { first, ephemeral } = dialler()
    const cids = { dcid: [1, 2], scid: [3, 4] } as const
    const peer = new RawPeer()
    peer.deliver(first)
    peer.turn()
    const token = new Uint8Array(30)
    const packets = [
      peer.heard[0] ?? encodeAccept({ ...cids, message: new Uint8Array(100) }),
      encodeRetry({ ...cids, token, ephemeral }),
      encodeRefused({ dcid: cids.dcid, reason: 1, ephemeral }),
      encodeVersions(cids),
      asPacket(Buffer.alloc(45, 7), PACKET.reset),
    ]
    return packets.map((packet) => Buffer.concat([packet.subarray(1, 2), packet.subarray(24)]))
  },
  run(input) {
    const { endpoint, connection, transmit, first, ephemeral } = dialler()
    const packet = Buffer.alloc(Math.max(40, 24 + input.length - 1))
    const type = ((input[0] ?? 0) >> 1) & 15
    input.subarray(1).copy(packet, 24)
    first.copy(packet, 4, 24, 32)
    asPacket(packet, type)
    if (type === PACKET.retry || type === PACKET.refused) withReplyTag(packet, ephemeral)
    endpoint.handleDatagram(1, packet, FROM)
    const events = drain(endpoint).map((event) => event.type)
    let sent = 0
    for (let nowMs = 1; nowMs < 12_000 && sent < 100; ) {
      while (transmit(nowMs)) sent += 1
      nowMs = Math.max(nowMs + 1, Math.min(endpoint.pollTimeout(), 12_000))
      endpoint.handleTimeout(nowMs)
    }
    assert.ok(sent < 50, `${sent} packets while dialling`)
    events.push(...drain(endpoint).map((event) => event.type))
    return `${type} ${events.join()} ${connection.state}`
  },
}

const KEY = chacha20Poly1305.makeKey(Buffer.alloc(32, 1), Buffer.alloc(4, 2))

/** A sealed packet with anything changed never opens. */
const sealedPacket: Target = {
  name: 'sealed-packet',
  sizeBytesMax: 200,
  seeds: () => [sealedSeed()],
  run(input) {
    if (input.length < 40) return 'short'
    const packet = Buffer.from(input)
    if (!KEY.open(packet, 0, packet.length)) return 'forged'
    const seed = sealedSeed()
    // Not covered by the seal: the length field and the CRC, which come before it.
    for (const bytes of [seed, input]) bytes.fill(0, 2, 4).fill(0, 12, 16)
    assert.ok(seed.equals(input), 'a packet that nobody sealed has opened')
    return 'opened'
  },
}

function sealedSeed(): Buffer {
  const packet = Buffer.alloc(70, 3)
  KEY.seal(packet, 0, packet.length - 16)
  return packet
}

export const packetTargets: readonly Target[] = [
  datagrams,
  session,
  hello,
  helloPayload,
  replies,
  sealedPacket,
]
