// protocol/session.ts — what does an application hold of one connection?
import type { Connection, EndpointEvent } from './connection/api.ts'
import type { Driver } from './driver.ts'
import { SessionStream } from './stream.ts'
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

const URGENCY_DEFAULT = 2
const DRAIN_MS_DEFAULT = 5_000

export class EndpointSession implements Session {
  readonly connection: Connection
  readonly #driver: Driver
  readonly #clock: Clock
  readonly #streams = new Map<number, SessionStream>()
  /** Streams that wait for the peer's limit, by direction. */
  readonly #waiting: Record<'bidi' | 'uni', SessionStream[]> = { bidi: [], uni: [] }
  #handleStream: ((stream: TransportStream) => void) | null = null
  #unclaimed: SessionStream[] = []
  readonly #closed = Promise.withResolvers<CloseInfo>()
  #isOpen = true
  #closing: Promise<void> | null = null
  #drained: (() => void) | null = null

  constructor(parts: { connection: Connection; driver: Driver; clock: Clock }) {
    this.connection = parts.connection
    this.#driver = parts.driver
    this.#clock = parts.clock
  }

  get remote(): Address {
    return this.connection.remote
  }

  get peer(): PeerIdentity {
    return this.connection.peer
  }

  get isOpen(): boolean {
    return this.#isOpen && this.#closing === null
  }

  get closed(): Promise<CloseInfo> {
    return this.#closed.promise
  }

  stats(): SessionStats {
    return this.connection.stats()
  }

  openStream(options: StreamOptions = {}): TransportStream {
    if (!this.isOpen) throw new TransportError('ERR_HOLDFAST_CLOSED', 'the session is closed')
    const direction = options.direction ?? 'bidi'
    const urgency = options.urgency ?? URGENCY_DEFAULT
    const stream = this.#make({ urgency, readable: direction === 'bidi', writable: true })
    const id = this.connection.openStream(direction, urgency)
    if (id === null) this.#waiting[direction].push(stream)
    else this.#begin(stream, id)
    return stream
  }

  #make(kind: { urgency: number; readable: boolean; writable: boolean }): SessionStream {
    const host = {
      connection: this.connection,
      wake: this.#driver.wake,
      forget: (stream: SessionStream): void => this.#forget(stream),
    }
    return new SessionStream({ session: this, host, ...kind })
  }

  #begin(stream: SessionStream, id: number): void {
    this.#streams.set(id, stream)
    stream.begin(id)
  }

  #forget(stream: SessionStream): void {
    if (stream.streamId >= 0) return // Its acknowledgement may still come; the transport ends it.
    for (const queue of [this.#waiting.bidi, this.#waiting.uni]) {
      const index = queue.indexOf(stream)
      if (index >= 0) queue.splice(index, 1)
    }
  }

  onStream(handle: (stream: TransportStream) => void): void {
    this.#handleStream = handle
    const waiting = this.#unclaimed
    this.#unclaimed = []
    for (const stream of waiting) handle(stream)
  }

  handleEvent(event: EndpointEvent): void {
    if (event.type === 'closed') this.#handleClosed(event.error, event.reason)
    else if (event.type === 'streams-available') this.#openWaiting(event.direction)
    else if ('streamId' in event) this.#handleStreamEvent(event)
  }

  #handleStreamEvent(event: EndpointEvent & { streamId: number }): void {
    if (event.type === 'stream-opened') this.#accept(event.streamId)
    const stream = this.#streams.get(event.streamId)
    if (!stream) return
    if (event.type === 'stream-readable') stream.handleReadable()
    else if (event.type === 'stream-writable') stream.handleWritable()
    else if (event.type === 'stream-reset') stream.handleReset(event.code)
    else if (event.type === 'stream-stopped') stream.handleStopped(event.code)
    else if (event.type === 'stream-acknowledged') {
      stream.handleAcknowledged()
      if (stream.destroyed || stream.readableEnded) this.#streams.delete(event.streamId)
      this.#checkDrained()
    }
  }

  #accept(id: number): void {
    const isUni = ((id >> 1) & 1) === 1
    const stream = this.#make({ urgency: URGENCY_DEFAULT, readable: true, writable: !isUni })
    this.#begin(stream, id)
    // A stream that nobody listens to for errors must not end the process.
    stream.on('error', () => undefined)
    stream.once('close', () => {
      if (isUni || this.connection.isAcknowledged(id)) this.#streams.delete(id)
    })
    if (this.#handleStream) this.#handleStream(stream)
    else this.#unclaimed.push(stream)
  }

  #openWaiting(direction: 'bidi' | 'uni'): void {
    const queue = this.#waiting[direction]
    while (queue.length > 0) {
      const stream = queue[0] as SessionStream
      const id = this.connection.openStream(direction, stream.urgency)
      if (id === null) return
      queue.shift()
      this.#begin(stream, id)
    }
  }

  #handleClosed(error: TransportError | null, reason: string): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const failure = error ?? new TransportError('ERR_HOLDFAST_CLOSED', 'the session was closed')
    const streams = [...this.#streams.values(), ...this.#waiting.bidi, ...this.#waiting.uni]
    this.#streams.clear()
    this.#waiting.bidi = []
    this.#waiting.uni = []
    for (const stream of streams) {
      // Streams that are done on both sides keep what they have.
      if (stream.readableEnded && stream.writableFinished) continue
      if (stream.listenerCount('error') === 0) stream.on('error', () => undefined)
      stream.fail(failure)
    }
    this.#drained?.()
    this.#closed.resolve({ error, reason })
  }

  close(options: { code?: number; reason?: string; drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async #close(options: { code?: number; reason?: string; drainMs?: number }): Promise<void> {
    if (!this.#isOpen) return
    const drainMs = options.drainMs ?? DRAIN_MS_DEFAULT
    this.connection.drain()
    this.#driver.wake()
    if (drainMs > 0) await this.#untilDrained(drainMs)
    this.connection.close(this.#driver.nowMs(), options.code ?? 0, options.reason ?? '')
    this.#driver.wake()
    await this.#closed.promise
  }

  /** Until the peer's transport has all that was written, or the time is up. */
  async #untilDrained(drainMs: number): Promise<void> {
    const drained = Promise.withResolvers<void>()
    const isDrained = (): boolean =>
      this.connection.isDrained && [...this.#streams.values()].every((s) => s.writableLength === 0)
    this.#drained = () => {
      if (!this.#isOpen || isDrained()) drained.resolve()
    }
    const timer = this.#clock.setTimer(() => drained.resolve(), drainMs)
    // A write may be on its way through the Duplex: look once more after this turn.
    this.#clock.defer(() => this.#drained?.())
    await drained.promise
    timer.cancel()
    this.#drained = null
  }

  #checkDrained(): void {
    this.#drained?.()
  }

  destroy(error?: Error): void {
    if (!this.#isOpen) return
    const failure =
      error instanceof TransportError
        ? error
        : error && new TransportError('ERR_HOLDFAST_CLOSED', error.message, { cause: error })
    this.connection.close(this.#driver.nowMs(), failure?.wireCode ?? 0, failure?.message ?? '')
    this.#handleClosed(failure ?? null, failure?.message ?? '')
    this.#driver.wake()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
