// src/identity/gate.ts — may this peer send that message to this node, now?
import { HoldfastError } from '../errors.ts'
import type { Method } from '../messages.ts'
import type { Certificate } from './certificate.ts'
import { PERMISSIONS, type Side } from './permissions.ts'
import { type GuardedSession, keyOf, SessionWatch, type WatchLog } from './session-watch.ts'
import { type Peer, revoked, type Trust } from './trust.ts'

export interface GateOptions {
  readonly trust: Trust
  readonly side: Side
  readonly wallMs: () => number
  readonly clock: GateClock
  readonly log: WatchLog
  /** Called when so many strangers have gone that what they left behind should be freed. */
  readonly collectGarbage?: (() => void) | undefined
}

export interface GateClock {
  setTimer(fire: () => void, delayMs: number): { cancel(): void }
}

/** One line per refusal would let a peer fill the disk. */
const LINES_PER_MINUTE_MAX = 60
const MINUTE_MS = 60_000
const GOODBYE_MS = 1_000
/** Whoever shows no certificate that holds gets so long to enrol or renew, and so many places: a
 * connection costs memory, and anybody who knows our public key can open one. */
const STRANGER_MS = 15_000
const STRANGERS_MAX = 32
/** Each leaves up to half a megabyte behind. */
const STRANGERS_PER_COLLECTION = 32

/** Stands before all handlers of the manager and of a server. */
export class Gate {
  readonly #options: GateOptions
  readonly #watch: SessionWatch
  /** Issued on the session itself, after its handshake showed an older one or none. */
  readonly #newer = new WeakMap<GuardedSession, Uint8Array>()
  readonly #strangers = new Set<GuardedSession>()
  #strangersGone = 0
  #minute = { startMs: 0, lines: 0, hidden: 0 }

  constructor(options: GateOptions) {
    this.#options = options
    this.#watch = new SessionWatch(options.trust, options.log)
  }

  /** The session, whoever dialled it, ends as soon as its peer is revoked. */
  watch(session: GuardedSession): void {
    this.#watch.add(session)
  }

  /** Before it has a session: strangers only while there are places. */
  mayEnter(peer: Peer): boolean {
    return this.#strangers.size < STRANGERS_MAX || this.#isCertified(peer)
  }

  /** A session that a peer opened. False: it was ended at once, nothing of it is to be served. */
  admit(session: GuardedSession): boolean {
    this.watch(session)
    if (this.#isKnown(session)) {
      session.admit()
      return true
    }
    if (this.#strangers.size >= STRANGERS_MAX) {
      session.destroy(new HoldfastError('NOT_ALLOWED', 'too many peers without a certificate'))
      return false
    }
    this.#strangers.add(session)
    const timer = this.#options.clock.setTimer(() => this.#judge(session), STRANGER_MS)
    void session.closed.then(() => {
      timer.cancel()
      if (this.#strangers.delete(session)) this.#handleStrangerGone()
    })
    return true
  }

  #judge(session: GuardedSession): void {
    if (this.#isKnown(session)) {
      this.#strangers.delete(session)
      session.admit()
    } else {
      session.destroy(new HoldfastError('NOT_ALLOWED', 'no certificate that holds came in time'))
    }
  }

  #handleStrangerGone(): void {
    this.#strangersGone += 1
    if (this.#strangersGone < STRANGERS_PER_COLLECTION) return
    this.#strangersGone = 0
    this.#options.collectGarbage?.()
  }

  /** It has shown no certificate that holds, yet. */
  isStranger(session: GuardedSession): boolean {
    return this.#strangers.has(session)
  }

  #isKnown(session: GuardedSession): boolean {
    return this.#isCertified(this.#peerOf(session))
  }

  #isCertified(peer: Peer): boolean {
    try {
      this.#options.trust.certificate(peer, { nowMs: this.#options.wallMs() })
      return true
    } catch {
      return false
    }
  }

  #peerOf(session: GuardedSession): Peer {
    const { publicKey, certificate } = session.peer
    return { publicKey, certificate: this.#newer.get(session) ?? certificate }
  }

  /** From now on this certificate counts, not the one of the handshake. */
  renew(session: GuardedSession, certificate: Uint8Array): void {
    this.#newer.set(session, certificate)
    this.#strangers.delete(session)
    session.admit()
  }

  /** Throws NOT_ALLOWED, REVOKED or WRONG_CLUSTER, and says so in the log. */
  authorize(method: Method, session: GuardedSession): void {
    try {
      this.#check(method, session)
    } catch (error) {
      this.#note(method, session, error)
      if (this.#watch.isRevoked(session)) this.#sayGoodbye(session)
      throw error
    }
  }

  /** The peer's certificate as it counts now. Throws as authorize() does. */
  certificate(session: GuardedSession): Certificate {
    return this.#options.trust.certificate(this.#peerOf(session), {
      nowMs: this.#options.wallMs(),
    })
  }

  /** NOT_ALLOWED unless the peer is the server that it speaks for. */
  mustBeServer(session: GuardedSession, number: number): void {
    const certificate = this.certificate(session)
    if (certificate.number === number && certificate.roles.includes('server')) return
    const detail = `${certificate.name} is not server ${number}`
    throw new HoldfastError('NOT_ALLOWED', detail)
  }

  #check(method: Method, session: GuardedSession): void {
    const { at, roles } = PERMISSIONS[method]
    if (at !== this.#options.side) {
      throw new HoldfastError('NOT_ALLOWED', `${method} is for a ${at}, not for this node`)
    }
    if (this.#watch.isRevoked(session)) throw revoked('this node')
    if (roles === 'anyone') return
    const certificate = this.certificate(session)
    if (roles.some((role) => certificate.roles.includes(role))) {
      if (this.#strangers.delete(session)) session.admit()
      return
    }
    const has = certificate.roles.join(', ')
    throw new HoldfastError('NOT_ALLOWED', `${certificate.name} (${has}) may not send ${method}`)
  }

  /** The refusal still reaches the peer; then nothing more is listened to. */
  #sayGoodbye(session: GuardedSession): void {
    if (!session.isOpen) return
    setImmediate(() => void session.close({ reason: 'revoked', drainMs: GOODBYE_MS }))
  }

  #note(method: Method, session: GuardedSession, error: unknown): void {
    const nowMs = this.#options.wallMs()
    if (Math.abs(nowMs - this.#minute.startMs) >= MINUTE_MS) {
      const { hidden } = this.#minute
      if (hidden > 0) this.#options.log.warn('more refusals were not logged', { hidden })
      this.#minute = { startMs: nowMs, lines: 0, hidden: 0 }
    }
    this.#minute.lines += 1
    if (this.#minute.lines > LINES_PER_MINUTE_MAX) {
      this.#minute.hidden += 1
      return
    }
    const reason = error instanceof HoldfastError ? error.message : String(error)
    const fields = { method, publicKey: keyOf(session), error: reason }
    this.#options.log.warn('a request was refused', fields)
  }
}
