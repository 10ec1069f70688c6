// protocol/session.ts — what does a program hold of one connection?
import type { Connection, EndpointEvent } from './connection/api.ts'
import { StreamShell } from './stream.ts'
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
} from './types.ts'
import { CODE_UNSPECIFIED, isCode } from './wire/frames.ts'

const URGENCY_DEFAULT = 2
const DRAIN_MS_DEFAULT = 5_000

type StreamEvent = EndpointEvent & { streamId: number }

export interface SessionParts {
  readonly connection: Connection
  readonly clock: Clock
  /** The core has something new to do. */
  readonly wake: () => void
  /** While set, handleProgress is called after every turn of the driver. */
  readonly setDraining: (isDraining: boolean) => void
}

export class SessionShell implements Session {
  readonly peer: PeerIdentity
  readonly closed: Promise<CloseInfo>
  readonly #parts: SessionParts
  readonly #connection: Connection
  readonly #streams = new Map<number, StreamShell>()
  /** Streams that wait until the peer allows another one, oldest first. */
  readonly #waiting = { bidi: [] as StreamShell[], uni: [] as StreamShell[] }
  readonly #settleClosed: (info: CloseInfo) => void
  #handleStream: ((stream: TransportStream) => void) | null = null
  /** Peer's streams that nobody asked for yet; the stream limit bounds them. */
  #early: StreamShell[] = []
  #hasEnded = false
  #closing: Promise<void> | null = null
  #settleDrained: (() => void) | null = null

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#connection = parts.connection
    this.peer = parts.connection.peer
    const { promise, resolve } = Promise.withResolvers<CloseInfo>()
    this.closed = promise
    this.#settleClosed = resolve
  }

  get remote(): Address {
    return this.#connection.remote
  }

  get isOpen(): boolean {
    return !this.#hasEnded && this.#closing === null
  }

  openStream(options: StreamOptions = {}): TransportStream {
    if (!this.isOpen) throw new TransportError('ERR_HOLDFAST_CLOSED', 'the session is closed')
    const { direction = 'bidi', urgency = URGENCY_DEFAULT } = options
    const stream = this.#makeStream(urgency, direction === 'bidi', true)
    const streamId = this.#connection.openStream(direction, urgency)
    if (streamId === null) this.#waiting[direction].push(stream)
    else this.#begin(stream, streamId)
    return stream
  }

  onStream(handle: (stream: TransportStream) => void): void {
    this.#handleStream = handle
    const early = this.#early
    this.#early = []
    for (const stream of early) handle(stream)
  }

  stats(): SessionStats {
    return this.#connection.stats()
  }

  admit(): void {
    if (this.#hasEnded) return
    this.#connection.admit()
    this.#parts.wake()
  }

  get silentMs(): number {
    return this.#hasEnded ? 0 : this.#connection.silentMs(this.#parts.clock.nowMs())
  }

  ping(): void {
    if (this.#hasEnded) return
    this.#connection.ping()
    this.#parts.wake()
  }

  close(options: { code?: number; reason?: string; drainMs?: number } = {}): Promise<void> {
    if (this.#hasEnded) return Promise.resolve()
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  destroy(error?: Error): void {
    if (this.#hasEnded) return
    const failure = toTransportError(error)
    const code = failure ? fitCode(failure.wireCode || CODE_UNSPECIFIED) : 0
    const reason = failure?.message ?? ''
    this.#connection.close(this.#parts.clock.nowMs(), code, reason)
    this.#parts.wake()
    this.#end({ error: failure, reason }, error ?? closedError(reason))
  }

  // — for the endpoint —

  handleEvent(event: EndpointEvent): void {
    if (this.#hasEnded) return
    if (event.type === 'closed') this.#end({ error: event.error, reason: event.reason }, null)
    else if (event.type === 'streams-available') this.#openWaiting(event.direction)
    else if ('streamId' in event) this.#handleStreamEvent(event)
  }

  /** Is everything acknowledged that close() waits for? */
  handleProgress(): void {
    if (this.#settleDrained && this.#isDrained) this.#settleDrained()
  }

  // — for its streams —

  forget(stream: StreamShell): void {
    if (stream.streamId >= 0) {
      this.#streams.delete(stream.streamId)
      return
    }
    for (const queue of [this.#waiting.bidi, this.#waiting.uni]) {
      const index = queue.indexOf(stream)
      if (index >= 0) queue.splice(index, 1)
    }
  }

  #handleStreamEvent(event: StreamEvent): void {
    const { streamId } = event
    if (event.type === 'stream-opened') this.#accept(streamId)
    const stream = this.#streams.get(streamId)
    if (!stream) return
    if (event.type === 'stream-readable') stream.handleReadable()
    else if (event.type === 'stream-writable') stream.handleWritable()
    else if (event.type === 'stream-acknowledged') stream.handleAcknowledged()
    else if (event.type === 'stream-reset') stream.handleReset(event.code)
    else if (event.type === 'stream-stopped') stream.handleStopped(event.code)
  }

  #accept(streamId: number): void {
    const isUni = (streamId & 2) !== 0
    const stream = this.#makeStream(URGENCY_DEFAULT, true, !isUni)
    this.#begin(stream, streamId)
    if (this.#handleStream) this.#handleStream(stream)
    else this.#early.push(stream)
  }

  #makeStream(urgency: number, isReadable: boolean, isWritable: boolean): StreamShell {
    const { wake, connection } = this.#parts
    return new StreamShell({ session: this, connection, wake, urgency, isReadable, isWritable })
  }

  #begin(stream: StreamShell, streamId: number): void {
    this.#streams.set(streamId, stream)
    stream.begin(streamId)
  }

  #openWaiting(direction: 'bidi' | 'uni'): void {
    const queue = this.#waiting[direction]
    for (;;) {
      const stream = queue[0]
      if (!stream) return
      const streamId = this.#connection.openStream(direction, stream.urgency)
      if (streamId === null) return
      queue.shift()
      this.#begin(stream, streamId)
    }
  }

  async #close(options: { code?: number; reason?: string; drainMs?: number }): Promise<void> {
    const { code = 0, reason = '', drainMs = DRAIN_MS_DEFAULT } = options
    this.#connection.drain()
    this.#parts.wake()
    await this.#untilDrained(drainMs)
    if (!this.#hasEnded) this.#connection.close(this.#parts.clock.nowMs(), fitCode(code), reason)
    this.#parts.wake()
    await this.closed
  }

  /** Until the peer's transport has all that was written, or the session ends, or time is up. */
  async #untilDrained(drainMs: number): Promise<void> {
    if (drainMs <= 0 || this.#isDrained) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#settleDrained = resolve
    this.#parts.setDraining(true)
    const timer = this.#parts.clock.setTimer(resolve, drainMs)
    await promise
    timer.cancel()
    this.#parts.setDraining(false)
    this.#settleDrained = null
  }

  get #isDrained(): boolean {
    if (!this.#connection.isDrained) return false
    for (const stream of this.#streams.values()) if (stream.hasUnsent) return false
    const { bidi, uni } = this.#waiting
    return !bidi.some((stream) => stream.hasUnsent) && !uni.some((stream) => stream.hasUnsent)
  }

  /** `cause`: streams fail with it at once. Null: the peer, or close(), ended an orderly session,
   * and what has arrived may still be read. */
  #end(info: CloseInfo, cause: Error | null): void {
    this.#hasEnded = true
    const failure = cause ?? info.error
    const streams = [...this.#streams.values(), ...this.#waiting.bidi, ...this.#waiting.uni]
    this.#streams.clear()
    this.#waiting.bidi = []
    this.#waiting.uni = []
    for (const stream of streams) {
      if (failure) stream.handleSessionFailed(failure)
      else stream.handleSessionEnded(closedError(info.reason))
    }
    this.#settleDrained?.()
    this.#settleClosed(info)
  }
}

const fitCode = (code: number): number => (isCode(code) ? code : CODE_UNSPECIFIED)

const closedError = (reason: string): TransportError =>
  new TransportError('ERR_HOLDFAST_CLOSED', `the session was closed${reason && `: ${reason}`}`)

function toTransportError(error: Error | undefined): TransportError | null {
  if (!error) return null
  if (error instanceof TransportError) return error
  return new TransportError('ERR_HOLDFAST_CLOSED', error.message, { cause: error })
}
