// test/support/memory-network.ts — what stands in for the transport where a test needs no packets?
//
// Endpoints, sessions and streams of protocol/types.ts over queues: in order, reliable, with
// flow control. A cut link holds what is sent until it is healed, as retransmission would; a
// killed node says no goodbye. Silence ends a session after the idle timeout, on both sides alone.
import { noStrangers } from '../../protocol/connection/counters.ts'
import {
  type Address,
  type Clock,
  type EndpointStats,
  type LocalIdentity,
  type PeerAddress,
  type PeerIdentity,
  type Session,
  type Timer,
  type TransportEndpoint,
  TransportError,
} from '../../protocol/types.ts'
import { MemorySession } from './memory-session.ts'

export interface MemoryNetworkOptions {
  /** Default: the real time. */
  readonly clock?: Clock
  /** One way, for everything. Default 0: with the next turn of the event loop. */
  readonly delayMs?: number
  /** How much of one stream may be under way and unread. Default 256 KiB. */
  readonly windowBytes?: number
  readonly idleTimeoutMs?: number
  readonly handshakeTimeoutMs?: number
}

const REDIAL_MS = 100 // a HELLO is sent again until the handshake times out

export class MemoryNetwork {
  readonly clock: Clock
  readonly delayMs: number
  readonly windowBytes: number
  readonly idleTimeoutMs: number
  readonly handshakeTimeoutMs: number
  readonly #endpoints = new Map<string, MemoryEndpoint>()
  readonly #cuts = new Set<string>()
  readonly #links = new Set<Link>()
  #nextPort = 40_000

  constructor(options: MemoryNetworkOptions = {}) {
    this.clock = options.clock ?? realClock
    this.delayMs = options.delayMs ?? 0
    this.windowBytes = options.windowBytes ?? 256 * 1024
    this.idleTimeoutMs = options.idleTimeoutMs ?? 30_000
    this.handshakeTimeoutMs = options.handshakeTimeoutMs ?? 10_000
  }

  /** Opens an endpoint. Port 0 or no address: any free one. Throws ERR_HOLDFAST_SOCKET
   * (EADDRINUSE) when the address is taken. */
  endpoint(options: { identity: LocalIdentity; address?: Address }): TransportEndpoint {
    const host = options.address?.host ?? '127.0.0.1'
    const port = options.address?.port || this.#nextPort++
    const local = { host, port }
    if (this.#endpoints.has(keyOf(local))) {
      const cause = Object.assign(new Error('bind EADDRINUSE'), { code: 'EADDRINUSE' })
      throw new TransportError('ERR_HOLDFAST_SOCKET', `${keyOf(local)} is in use`, { cause })
    }
    const endpoint = new MemoryEndpoint(this, local, options.identity)
    this.#endpoints.set(keyOf(local), endpoint)
    return endpoint
  }

  /** Nothing passes between the two any more, either way. */
  cut(a: Address, b: Address): void {
    this.#cuts.add(pairOf(a, b))
    for (const link of this.#links) if (link.pair === pairOf(a, b)) link.handleCut()
  }

  /** What was held passes now; sessions that did not time out meanwhile go on. */
  heal(a: Address, b: Address): void {
    this.#cuts.delete(pairOf(a, b))
    for (const link of this.#links) if (link.pair === pairOf(a, b)) link.handleHealed()
  }

  isCut(a: Address, b: Address): boolean {
    return this.#cuts.has(pairOf(a, b))
  }

  /** As kill -9: gone without a word. Its address is free at once; peers notice by silence. */
  kill(address: Address): void {
    const endpoint = this.#endpoints.get(keyOf(address))
    if (!endpoint) throw new Error(`nobody is at ${keyOf(address)}`)
    this.#endpoints.delete(keyOf(address))
    endpoint.die()
  }

  find(address: Address): MemoryEndpoint | undefined {
    return this.#endpoints.get(keyOf(address))
  }

  forget(endpoint: MemoryEndpoint): void {
    if (this.#endpoints.get(keyOf(endpoint.local)) === endpoint) {
      this.#endpoints.delete(keyOf(endpoint.local))
    }
  }

  addLink(link: Link): void {
    this.#links.add(link)
  }

  removeLink(link: Link): void {
    this.#links.delete(link)
  }
}

/** Carries messages between the two ends of one session: in order, after the delay, held while the
 * link is cut, lost where nobody lives any more. */
export class Link {
  readonly pair: string
  readonly #network: MemoryNetwork
  readonly #ends: [MemorySession, MemorySession]
  readonly #queues: [(() => void)[], (() => void)[]] = [[], []]
  readonly #pumping = [false, false]
  #silence: Timer | null = null

  constructor(network: MemoryNetwork, dialler: MemoryEndpoint, acceptor: MemoryEndpoint) {
    this.#network = network
    this.pair = pairOf(dialler.local, acceptor.local)
    const make = (at: MemoryEndpoint, to: MemoryEndpoint, side: 0 | 1): MemorySession =>
      new MemorySession({
        clock: network.clock,
        windowBytes: network.windowBytes,
        remote: to.local,
        peer: { publicKey: to.identity.publicKey, certificate: to.identity.certificate },
        isDialler: side === 0,
        send: (deliver) => this.#send(side, deliver),
        isSilent: () => this.#isSilent,
        onClosed: () => this.#handleEndClosed(at, side),
      })
    this.#ends = [make(dialler, acceptor, 0), make(acceptor, dialler, 1)]
    this.#ends[0].join(this.#ends[1])
    this.#ends[1].join(this.#ends[0])
    network.addLink(this)
  }

  get ends(): readonly [MemorySession, MemorySession] {
    return this.#ends
  }

  handleCut(): void {
    this.handleSilence()
  }

  handleHealed(): void {
    if (this.#ends.some((end) => end.isDead)) return
    this.#silence?.cancel()
    this.#silence = null
    this.#pump(0)
    this.#pump(1)
  }

  /** Each end that is still alive hears nothing from now on, and gives up by itself. */
  handleSilence(): void {
    this.#silence ??= this.#network.clock.setTimer(() => {
      for (const end of this.#ends) end.handleIdle()
    }, this.#network.idleTimeoutMs)
  }

  #send(side: 0 | 1, deliver: () => void): void {
    this.#queues[side].push(deliver)
    this.#pump(side)
  }

  #pump(side: 0 | 1): void {
    if (this.#pumping[side] || this.#queues[side].length === 0 || this.#isSilent) return
    this.#pumping[side] = true
    const batch = this.#queues[side].length
    const pass = (): void => {
      this.#pumping[side] = false
      if (this.#isSilent) return // held, or lost with the node it was for
      for (const deliver of this.#queues[side].splice(0, batch)) deliver()
      this.#pump(side)
    }
    if (this.#network.delayMs > 0) this.#network.clock.setTimer(pass, this.#network.delayMs)
    else this.#network.clock.defer(pass)
  }

  get #isSilent(): boolean {
    const [a, b] = this.#ends
    return this.#network.isCut(a.remote, b.remote) || a.isDead || b.isDead
  }

  #handleEndClosed(at: MemoryEndpoint, side: 0 | 1): void {
    at.forget(this.#ends[side])
    if (this.#ends[side].isDead) this.handleSilence()
    if (!this.#ends.every((end) => !end.isOpen)) return
    this.#silence?.cancel()
    this.#network.removeLink(this)
  }
}

export class MemoryEndpoint implements TransportEndpoint {
  readonly local: Address
  readonly #network: MemoryNetwork
  readonly #sessions = new Set<MemorySession>()
  readonly #dials = new Set<(error: TransportError) => void>()
  #identity: LocalIdentity
  #onSession: ((session: Session) => void) | null = null
  #mayEnter: ((peer: PeerIdentity) => boolean) | null = null
  #isOpen = true

  constructor(network: MemoryNetwork, local: Address, identity: LocalIdentity) {
    this.#network = network
    this.local = local
    this.#identity = identity
  }

  get identity(): LocalIdentity {
    return this.#identity
  }

  stats(): EndpointStats {
    return noStrangers()
  }

  setIdentity(identity: LocalIdentity): void {
    this.#identity = identity
  }

  onSession(handle: (session: Session) => void, mayEnter?: (peer: PeerIdentity) => boolean): void {
    this.#onSession = handle
    this.#mayEnter = mayEnter ?? null
  }

  connect(to: PeerAddress, { signal }: { signal?: AbortSignal } = {}): Promise<Session> {
    if (!this.#isOpen) {
      return Promise.reject(new TransportError('ERR_HOLDFAST_CLOSED', 'the endpoint is closed'))
    }
    const { clock, handshakeTimeoutMs } = this.#network
    const { promise, resolve, reject } = Promise.withResolvers<Session>()
    const end = (settle: () => void): void => {
      timer.cancel()
      timeout.cancel()
      signal?.removeEventListener('abort', handleAbort)
      this.#dials.delete(fail)
      settle()
    }
    const fail = (error: TransportError): void => end(() => reject(error))
    const handleAbort = (): void => fail(new TransportError('ERR_HOLDFAST_ABORTED', 'aborted'))
    const attempt = (): void => {
      const acceptor = this.#network.find(to)
      if (!acceptor || this.#network.isCut(this.local, to)) {
        timer = clock.setTimer(attempt, REDIAL_MS)
        return
      }
      const problem = acceptor.#refusal(to, this.identity)
      if (problem) {
        fail(problem)
        return
      }
      const [mine, theirs] = new Link(this.#network, this, acceptor).ends
      this.#sessions.add(mine)
      acceptor.#sessions.add(theirs)
      end(() => resolve(mine))
      clock.defer(() => acceptor.#onSession?.(theirs))
    }
    const timeout = clock.setTimer(() => {
      const detail = `no answer from ${keyOf(to)} for ${handshakeTimeoutMs} ms`
      fail(new TransportError('ERR_HOLDFAST_HANDSHAKE_TIMEOUT', detail))
    }, handshakeTimeoutMs)
    let timer = clock.setTimer(attempt, 2 * this.#network.delayMs) // a round trip
    this.#dials.add(fail)
    signal?.addEventListener('abort', handleAbort, { once: true })
    if (signal?.aborted) handleAbort()
    return promise
  }

  async close({ drainMs }: { drainMs?: number } = {}): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#endDials()
    const options = drainMs === undefined ? {} : { drainMs }
    await Promise.all([...this.#sessions].map((session) => session.close(options)))
    this.#network.forget(this)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** For the network: the process is gone. */
  die(): void {
    this.#isOpen = false
    this.#endDials()
    for (const session of [...this.#sessions]) session.die()
  }

  forget(session: MemorySession): void {
    this.#sessions.delete(session)
  }

  #refusal(to: PeerAddress, from: PeerIdentity): TransportError | null {
    if (Buffer.compare(to.publicKey, this.#identity.publicKey) !== 0) {
      return new TransportError('ERR_HOLDFAST_WRONG_PEER', `${keyOf(to)} has another key`)
    }
    if (this.#mayEnter?.(from) === false) {
      return new TransportError('ERR_HOLDFAST_REFUSED', `${keyOf(to)} is busy`, { remote: true })
    }
    if (this.#onSession && this.#isOpen) return null
    return new TransportError('ERR_HOLDFAST_REFUSED', `${keyOf(to)} is draining`, { remote: true })
  }

  #endDials(): void {
    const error = new TransportError('ERR_HOLDFAST_CLOSED', 'the endpoint was closed')
    for (const fail of [...this.#dials]) fail(error)
  }
}

/** What a test needs of time when it does not own it. */
export const realClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(fire, delayMs) {
    const timeout = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timeout) }
  },
  defer: (fire) => void setImmediate(fire),
}

const keyOf = (address: Address): string => `${address.host}:${address.port}`
const pairOf = (a: Address, b: Address): string => [keyOf(a), keyOf(b)].sort().join(' ')
