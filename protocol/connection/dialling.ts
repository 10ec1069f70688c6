// protocol/connection/dialling.ts — how does a HELLO of ours become a connection?
//
//   HELLO ──►   repeated, the very same bytes, until something answers
//   ◄── ACCEPT  that opens: the connection is open
//   ◄── RETRY   once: HELLO again, with its token and a fresh ephemeral key
//   ◄── REFUSED the end, but for the wrong key: then ACCEPT may still come for a moment
//   ◄── VERSIONS a hint, kept for the time when nothing better came
import {
  type Cid,
  decodeAccept,
  decodeVersions,
  encodeHello,
  openTagged,
  REFUSAL,
  sourceCidOf,
  tokenOf,
} from '../handshake/messages.ts'
import { NoiseInitiator } from '../handshake/noise.ts'
import { decodePayload, encodePayload, type Parameters } from '../handshake/payload.ts'
import { prologueOf } from '../handshake/prologue.ts'
import { type PeerAddress, TransportError } from '../types.ts'
import { PACKET, VERSION } from '../wire/header.ts'
import type { Transmit } from './api.ts'
import type { ConnectionCore } from './connection.ts'
import type { EndpointCore } from './endpoint.ts'

const HELLO_INTERVAL_MS = 300 // three initial round trips of 100 ms
const HELLO_INTERVAL_MS_MAX = 3_000
/** From the first HELLO. Whoever sees it pass can say that the key is wrong: the true answer to one
 * of two HELLOs has time to overtake him. */
const WRONG_KEY_MS = 800
const SECRET_BYTES = 32
const NO_TOKEN = new Uint8Array(0)

interface Dial {
  readonly to: PeerAddress
  readonly deadlineMs: number
  hello: Hello
  isRetried: boolean
  /** What the other end speaks, if it said so. */
  versions: number[] | null
  readonly beganMs: number
  /** When a refusal of our key is believed; infinite while there is none. */
  wrongKeyMs: number
  intervalMs: number
  nextMs: number
}

interface Hello {
  readonly packet: Buffer
  readonly parameters: Parameters
  readonly noise: NoiseInitiator
  readonly ephemeral: Buffer
}

export class Dialling {
  readonly #endpoint: EndpointCore
  readonly #dials = new Map<ConnectionCore, Dial>()

  constructor(endpoint: EndpointCore) {
    this.#endpoint = endpoint
  }

  begin(nowMs: number, connection: ConnectionCore, to: PeerAddress): void {
    const hello = this.#makeHello(connection, to, this.#endpoint.randomCid(), NO_TOKEN)
    if (!hello) {
      const detail = `the key expected at ${to.host}:${to.port} is no X25519 key`
      this.#fail(nowMs, connection, new TransportError('ERR_HOLDFAST_INVALID', detail))
      return
    }
    const about = {
      isInitiator: true,
      remote: connection.remote,
      originalCid: hello.packet.subarray(4, 12),
      parameters: hello.parameters,
    }
    connection.recovery.log = this.#endpoint.options.log?.open(nowMs, about) ?? null
    this.#dials.set(connection, {
      to,
      deadlineMs: nowMs + this.#endpoint.limits.handshakeTimeoutMs,
      hello,
      isRetried: false,
      versions: null,
      beganMs: nowMs,
      wrongKeyMs: Number.POSITIVE_INFINITY,
      intervalMs: HELLO_INTERVAL_MS,
      nextMs: nowMs,
    })
  }

  #makeHello(
    connection: ConnectionCore,
    to: PeerAddress,
    dcid: Cid,
    token: Uint8Array,
  ): Hello | null {
    const { identity, options } = this.#endpoint
    const scid = connection.localCid
    const noise = new NoiseInitiator({
      prologue: prologueOf({ dcid, scid, token }),
      keys: identity,
      remoteKey: to.publicKey,
      ephemeralSecret: options.random(SECRET_BYTES),
    })
    const { suites } = this.#endpoint
    const offered = suites.reduce((bits, suite) => bits | (1 << suite.id), 0)
    const parameters = this.#endpoint.parameters({ suites: offered })
    const message = noise.writeMessage1(
      encodePayload({
        parameters,
        certificate: identity.certificate,
        resetToken: this.#endpoint.resetTokenOf(scid),
      }),
    )
    if (!message) return null
    const packet = encodeHello({ dcid, scid, token, message, serverKey: to.publicKey })
    return { packet, parameters, noise, ephemeral: message.subarray(0, SECRET_BYTES) }
  }

  /** A packet for one of our CIDs. Whatever does not prove that it saw the HELLO changes nothing. */
  handleReply(nowMs: number, connection: ConnectionCore, type: number, packet: Buffer): void {
    const dial = this.#dials.get(connection)
    const isLate = !dial || isGivenUp(connection) || (type === PACKET.retry && dial.isRetried)
    if (isLate) {
      connection.recovery.log?.packetDropped(nowMs, packet, 'unexpected_packet')
    } else if (type === PACKET.accept) this.#handleAccept(nowMs, connection, dial, packet)
    else if (type === PACKET.retry) this.#handleRetry(nowMs, connection, dial, packet)
    else if (type === PACKET.refused) this.#handleRefused(nowMs, connection, dial, packet)
    else if (type === PACKET.versions) {
      connection.recovery.log?.handshakeReceived(nowMs, packet)
      dial.versions ??= decodeVersions(packet)
    }
  }

  #handleAccept(nowMs: number, connection: ConnectionCore, dial: Dial, packet: Buffer): void {
    const message = decodeAccept(packet)
    const answer = message && dial.hello.noise.readMessage2(message)
    logReply(nowMs, connection, packet, answer !== null)
    if (!answer) return
    const payload = decodePayload(answer.payload)
    const { suites } = this.#endpoint
    const suite = suites.find(({ id }) => payload?.parameters.suites === 1 << id)
    if (!payload || !suite || payload.parameters.version !== VERSION) {
      const detail = `${dial.to.host}:${dial.to.port} answered with something that fits no version`
      this.#fail(nowMs, connection, new TransportError('ERR_HOLDFAST_PROTOCOL', detail))
      return
    }
    this.#dials.delete(connection)
    const { initiatorToResponder, responderToInitiator } = answer.secrets
    connection.protect(nowMs, suite, {
      send: initiatorToResponder,
      receive: responderToInitiator,
      remoteCid: sourceCidOf(packet),
    })
    connection.establish(nowMs, {
      peer: { publicKey: dial.to.publicKey, certificate: payload.certificate },
      parameters: payload.parameters,
      remoteCid: sourceCidOf(packet),
      resetToken: payload.resetToken,
    })
    this.#endpoint.emit({ type: 'connected', connection })
  }

  #handleRetry(nowMs: number, connection: ConnectionCore, dial: Dial, packet: Buffer): void {
    const body = openTagged(packet, dial.hello.ephemeral)
    const token = body && tokenOf(body)
    logReply(nowMs, connection, packet, token !== null)
    if (!token) return
    const hello = this.#makeHello(connection, dial.to, sourceCidOf(packet), token)
    if (!hello) return
    dial.hello = hello
    dial.isRetried = true
    dial.wrongKeyMs = Number.POSITIVE_INFINITY // that was somebody else
    dial.intervalMs = HELLO_INTERVAL_MS
    dial.nextMs = nowMs
  }

  #handleRefused(nowMs: number, connection: ConnectionCore, dial: Dial, packet: Buffer): void {
    const body = openTagged(packet, dial.hello.ephemeral)
    logReply(nowMs, connection, packet, body !== null)
    if (!body) return
    if (body[0] === REFUSAL.wrongKey) {
      dial.wrongKeyMs = Math.max(nowMs, dial.beganMs + WRONG_KEY_MS)
      return
    }
    const why = Object.entries(REFUSAL).find(([, code]) => code === body[0])?.[0] ?? 'unknown'
    const detail = `the peer refused the connection: ${why}`
    this.#fail(nowMs, connection, new TransportError('ERR_HOLDFAST_REFUSED', detail))
  }

  handleTimeout(nowMs: number): void {
    for (const [connection, dial] of this.#dials) {
      if (isGivenUp(connection) || nowMs < endOf(dial)) continue
      this.#fail(nowMs, connection, timeoutOf(dial))
    }
  }

  #fail(nowMs: number, connection: ConnectionCore, error: TransportError): void {
    connection.abandon(nowMs, error)
    this.#endpoint.forget(connection)
  }

  forget(connection: ConnectionCore): void {
    this.#dials.delete(connection)
  }

  pollTimeout(): number {
    let due = Number.POSITIVE_INFINITY
    for (const [connection, dial] of this.#dials) {
      if (!isGivenUp(connection)) due = Math.min(due, dial.nextMs, endOf(dial))
    }
    return due
  }

  pollTransmit(nowMs: number, out: Buffer, transmit: Transmit): number {
    for (const [connection, dial] of this.#dials) {
      if (isGivenUp(connection) || nowMs < dial.nextMs) continue
      dial.nextMs = nowMs + dial.intervalMs
      dial.intervalMs = Math.min(dial.intervalMs * 2, HELLO_INTERVAL_MS_MAX)
      transmit.to = dial.to
      connection.recovery.log?.handshakeSent(nowMs, dial.hello.packet)
      return dial.hello.packet.copy(out)
    }
    return 0
  }
}

/** The caller closed it before there was an answer: say nothing more, and hear nothing. */
const isGivenUp = (connection: ConnectionCore): boolean => connection.state === 'closed'

function logReply(
  nowMs: number,
  { recovery: { log } }: ConnectionCore,
  packet: Buffer,
  isBelieved: boolean,
): void {
  if (isBelieved) log?.handshakeReceived(nowMs, packet)
  else log?.packetDropped(nowMs, packet, 'payload_decrypt_error')
}

const endOf = ({ deadlineMs, wrongKeyMs }: Dial): number => Math.min(deadlineMs, wrongKeyMs)

function timeoutOf({ to, versions, wrongKeyMs }: Dial): TransportError {
  const where = `${to.host}:${to.port}`
  if (wrongKeyMs < Number.POSITIVE_INFINITY) {
    const detail = `whoever answers at ${where} has another key than the one expected`
    return new TransportError('ERR_HOLDFAST_WRONG_PEER', detail, { remote: true })
  }
  if (versions && !versions.includes(VERSION)) {
    const detail = `${where} speaks version ${versions.join(', ')}, this end version ${VERSION}`
    return new TransportError('ERR_HOLDFAST_REFUSED', detail)
  }
  const detail = `no answer from ${where}, or its key is another one than expected`
  return new TransportError('ERR_HOLDFAST_HANDSHAKE_TIMEOUT', detail)
}
