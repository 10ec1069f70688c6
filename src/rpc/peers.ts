// src/rpc/peers.ts — how does a node reach the others, again and again?
import type { Clock, PeerAddress, Session, TransportEndpoint } from '../../protocol/types.ts'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { Method, RequestOf } from '../messages.ts'
import { unlessAborted } from './body.ts'
import { type CallOptions, type CallResult, call } from './call.ts'
import { dial } from './dial.ts'
import { cancelledBy, failureOf, isStranger } from './failure.ts'
import type { RpcLog } from './log.ts'

export interface PeersOptions {
  readonly endpoint: TransportEndpoint
  readonly clock: Clock
  readonly log: RpcLog
  /** Called before each dial: to have a certificate that the other end will take. */
  readonly prepare?: (to: PeerAddress) => Promise<void>
  /** Called with each new session before it is used; rejects to refuse it. */
  readonly admit?: (session: Session, to: PeerAddress) => Promise<void>
  /** Another key that a node at that address may have by now; null: none. */
  readonly successorOf?: (to: PeerAddress) => Uint8Array | null
  /** What it means that somebody with another key answers there; null: a node that is away. */
  readonly strangerAt?: (to: PeerAddress) => HoldfastError | null
}

/** A node that is there answers a handshake within a round trip or two. */
const DIAL_MS_MAX = 4_000
const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 1_000
/** So many deadlines missed in a row, and the connection is dialled anew. */
const MISSES_MAX = 2

interface Peer {
  session: Session | null
  dialling: Promise<Session> | null
  misses: number
  backoffMs: number
  notBeforeMs: number
}

/** One session per peer, dialled when it is first needed, shared by all calls, dialled again when
 * it is lost. */
export class Peers {
  readonly #options: PeersOptions
  readonly #peers = new Map<string, Peer>()
  readonly #closing = new AbortController()
  /** Sessions that show the certificate that we have now. */
  #fresh = new WeakSet<Session>()

  constructor(options: PeersOptions) {
    this.#options = options
  }

  /** Like call(), to whoever is at that address with that key. */
  async call<M extends Method>(
    to: PeerAddress,
    method: M,
    request: RequestOf<M>,
    options: CallOptions<M> = {},
  ): Promise<CallResult<M>> {
    const { clock } = this.#options
    const startMs = clock.nowMs()
    const peer = this.#peer(to)
    const session = await this.#session(peer, to, options)
    const { deadlineMs } = options
    const leftMs =
      typeof deadlineMs === 'number'
        ? Math.max(1, deadlineMs - (clock.nowMs() - startMs))
        : deadlineMs
    try {
      const result = await call(session, method, request, { ...options, deadlineMs: leftMs, clock })
      peer.misses = 0
      return result
    } catch (error) {
      this.#judge(peer, session, error)
      throw error
    }
  }

  /** A silent peer is dialled again: it may have restarted, and know nothing of our session. */
  #judge(peer: Peer, session: Session, error: unknown): void {
    if (!isHoldfastError(error, 'DEADLINE_EXCEEDED') || error.remote) return
    peer.misses += 1
    if (peer.misses < MISSES_MAX || peer.session !== session) return
    peer.session = null
    peer.misses = 0
    session.destroy()
  }

  #peer(to: PeerAddress): Peer {
    const name = `${to.host}:${to.port}:${Buffer.from(to.publicKey).toString('hex')}`
    const known = this.#peers.get(name)
    if (known) return known
    const peer: Peer = { session: null, dialling: null, misses: 0, backoffMs: 0, notBeforeMs: 0 }
    this.#peers.set(name, peer)
    return peer
  }

  async #session(
    peer: Peer,
    to: PeerAddress,
    options: Pick<CallOptions<Method>, 'signal' | 'deadlineMs' | 'connectMs'>,
  ): Promise<Session> {
    if (peer.session?.isOpen && this.#fresh.has(peer.session)) return peer.session
    const { signal } = options
    const patienceMs = Math.min(options.deadlineMs ?? Infinity, options.connectMs ?? Infinity)
    if (signal?.aborted) throw cancelledBy(signal, 'the call')
    if (this.#closing.signal.aborted) throw this.#closing.signal.reason
    peer.dialling ??= this.#dial(peer, to).finally(() => {
      peer.dialling = null
    })
    const impatient = new AbortController()
    const stop = (): void => {
      if (signal) impatient.abort(cancelledBy(signal, 'the call'))
    }
    signal?.addEventListener('abort', stop, { once: true })
    const giveUp = (): void => {
      const detail = `nobody answers at ${to.host}:${to.port} within ${patienceMs} ms: check that the node runs, and its host and port in the config`
      impatient.abort(new HoldfastError('UNREACHABLE', detail))
    }
    const timer = patienceMs < Infinity ? this.#options.clock.setTimer(giveUp, patienceMs) : null
    try {
      return await unlessAborted(peer.dialling, impatient.signal)
    } finally {
      timer?.cancel()
      signal?.removeEventListener('abort', stop)
    }
  }

  async #dial(peer: Peer, to: PeerAddress): Promise<Session> {
    const { endpoint, clock } = this.#options
    const waitMs = peer.notBeforeMs - clock.nowMs()
    if (waitMs > 0) await new Promise<void>((wake) => clock.setTimer(wake, waitMs))
    const attempt = new AbortController()
    const stop = (): void => attempt.abort()
    this.#closing.signal.addEventListener('abort', stop, { once: true })
    const timer = clock.setTimer(stop, DIAL_MS_MAX)
    try {
      await this.#options.prepare?.(to)
      const successorKey = this.#options.successorOf?.(to)
      const session = await dial(endpoint, to, { signal: attempt.signal, clock, successorKey })
      await this.#admit(session, to)
      this.#fresh.add(session)
      peer.session = session
      peer.backoffMs = 0
      void session.closed.then(() => {
        if (peer.session === session) peer.session = null
      })
      return session
    } catch (error) {
      peer.backoffMs = Math.min(BACKOFF_MS_MAX, Math.max(BACKOFF_MS_MIN, peer.backoffMs * 2))
      peer.notBeforeMs = clock.nowMs() + peer.backoffMs
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason
      if (error instanceof HoldfastError) throw error
      const stranger = isStranger(error) ? this.#options.strangerAt?.(to) : null
      if (stranger) throw stranger
      if (attempt.signal.aborted) throw unreachable(to, error)
      throw failureOf(error, `${to.host}:${to.port}`)
    } finally {
      timer.cancel()
      this.#closing.signal.removeEventListener('abort', stop)
    }
  }

  async #admit(session: Session, to: PeerAddress): Promise<void> {
    try {
      await this.#options.admit?.(session, to)
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  /** This node has another certificate: new calls dial anew, those under way end where they are. */
  renew(): void {
    this.#fresh = new WeakSet()
  }

  /** Ends all sessions. Calls under way fail with UNREACHABLE. */
  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('CANCELLED', 'this node is closing its connections'))
    const sessions = [...this.#peers.values()].flatMap((peer) => peer.session ?? [])
    await Promise.all(sessions.map((session) => session.close({ drainMs: 500 })))
  }
}

function unreachable(to: PeerAddress, cause: unknown): HoldfastError {
  const detail = `nobody answers at ${to.host}:${to.port}: check that the node runs, and its host and port in the config`
  return new HoldfastError('UNREACHABLE', detail, { cause })
}
