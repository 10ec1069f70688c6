// test/support/memory-session.ts — how does one session of the memory network behave?
import {
  type Address,
  type Clock,
  type CloseInfo,
  type PeerIdentity,
  type Session,
  type SessionStats,
  type StreamOptions,
  TransportError,
  type TransportStream,
} from '../../protocol/types.ts'
import { MemoryStream } from './memory-stream.ts'

const DRAIN_MS = 5_000

export interface MemorySessionOptions {
  readonly clock: Clock
  readonly windowBytes: number
  readonly remote: Address
  readonly peer: PeerIdentity
  readonly isDialler: boolean
  /** Carries one message to the other end, where `deliver` then runs. */
  readonly send: (deliver: () => void) => void
  /** Nothing passes between the ends. */
  readonly isSilent: () => boolean
  readonly onClosed: () => void
}

export class MemorySession implements Session {
  readonly remote: Address
  readonly peer: PeerIdentity
  readonly closed: Promise<CloseInfo>
  readonly #options: MemorySessionOptions
  readonly #streams = new Map<number, MemoryStream>()
  readonly #early: MemoryStream[] = []
  readonly #settleClosed: (info: CloseInfo) => void
  #other: MemorySession | null = null
  #onStream: ((stream: TransportStream) => void) | null = null
  #nextStreamId: number
  #isOpen = true
  #isDead = false
  #closing: Promise<void> | null = null
  #bytesSent = 0
  #bytesReceived = 0
  /** Since when a message waits for a peer that hears nothing. */
  #silentSinceMs: number | null = null

  constructor(options: MemorySessionOptions) {
    this.#options = options
    this.remote = options.remote
    this.peer = options.peer
    this.#nextStreamId = options.isDialler ? 0 : 1
    const { promise, resolve } = Promise.withResolvers<CloseInfo>()
    this.closed = promise
    this.#settleClosed = resolve
  }

  join(other: MemorySession): void {
    this.#other = other
  }

  get isOpen(): boolean {
    return this.#isOpen && this.#closing === null
  }

  /** The process at this end was killed. */
  get isDead(): boolean {
    return this.#isDead
  }

  /** Streams that are not finished both ways: a leak shows here. */
  get streamCount(): number {
    return this.#streams.size
  }

  openStream(options: StreamOptions = {}): TransportStream {
    if (!this.isOpen) throw new TransportError('ERR_HOLDFAST_CLOSED', 'the session is closed')
    const streamId = this.#nextStreamId + (options.direction === 'uni' ? 2 : 0)
    this.#nextStreamId += 4
    return this.#makeStream(streamId, true)
  }

  onStream(handle: (stream: TransportStream) => void): void {
    this.#onStream = handle
    for (const stream of this.#early.splice(0)) handle(stream)
  }

  stats(): SessionStats {
    const none = { packetsSent: 0, packetsReceived: 0, packetsLost: 0, packetsAcked: 0 }
    const errors = { crcErrors: 0, authErrors: 0, duplicates: 0, spuriousLosses: 0, ptoCount: 0 }
    const path = { rttMs: 0, minRttMs: 0, cwndBytes: 0, inFlightBytes: 0, mtuBytes: 65_507 }
    const bytes = { bytesSent: this.#bytesSent, bytesReceived: this.#bytesReceived }
    const mtu = { mtuProbesLost: 0, blackHoles: 0 }
    const model = { congestionState: 'none', baselineLossRatio: 0, deliveryBytesPerSecond: 0 }
    const inUse = {
      ...mtu,
      ...model,
      persistentCongestions: 0,
      cipher: 'none',
      crc: 'full',
      congestion: 'none',
    } as const
    const limitedMs = { sending: 0, congestion: 0, pacing: 0, flow: 0, application: 0 }
    return { ...inUse, limitedMs, ...path, ...none, ...bytes, bytesRetransmitted: 0, ...errors }
  }

  admit(): void {} // it never holds anything back

  get silentMs(): number {
    if (!this.#options.isSilent()) this.#silentSinceMs = null
    return this.#silentSinceMs === null ? 0 : this.#options.clock.nowMs() - this.#silentSinceMs
  }

  ping(): void {
    this.#tell(() => {})
  }

  close({ reason = '', drainMs = DRAIN_MS } = {}): Promise<void> {
    this.#closing ??= this.#drain(drainMs).then(() => {
      this.#tell((other) => other.#end(null, reason))
      this.#end(null, reason)
    })
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  destroy(error?: Error): void {
    if (!this.#isOpen) return
    const reason = error?.message ?? ''
    this.#tell((other) => other.#end(null, reason))
    this.#end(error instanceof TransportError ? error : null, reason, error)
  }

  handleIdle(): void {
    const error = new TransportError('ERR_HOLDFAST_IDLE_TIMEOUT', 'nothing arrived for too long')
    this.#end(error, 'idle')
  }

  die(): void {
    this.#isDead = true
    this.#end(new TransportError('ERR_HOLDFAST_CLOSED', 'killed'), 'killed')
  }

  // — for its streams —

  /** Runs `act` on the other end's stream, which opens with the first message. */
  tellStream(streamId: number, act: (stream: MemoryStream) => void): void {
    this.#tell((other) => {
      const stream = other.#streams.get(streamId) ?? other.#accept(streamId)
      if (stream) act(stream)
    })
  }

  countSent(bytes: number): void {
    this.#bytesSent += bytes
  }

  countReceived(bytes: number): void {
    this.#bytesReceived += bytes
  }

  forget(streamId: number): void {
    this.#streams.delete(streamId)
  }

  get windowBytes(): number {
    return this.#options.windowBytes
  }

  readonly #seen = new Set<number>()

  #accept(streamId: number): MemoryStream | null {
    const isOurs = (streamId & 1) === (this.#options.isDialler ? 0 : 1)
    if (isOurs || this.#seen.has(streamId)) return null // finished and forgotten
    this.#seen.add(streamId)
    const stream = this.#makeStream(streamId, false)
    if (this.#onStream) this.#onStream(stream)
    else this.#early.push(stream)
    return stream
  }

  #makeStream(streamId: number, isOurs: boolean): MemoryStream {
    const stream = new MemoryStream(this, streamId, isOurs)
    this.#streams.set(streamId, stream)
    return stream
  }

  #tell(act: (other: MemorySession) => void): void {
    const other = this.#other
    if (!this.#isOpen || !other) return
    if (this.#options.isSilent()) this.#silentSinceMs ??= this.#options.clock.nowMs()
    this.#options.send(() => {
      if (other.#isOpen) act(other)
    })
  }

  /** Until all that was written has arrived at the other end. */
  async #drain(drainMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = this.#options.clock.setTimer(resolve, drainMs)
    const streams = [...this.#streams.values()].map((stream) => stream.drained())
    await Promise.race([late, this.closed, Promise.all(streams)])
    timer.cancel()
  }

  #end(
    error: TransportError | null,
    reason: string,
    cause: Error | null | undefined = error,
  ): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const failure = cause ?? new TransportError('ERR_HOLDFAST_CLOSED', reason || 'closed')
    for (const stream of [...this.#streams.values()]) stream.handleSessionEnd(failure)
    this.#streams.clear()
    this.#settleClosed({ error, reason })
    this.#options.onClosed()
  }
}
