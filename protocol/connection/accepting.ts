// protocol/connection/accepting.ts — which HELLO becomes a connection, and what does a bad one cost?
//
// Each step is cheaper than the next: length and CRC (the endpoint's), mac1, the token where one is
// demanded, known ephemeral keys, and only then Diffie-Hellman. An answer is never longer than
// the HELLO, and goes out once for each that came: nobody is hit with more than was sent in his name.
import {
  type Cid,
  decodeHello,
  encodeAccept,
  encodeRefused,
  encodeRetry,
  encodeVersions,
  hasMac1,
  REFUSAL,
  sourceCidOf,
} from '../handshake/messages.ts'
import { KEY_BYTES, MESSAGE_1_OVERHEAD_BYTES, NoiseResponder } from '../handshake/noise.ts'
import {
  decodePayload,
  encodePayload,
  type Parameters,
  type Payload,
} from '../handshake/payload.ts'
import { prologueOf } from '../handshake/prologue.ts'
import { firstCidOf, RetryTokens } from '../handshake/retry-tokens.ts'
import type { Address } from '../types.ts'
import { VERSION } from '../wire/header.ts'
import type { Transmit } from './api.ts'
import type { ConnectionCore } from './connection.ts'
import type { EndpointCore } from './endpoint.ts'
import { RateLimit } from './rate-limit.ts'
import { isLoopback, sourceOf } from './source.ts'

const HALF_OPEN_MAX = 256
/** From here on a HELLO must prove its address: at most so many spoofed ones hold a place. */
const HALF_OPEN_UNPROVEN_MAX = 64
const HALF_OPEN_UNPROVEN_PER_SOURCE_MAX = 8
/** Diffie-Hellman costs 0.2 ms, whatever comes of it: so often for those who have proven nothing. */
const UNPROVEN_PER_SECOND_MAX = 256
/** Whoever has the wrong key is told so, if few others are: it may be a node of another cluster. */
const WRONG_KEYS_PER_SECOND_MAX = 10
const REPLIES_QUEUED_MAX = 64
/** A HELLO that is replayed within this time gets no second place. */
const EPHEMERAL_KEPT_MS = 60_000
const EPHEMERALS_KEPT_MAX = 4_096

interface HalfOpen {
  readonly ephemeral: string
  readonly source: string
  readonly accept: Buffer
  readonly from: Address
  readonly deadlineMs: number
  /** Answers owed, one for each HELLO. */
  isOwed: boolean
  readonly establish: (nowMs: number) => void
}

interface Seen {
  readonly ephemeral: Buffer
  readonly dcid: Cid
  readonly scid: Cid
  readonly token: Buffer
  readonly message: Buffer
  readonly from: Address
  /** The whole HELLO. */
  readonly packet: Buffer
}

export class Accepting {
  readonly #endpoint: EndpointCore
  readonly #tokens: RetryTokens
  readonly #unprovenRate = new RateLimit(UNPROVEN_PER_SECOND_MAX)
  readonly #wrongKeyRate = new RateLimit(WRONG_KEYS_PER_SECOND_MAX)
  readonly #halfOpen = new Map<ConnectionCore, HalfOpen>()
  readonly #unprovenBySource = new Map<string, number>()
  /** Ephemeral key → until when it is remembered, and whose it is while half open. */
  readonly #seen = new Map<string, { untilMs: number; connection: ConnectionCore | null }>()
  readonly #replies: { packet: Buffer; to: Address }[] = []

  constructor(endpoint: EndpointCore) {
    this.#endpoint = endpoint
    this.#tokens = new RetryTokens(endpoint.options.random)
  }

  /** A HELLO of at least 1200 bytes with a good CRC. */
  handleHello(nowMs: number, packet: Buffer, hello: { version: number; dcid: Cid; from: Address }) {
    const { stats, identity } = this.#endpoint
    const { from, dcid } = hello
    if (hello.version !== VERSION) {
      this.#reply(encodeVersions({ dcid: sourceCidOf(packet), scid: dcid }), from)
      return
    }
    const isForUs = hasMac1(packet, identity.publicKey)
    if (!isForUs) {
      stats.badMac1 += 1
      if (!this.#wrongKeyRate.take(nowMs)) return
    }
    const parts = decodeHello(packet)
    if (!parts || parts.message.length < MESSAGE_1_OVERHEAD_BYTES) {
      stats.malformed += 1
      return
    }
    const ephemeral = Buffer.from(parts.message.subarray(0, KEY_BYTES))
    const seen: Seen = { ...parts, ephemeral, dcid, scid: sourceCidOf(packet), from, packet }
    if (!isForUs) {
      this.#refuse(REFUSAL.wrongKey, seen)
      return
    }
    if (this.#isRepeated(nowMs, seen)) return
    const isProven = this.#tokens.isGood(nowMs, seen.token, from, dcid)
    if (!isProven && this.#mustProve(nowMs, from)) this.#retry(nowMs, seen)
    else this.#accept(nowMs, seen, isProven)
  }

  /** The same HELLO again: the same answer while the connection is half open, none later. */
  #isRepeated(nowMs: number, { ephemeral, packet }: Seen): boolean {
    const known = this.#seen.get(ephemeral.toString('latin1'))
    if (!known || nowMs >= known.untilMs) return false
    const halfOpen = known.connection && this.#halfOpen.get(known.connection)
    if (!halfOpen) return true
    known.connection?.recovery.log?.handshakeReceived(nowMs, packet)
    halfOpen.isOwed = true
    return true
  }

  #mustProve(nowMs: number, from: Address): boolean {
    if (this.#endpoint.options.alwaysRetry) return true
    if (this.#halfOpen.size >= HALF_OPEN_UNPROVEN_MAX) return true
    const unproven = this.#unprovenBySource.get(sourceOf(from.host)) ?? 0
    if (unproven >= HALF_OPEN_UNPROVEN_PER_SOURCE_MAX) return true
    return !this.#unprovenRate.take(nowMs)
  }

  #retry(nowMs: number, { scid, dcid, from, ephemeral }: Seen): void {
    this.#endpoint.stats.retries += 1
    const fresh = this.#endpoint.randomCid()
    const token = this.#tokens.make(nowMs, from, fresh, dcid)
    this.#reply(encodeRetry({ dcid: scid, scid: fresh, token, ephemeral }), from)
  }

  #accept(nowMs: number, seen: Seen, isProven: boolean): void {
    const endpoint = this.#endpoint
    const reason = this.#refusalReason(seen.from)
    if (reason !== null) {
      this.#refuse(reason, seen)
      return
    }
    const noise = new NoiseResponder({ prologue: prologueOf(seen), keys: endpoint.identity })
    const opened = noise.readMessage1(seen.message)
    const payload = opened && decodePayload(opened.payload)
    if (!opened || !payload) {
      endpoint.stats.badHandshakes += 1
      return
    }
    const { certificate, parameters } = payload
    if (endpoint.mayEnter?.({ publicKey: opened.remoteKey, certificate }) === false) {
      this.#refuse(REFUSAL.busy, seen)
      return
    }
    const suite = endpoint.suites.find(({ id }) => (parameters.suites & (1 << id)) !== 0)
    if (parameters.version !== VERSION || !suite) {
      this.#refuse(REFUSAL.wrongVersion, seen)
      return
    }
    const connection = endpoint.newConnection(nowMs, seen.from, false)
    const crc = parameters.crc === 'header' ? (endpoint.options.crc ?? 'full') : 'full'
    const ours = {
      ...endpoint.parameters({ suites: 1 << suite.id }),
      crc,
      streamsMax: connection.streams.ids.acceptMax(0),
    }
    const answer = noise.writeMessage2(
      encodePayload({
        parameters: ours,
        certificate: endpoint.identity.certificate,
        resetToken: endpoint.resetTokenOf(connection.localCid),
      }),
      endpoint.options.random(KEY_BYTES),
    )
    if (!answer) {
      endpoint.stats.badHandshakes += 1
      endpoint.drop(connection)
      return
    }
    this.#openLog(nowMs, connection, { seen, isProven, ours })
    const { initiatorToResponder, responderToInitiator } = answer.secrets
    connection.protect(nowMs, suite, {
      send: responderToInitiator,
      receive: initiatorToResponder,
      remoteCid: seen.scid,
    })
    connection.crcMode = crc // its first DATA packet opens the connection, and is checked so
    this.#hold(nowMs, connection, {
      seen,
      isProven,
      accept: encodeAccept({
        dcid: seen.scid,
        scid: connection.localCid,
        message: answer.message,
      }),
      theirs: { ...payload, parameters: { ...parameters, crc } },
      publicKey: opened.remoteKey,
    })
  }

  /** Both ends name it by the CID that the first HELLO went to, before a RETRY as well. */
  #openLog(
    nowMs: number,
    connection: ConnectionCore,
    { seen, isProven, ours }: { seen: Seen; isProven: boolean; ours: Parameters },
  ): void {
    const { log } = this.#endpoint.options
    if (!log) return
    const originalCid = isProven ? firstCidOf(seen.token) : seen.packet.subarray(4, 12)
    const about = { isInitiator: false, remote: connection.remote, originalCid, parameters: ours }
    connection.recovery.log = log.open(nowMs, about)
    connection.recovery.log?.handshakeReceived(nowMs, seen.packet)
  }

  #hold(
    nowMs: number,
    connection: ConnectionCore,
    half: {
      seen: Seen
      isProven: boolean
      accept: Buffer
      theirs: Payload
      publicKey: Uint8Array
    },
  ): void {
    const { seen, accept, theirs, publicKey } = half
    const ephemeral = seen.ephemeral.toString('latin1')
    const source = half.isProven ? '' : sourceOf(seen.from.host)
    if (source) {
      this.#unprovenBySource.set(source, (this.#unprovenBySource.get(source) ?? 0) + 1)
    }
    this.#remember(nowMs, ephemeral, connection)
    this.#halfOpen.set(connection, {
      ephemeral,
      source,
      accept,
      from: seen.from,
      deadlineMs: nowMs + this.#endpoint.limits.handshakeTimeoutMs,
      isOwed: true,
      establish: (at) =>
        connection.establish(at, {
          peer: { publicKey, certificate: theirs.certificate },
          parameters: theirs.parameters,
          remoteCid: seen.scid,
          resetToken: theirs.resetToken,
        }),
    })
  }

  #remember(nowMs: number, ephemeral: string, connection: ConnectionCore): void {
    for (const [key, { untilMs }] of this.#seen) {
      if (nowMs < untilMs && this.#seen.size < EPHEMERALS_KEPT_MAX) break
      this.#seen.delete(key) // oldest first
    }
    this.#seen.set(ephemeral, { untilMs: nowMs + EPHEMERAL_KEPT_MS, connection })
  }

  #refusalReason(from: Address): number | null {
    const endpoint = this.#endpoint
    if (endpoint.refuses) return REFUSAL.draining
    if (endpoint.options.accepts === false) return REFUSAL.busy
    if (endpoint.connectionCount >= endpoint.limits.connectionsMax) return REFUSAL.busy
    if (endpoint.budget.isScarce) return REFUSAL.busy
    const isCrowded =
      !isLoopback(from.host) &&
      endpoint.hosts.of(from.host) >= endpoint.limits.connectionsPerSourceMax
    return isCrowded || this.#halfOpen.size >= HALF_OPEN_MAX ? REFUSAL.busy : null
  }

  #refuse(reason: number, { scid, from, ephemeral }: Seen): void {
    this.#endpoint.stats.refused += 1
    this.#reply(encodeRefused({ dcid: scid, reason, ephemeral }), from)
  }

  /** Dropped when too many wait: whoever means it asks again. */
  #reply(packet: Buffer, to: Address): void {
    if (this.#replies.length < REPLIES_QUEUED_MAX) this.#replies.push({ packet, to })
  }

  isHalfOpen(connection: ConnectionCore): boolean {
    return this.#halfOpen.has(connection)
  }

  /** A DATA packet has opened: the initiator has our ACCEPT, and is where it says. */
  handleFirstData(nowMs: number, connection: ConnectionCore): void {
    const halfOpen = this.#halfOpen.get(connection)
    if (!halfOpen) return
    this.#release(connection)
    halfOpen.establish(nowMs)
    this.#endpoint.emit({ type: 'accepted', connection })
  }

  handleTimeout(nowMs: number): void {
    for (const [connection, halfOpen] of this.#halfOpen) {
      if (nowMs >= halfOpen.deadlineMs) this.#endpoint.drop(connection) // nobody was told of it yet
    }
  }

  forget(connection: ConnectionCore): void {
    this.#release(connection)
  }

  #release(connection: ConnectionCore): void {
    const halfOpen = this.#halfOpen.get(connection)
    if (!halfOpen) return
    this.#halfOpen.delete(connection)
    const { source, ephemeral } = halfOpen
    const seen = this.#seen.get(ephemeral)
    if (seen) seen.connection = null
    if (!source) return
    const left = (this.#unprovenBySource.get(source) ?? 1) - 1
    if (left > 0) this.#unprovenBySource.set(source, left)
    else this.#unprovenBySource.delete(source)
  }

  pollTimeout(): number {
    let due = Number.POSITIVE_INFINITY
    for (const { deadlineMs } of this.#halfOpen.values()) due = Math.min(due, deadlineMs)
    return due
  }

  pollTransmit(nowMs: number, out: Buffer, transmit: Transmit): number {
    const reply = this.#replies.shift()
    if (reply) {
      transmit.to = reply.to
      return reply.packet.copy(out)
    }
    for (const [connection, halfOpen] of this.#halfOpen) {
      if (!halfOpen.isOwed) continue
      halfOpen.isOwed = false
      transmit.to = halfOpen.from
      connection.recovery.log?.handshakeSent(nowMs, halfOpen.accept)
      return halfOpen.accept.copy(out)
    }
    return 0
  }
}
