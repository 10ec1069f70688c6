// protocol/connection/handshakes.ts — how do two ends that know nothing of each other get a connection?
//
//   initiator            HELLO ──►            acceptor
//   waits, repeats it    ◄── ACCEPT | REFUSED | VERSIONS
//   open                 DATA (PING) ──►      open
//                        ◄── DATA (HANDSHAKE_DONE)

import {
  KEY_BYTES,
  mac1,
  type Parameters,
  readAccept,
  readCid,
  readHello,
  replyTag,
  writeAccept,
  writeHello,
} from '../handshake/messages.ts'
import { type Address, type PeerAddress, TransportError } from '../types.ts'
import { packetCrc } from '../wire/crc.ts'
import {
  HELLO_BYTES_MIN,
  LONG_HEADER_BYTES,
  PACKET,
  TAG_BYTES,
  VERSION,
  writeHeader,
} from '../wire/header.ts'
import type { Transmit } from './api.ts'
import type { ConnectionCore } from './connection.ts'
import type { EndpointCore } from './endpoint.ts'
import { ACK_DELAY_MS_ADVERTISED } from './limits.ts'

const HELLO_INTERVAL_MS = 300
const HELLO_INTERVAL_MS_MAX = 3_000
const HALF_OPEN_MAX = 256
const REFUSALS_QUEUED_MAX = 64

export const REFUSAL = { busy: 1, badToken: 2, wrongVersion: 3, draining: 4 } as const

interface Outgoing {
  readonly to: PeerAddress
  readonly hello: Buffer
  readonly ephemeral: Uint8Array
  readonly deadlineMs: number
  intervalMs: number
  nextMs: number
}

interface Incoming {
  readonly key: string
  readonly accept: Buffer
  readonly deadlineMs: number
  owed: boolean
  establish: (nowMs: number) => void
}

/** The handshakes under way on one endpoint. */
export class Handshakes {
  readonly #endpoint: EndpointCore
  readonly #outgoing = new Map<ConnectionCore, Outgoing>()
  readonly #incoming = new Map<ConnectionCore, Incoming>()
  /** By the HELLO's ephemeral key: a repeated HELLO gets the same answer. */
  readonly #byEphemeral = new Map<string, ConnectionCore>()
  #refusals: { packet: Buffer; to: Address }[] = []

  constructor(endpoint: EndpointCore) {
    this.#endpoint = endpoint
  }

  #parameters(): Parameters {
    const { limits, options, mtuBytes } = this.#endpoint
    return {
      version: VERSION,
      idleTimeoutMs: limits.idleTimeoutMs,
      ackDelayMsMax: ACK_DELAY_MS_ADVERTISED,
      streamWindowBytes: limits.streamWindowBytes,
      connectionWindowBytes: limits.connectionWindowBytes,
      streamsMax: limits.streamsMax,
      mtuBytes,
      crc: options.crc ?? 'full',
    }
  }

  begin(nowMs: number, connection: ConnectionCore, to: PeerAddress): void {
    const { identity, options, limits } = this.#endpoint
    const ephemeral = Uint8Array.prototype.slice.call(options.random(KEY_BYTES))
    const packet = Buffer.alloc(HELLO_BYTES_MIN + 1024)
    const { publicKey, certificate } = identity
    const hello = { ephemeral, publicKey, certificate, parameters: this.#parameters() }
    const length = writeHello(packet, hello, new Uint8Array(0))
    const bytes = packet.subarray(0, length)
    const dcid: readonly [number, number] = [this.#random32(), this.#random32()]
    writeLong(bytes, PACKET.hello, dcid, connection.localCid)
    mac1(bytes, to.publicKey).copy(bytes, length - TAG_BYTES)
    finishCrc(bytes)
    this.#outgoing.set(connection, {
      to,
      hello: bytes,
      ephemeral,
      deadlineMs: nowMs + limits.handshakeTimeoutMs,
      intervalMs: HELLO_INTERVAL_MS,
      nextMs: nowMs,
    })
  }

  #random32(): number {
    return this.#endpoint.randomBelow(2 ** 32)
  }

  handleHello(nowMs: number, packet: Buffer, from: Address): void {
    const endpoint = this.#endpoint
    const expected = mac1(packet, endpoint.identity.publicKey)
    if (expected.compare(packet, packet.length - TAG_BYTES) !== 0) return
    const hello = readHello(packet)
    if (!hello) {
      endpoint.stats.malformed += 1
      return
    }
    const key = Buffer.from(hello.ephemeral).toString('hex')
    const known = this.#byEphemeral.get(key)
    if (known) {
      const incoming = this.#incoming.get(known)
      if (incoming) incoming.owed = true
      return
    }
    const remoteCid = cidOf(packet, 24)
    const reason = this.#refusalReason(hello.parameters)
    if (reason !== null) {
      this.#refuse(reason, { from, remoteCid, ephemeral: hello.ephemeral })
      return
    }
    const connection = endpoint.newConnection(nowMs, from, false)
    const crc =
      hello.parameters.crc === 'header' && endpoint.options.crc === 'header' ? 'header' : 'full'
    const theirs = { ...hello.parameters, crc } as Parameters
    connection.crcMode = crc // its first DATA packet opens the connection, and is checked so
    this.#byEphemeral.set(key, connection)
    this.#incoming.set(connection, {
      key,
      accept: this.#makeAccept(connection, remoteCid, crc),
      deadlineMs: nowMs + endpoint.limits.handshakeTimeoutMs,
      owed: true,
      establish: (at) => connection.establish(at, hello, theirs, remoteCid),
    })
  }

  #refusalReason(theirs: Parameters): number | null {
    const endpoint = this.#endpoint
    if (theirs.version !== VERSION) return REFUSAL.wrongVersion
    if (endpoint.refuses) return REFUSAL.draining
    if (endpoint.options.accepts === false) return REFUSAL.busy
    if (endpoint.connectionCount >= endpoint.limits.connectionsMax) return REFUSAL.busy
    return this.#incoming.size >= HALF_OPEN_MAX ? REFUSAL.busy : null
  }

  #makeAccept(
    connection: ConnectionCore,
    remoteCid: readonly [number, number],
    crc: 'full' | 'header',
  ): Buffer {
    const { identity, options } = this.#endpoint
    const packet = Buffer.alloc(2048)
    const length = writeAccept(packet, {
      ephemeral: options.random(KEY_BYTES),
      certificate: identity.certificate,
      parameters: { ...this.#parameters(), crc },
    })
    const bytes = packet.subarray(0, length)
    writeLong(bytes, PACKET.accept, remoteCid, connection.localCid)
    finishCrc(bytes)
    return bytes
  }

  #refuse(
    reason: number,
    to: { from: Address; remoteCid: readonly [number, number]; ephemeral: Uint8Array },
  ): void {
    this.#endpoint.stats.refused += 1
    if (this.#refusals.length >= REFUSALS_QUEUED_MAX) return
    const packet = Buffer.alloc(LONG_HEADER_BYTES + 1 + TAG_BYTES)
    writeLong(packet, PACKET.refused, to.remoteCid, [0, 0])
    packet[LONG_HEADER_BYTES] = reason
    replyTag(packet.subarray(LONG_HEADER_BYTES, LONG_HEADER_BYTES + 1), to.ephemeral).copy(
      packet,
      LONG_HEADER_BYTES + 1,
    )
    finishCrc(packet)
    this.#refusals.push({ packet, to: to.from })
  }

  /** An answer to our HELLO. Whatever does not prove that it saw the HELLO is ignored. */
  handleReply(
    nowMs: number,
    connection: ConnectionCore,
    reply: { type: number; packet: Buffer; version: number },
  ): void {
    const outgoing = this.#outgoing.get(connection)
    if (!outgoing || this.#isGivenUp(connection)) return
    if (reply.type === PACKET.accept) {
      const accept = readAccept(reply.packet)
      if (!accept || accept.parameters.version !== VERSION) return
      this.#outgoing.delete(connection)
      const peer = { publicKey: outgoing.to.publicKey, certificate: accept.certificate }
      connection.establish(nowMs, peer, accept.parameters, cidOf(reply.packet, 24))
      this.#endpoint.emit({ type: 'connected', connection })
    } else if (
      reply.type === PACKET.refused &&
      reply.packet.length >= LONG_HEADER_BYTES + 1 + TAG_BYTES
    ) {
      const body = reply.packet.subarray(LONG_HEADER_BYTES, LONG_HEADER_BYTES + 1)
      const tag = replyTag(body, outgoing.ephemeral)
      if (tag.compare(reply.packet, LONG_HEADER_BYTES + 1, LONG_HEADER_BYTES + 1 + TAG_BYTES) !== 0)
        return
      const why = Object.entries(REFUSAL).find(([, code]) => code === body[0])?.[0] ?? 'unknown'
      this.#endpoint.failed(
        nowMs,
        connection,
        new TransportError('ERR_HOLDFAST_REFUSED', `the peer refused the connection: ${why}`),
      )
    }
  }

  /** True when the connection is open now. */
  handleFirstData(nowMs: number, connection: ConnectionCore): boolean {
    const incoming = this.#incoming.get(connection)
    if (!incoming) return false
    this.#incoming.delete(connection)
    incoming.establish(nowMs)
    this.#endpoint.emit({ type: 'accepted', connection })
    return true
  }

  handleTimeout(nowMs: number): void {
    for (const [connection, outgoing] of this.#outgoing) {
      if (this.#isGivenUp(connection) || nowMs < outgoing.deadlineMs) continue
      const { host, port } = outgoing.to
      const detail = `no answer from ${host}:${port}`
      this.#endpoint.failed(
        nowMs,
        connection,
        new TransportError('ERR_HOLDFAST_HANDSHAKE_TIMEOUT', detail),
      )
    }
    for (const [connection, incoming] of this.#incoming) {
      if (nowMs < incoming.deadlineMs) continue
      connection.state = 'closed' // Nobody was told of it yet.
      this.#endpoint.forget(connection)
    }
  }

  /** The caller closed it before there was an answer: say nothing more, and hear nothing. */
  #isGivenUp(connection: ConnectionCore): boolean {
    return connection.state === 'closed'
  }

  forget(connection: ConnectionCore): void {
    this.#outgoing.delete(connection)
    this.#incoming.delete(connection)
    for (const [key, known] of this.#byEphemeral)
      if (known === connection) this.#byEphemeral.delete(key)
  }

  pollTimeout(): number {
    let due = Number.POSITIVE_INFINITY
    for (const [connection, outgoing] of this.#outgoing) {
      if (!this.#isGivenUp(connection)) due = Math.min(due, outgoing.nextMs, outgoing.deadlineMs)
    }
    for (const incoming of this.#incoming.values()) due = Math.min(due, incoming.deadlineMs)
    return due
  }

  pollTransmit(nowMs: number, out: Buffer, transmit: Transmit): number {
    const refusal = this.#refusals.shift()
    if (refusal) {
      transmit.to = refusal.to
      return refusal.packet.copy(out)
    }
    for (const [connection, outgoing] of this.#outgoing) {
      if (this.#isGivenUp(connection)) continue
      if (nowMs < outgoing.nextMs) continue
      outgoing.nextMs = nowMs + outgoing.intervalMs
      outgoing.intervalMs = Math.min(outgoing.intervalMs * 2, HELLO_INTERVAL_MS_MAX)
      transmit.to = outgoing.to
      return outgoing.hello.copy(out)
    }
    for (const [connection, incoming] of this.#incoming) {
      if (!incoming.owed) continue
      incoming.owed = false
      transmit.to = connection.remote
      return incoming.accept.copy(out)
    }
    return 0
  }
}

function writeLong(
  packet: Buffer,
  type: number,
  dcid: readonly [number, number],
  scid: readonly [number, number],
): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const header = { version: VERSION, type, keyPhase: 0, lengthBytes: packet.length }
  writeHeader(view, { ...header, cidLow: dcid[0], cidHigh: dcid[1], packetNumber: 0 })
  view.setUint32(24, scid[0], true)
  view.setUint32(28, scid[1], true)
}

const finishCrc = (packet: Buffer): void => {
  packet.writeUInt32LE(packetCrc(packet, 'full'), 12)
}

function cidOf(packet: Buffer, at: number): readonly [number, number] {
  const cid = readCid(packet, at)
  return [cid.readUInt32LE(0), cid.readUInt32LE(4)]
}
