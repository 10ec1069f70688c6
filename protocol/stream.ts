// protocol/stream.ts — how is one stream of a connection a Node Duplex, with backpressure both ways?
import { Duplex, type DuplexOptions } from 'node:stream'
import type { Connection } from './connection/api.ts'
import { type Session, TransportError, type TransportStream } from './types.ts'

const READ_BYTES_MAX = 256 * 1024
const HIGH_WATER_BYTES = 256 * 1024
/** The code with which a stream ends when the application just destroys it. */
const CODE_DESTROYED = 0

export interface StreamHost {
  readonly connection: Connection
  wake(): void
  /** The stream is done with on this side: no event needs to find it any more. */
  forget(stream: SessionStream): void
}

type Callback = (error?: Error | null) => void

export class SessionStream extends Duplex implements TransportStream {
  readonly session: Session
  readonly #host: StreamHost
  #id: number | null = null
  #urgency: number
  #pendingWrite: { bytes: Uint8Array; offset: number; callback: Callback } | null = null
  #pendingFinal: Callback | null = null
  #wantsRead = false
  #sawEnd = false
  readonly #canRead: boolean
  readonly #acknowledged = Promise.withResolvers<void>()
  #isAcknowledged = false

  constructor(parts: {
    session: Session
    host: StreamHost
    urgency: number
    readable: boolean
    writable: boolean
  }) {
    super({
      readable: parts.readable,
      writable: parts.writable,
      readableHighWaterMark: HIGH_WATER_BYTES,
      writableHighWaterMark: HIGH_WATER_BYTES,
      allowHalfOpen: true,
      emitClose: true,
    } as DuplexOptions)
    this.session = parts.session
    this.#host = parts.host
    this.#urgency = parts.urgency
    this.#canRead = parts.readable
    // Nobody has to ask for the acknowledgement.
    this.#acknowledged.promise.catch(() => undefined)
  }

  /** -1 until the peer's limit lets the stream begin. */
  get streamId(): number {
    return this.#id ?? -1
  }

  get urgency(): number {
    return this.#urgency
  }

  /** The transport has room for this stream. */
  begin(streamId: number): void {
    this.#id = streamId
    this.handleWritable()
    if (this.#pendingFinal) this.#finish(this.#pendingFinal)
    if (this.#wantsRead) this.handleReadable()
  }

  setUrgency(urgency: number): void {
    if (!Number.isInteger(urgency) || urgency < 0 || urgency > 7) {
      throw new TransportError('ERR_HOLDFAST_INVALID', `urgency ${urgency} is not 0..7`)
    }
    this.#urgency = urgency
    if (this.#id !== null) this.#host.connection.setUrgency(this.#id, urgency)
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#pendingWrite = { bytes: chunk, offset: 0, callback }
    this.handleWritable()
  }

  /** Hands over what waits, as far as the send buffer takes it. */
  handleWritable(): void {
    const pending = this.#pendingWrite
    if (!pending || this.#id === null || this.destroyed) return
    const rest = pending.offset === 0 ? pending.bytes : pending.bytes.subarray(pending.offset)
    pending.offset += this.#host.connection.write(this.#id, rest)
    this.#host.wake()
    if (pending.offset < pending.bytes.length) return
    this.#pendingWrite = null
    pending.callback()
  }

  override _final(callback: Callback): void {
    if (this.#id === null) this.#pendingFinal = callback
    else this.#finish(callback)
  }

  #finish(callback: Callback): void {
    this.#pendingFinal = null
    if (this.#id !== null) this.#host.connection.finish(this.#id)
    this.#host.wake()
    callback()
  }

  override _read(): void {
    this.#wantsRead = true
    this.handleReadable()
  }

  /** Reads while the consumer wants more; what it does not take keeps the peer's window shut. */
  handleReadable(): void {
    const id = this.#id
    if (!this.#wantsRead || id === null || !this.#canRead || this.destroyed) return
    const { connection } = this.#host
    // Asked first: reading the last bytes may let the transport forget the stream.
    for (;;) {
      const bytes = connection.read(id, READ_BYTES_MAX)
      if (bytes === null) break
      this.#host.wake()
      if (this.push(bytes)) continue
      this.#wantsRead = false
      return
    }
    if (connection.isReadFinished(id) && !this.#sawEnd) {
      this.#sawEnd = true
      this.push(null)
      this.#host.wake()
    }
  }

  handleAcknowledged(): void {
    this.#isAcknowledged = true
    this.#acknowledged.resolve()
  }

  handleReset(code: number): void {
    const detail = `the peer reset the stream (code ${code})`
    this.destroy(
      new TransportError('ERR_HOLDFAST_STREAM_RESET', detail, { wireCode: code, remote: true }),
    )
  }

  /** The peer stopped reading: our writes fail, what it sends may still be read. */
  handleStopped(code: number): void {
    const detail = `the peer no longer reads the stream (code ${code})`
    const options = { wireCode: code, remote: true }
    const error = new TransportError('ERR_HOLDFAST_STREAM_STOPPED', detail, options)
    this.#acknowledged.reject(error)
    const pending = this.#pendingWrite
    this.#pendingWrite = null
    if (pending) pending.callback(error)
    else this.destroy(error)
  }

  acknowledged(): Promise<void> {
    return this.#acknowledged.promise
  }

  reset(code: number): void {
    if (this.#id !== null) this.#host.connection.reset(this.#id, code)
    this.#host.wake()
    const detail = `the stream was reset here (code ${code})`
    if (!this.destroyed)
      this.destroy(new TransportError('ERR_HOLDFAST_STREAM_RESET', detail, { wireCode: code }))
  }

  stopReceiving(code: number): void {
    if (this.#id === null || this.#sawEnd) return
    this.#host.connection.stopSending(this.#id, code)
    this.#host.wake()
    this.#sawEnd = true
    this.push(null)
    this.resume()
  }

  override _destroy(error: Error | null, callback: Callback): void {
    const { connection } = this.#host
    const id = this.#id
    if (id !== null) {
      const code = error instanceof TransportError ? error.wireCode : CODE_DESTROYED
      if (!this.writableFinished) connection.reset(id, code)
      if (this.#canRead && !this.#sawEnd) connection.stopSending(id, code)
    }
    const failure = error ?? new TransportError('ERR_HOLDFAST_CLOSED', 'the stream was closed')
    if (!this.#isAcknowledged && !(this.writableFinished && id !== null))
      this.#acknowledged.reject(failure)
    const pending = this.#pendingWrite
    this.#pendingWrite = null
    if (pending) pending.callback(failure)
    const final = this.#pendingFinal
    this.#pendingFinal = null
    if (final) final(failure)
    this.#host.forget(this)
    this.#host.wake()
    callback(error)
  }

  /** The session is gone. */
  fail(error: Error): void {
    this.#acknowledged.reject(error)
    if (!this.destroyed) this.destroy(error)
  }
}
