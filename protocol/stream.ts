// protocol/stream.ts — how is one stream of a connection a Node Duplex, with backpressure both ways?
//
//   write() ─► Duplex's queue ─► core's send buffer ─► packets    full: the callback waits
//   packets ─► core's window  ─► Duplex's queue ─► 'data'         full: we stop reading the core,
//                                                                 and the peer's window stays shut
import { Duplex, type DuplexOptions } from 'node:stream'
import type { Connection } from './connection/api.ts'
import type { SessionShell } from './session.ts'
import { TransportError, type TransportStream } from './types.ts'
import { CODE_UNSPECIFIED, isCode, VARINT_MAX } from './wire/frames.ts'

const HIGH_WATER_BYTES = 64 * 1024
const READ_BYTES_MAX = 64 * 1024
/** Writes shorter than this are joined where several wait, to blocks of at most BLOCK_BYTES. */
const SMALL_BYTES = 4 * 1024
const BLOCK_BYTES = 64 * 1024
/** What the peer is told when a stream was destroyed without a code. */
const CODE_DESTROYED = 0
/** To stop with this code says "no error, just enough" (as in HTTP/3): the writer goes on reading
 * the answer, and what it still writes is dropped. */
const CODE_ENOUGH = 0

type Done = (error?: Error | null) => void

export interface StreamParts {
  readonly session: SessionShell
  readonly connection: Connection
  readonly wake: () => void
  readonly urgency: number
  readonly isReadable: boolean
  readonly isWritable: boolean
}

export class StreamShell extends Duplex implements TransportStream {
  readonly session: SessionShell
  /** -1 until the peer's stream limit lets the stream begin. */
  streamId = -1
  urgency: number
  readonly #connection: Connection
  readonly #wake: () => void
  // Sending.
  #blocks: Uint8Array[] = []
  #written: Done | null = null
  #final: Done | null = null
  /** Why nothing is sent any more; what is written is dropped. */
  #sendingOver: TransportError | null = null
  #isFinished = false
  #isAcknowledged = false
  #acknowledged: PromiseWithResolvers<void> | null = null
  // Receiving.
  #wantsBytes = false
  #isReadingOver: boolean
  /** The session ended in order: what has arrived is still handed out, then this. */
  #endError: TransportError | null = null

  constructor(parts: StreamParts) {
    const sides = { readable: parts.isReadable, writable: parts.isWritable } as DuplexOptions
    super({
      ...sides,
      readableHighWaterMark: HIGH_WATER_BYTES,
      writableHighWaterMark: HIGH_WATER_BYTES,
    })
    this.session = parts.session
    this.#connection = parts.connection
    this.#wake = parts.wake
    this.#isReadingOver = !parts.isReadable
    this.urgency = checkUrgency(parts.urgency)
    // Peers and networks fail; a program that does not listen for it must not die of it. Whoever
    // reads, writes or waits for acknowledged() hears of the error there as well.
    this.on('error', () => {})
    this.once('end', () => {
      // After reset() the Duplex still waits for an end() that nobody may call.
      if (this.#sendingOver && !this.writableEnded) this.end()
    })
  }

  setUrgency(urgency: number): void {
    this.urgency = checkUrgency(urgency)
    if (this.streamId >= 0) this.#connection.setUrgency(this.streamId, urgency)
  }

  reset(code: number): void {
    checkCode(code)
    if (this.destroyed || this.#sendingOver || this.#isAcknowledged || !this.#canSend) return
    if (this.streamId >= 0) this.#connection.reset(this.streamId, code)
    const options = { wireCode: code }
    this.#giveUpSending(new TransportError('ERR_HOLDFAST_STREAM_RESET', 'reset here', options))
    this.#settleWrite(null)
    this.#wake()
  }

  stopReceiving(code: number): void {
    checkCode(code)
    if (this.destroyed || this.#isReadingOver) return
    this.#isReadingOver = true
    if (this.streamId >= 0) this.#connection.stopSending(this.streamId, code)
    this.#wake()
    this.push(null)
    this.resume()
  }

  acknowledged(): Promise<void> {
    if (this.#isAcknowledged) return Promise.resolve()
    const failure = this.#sendingOver ?? (this.destroyed && !this.#isFinished ? this.#why() : null)
    if (failure) return Promise.reject(failure)
    this.#acknowledged ??= Promise.withResolvers()
    this.#acknowledged.promise.catch(() => {}) // never an unhandled rejection
    return this.#acknowledged.promise
  }

  // — for the session —

  /** Written and not yet taken by the core, a FIN included. */
  get hasUnsent(): boolean {
    if (this.destroyed || this.#sendingOver || !this.#canSend) return false
    return this.writableLength > 0 || (this.writableEnded && !this.#isFinished)
  }

  begin(streamId: number): void {
    this.streamId = streamId
    this.handleWritable()
    if (this.#wantsBytes) this.handleReadable()
  }

  handleWritable(): void {
    this.#sendBlocks()
    if (this.#final && this.#blocks.length === 0) this.#finish()
  }

  handleReadable(): void {
    while (this.#wantsBytes && !this.#isReadingOver && !this.destroyed) {
      const bytes = this.#connection.read(this.streamId, READ_BYTES_MAX)
      if (bytes === null) break
      this.#wantsBytes = this.push(bytes)
      this.#wake() // reading opens the window
    }
    if (this.#isReadingOver || this.destroyed) return
    if (this.#connection.isReadFinished(this.streamId)) {
      this.#isReadingOver = true
      this.push(null)
    } else if (this.#endError && this.#wantsBytes) this.destroy(this.#endError)
  }

  handleAcknowledged(): void {
    this.#isAcknowledged = true
    this.#acknowledged?.resolve()
    if (this.destroyed) this.session.forget(this)
  }

  /** The peer gave up sending. */
  handleReset(code: number): void {
    this.#isReadingOver = true
    const options = { wireCode: code, remote: true }
    const detail = `the peer reset the stream with code ${code}`
    this.destroy(new TransportError('ERR_HOLDFAST_STREAM_RESET', detail, options))
  }

  /** The peer no longer reads; the core has reset our half. */
  handleStopped(code: number): void {
    const options = { wireCode: code, remote: true }
    const detail = `the peer no longer reads the stream: code ${code}`
    const error = new TransportError('ERR_HOLDFAST_STREAM_STOPPED', detail, options)
    this.#giveUpSending(error)
    if (this.destroyed) this.session.forget(this)
    else if (code !== CODE_ENOUGH || this.#isReadingOver) this.destroy(error)
    else this.#settleWrite(null)
  }

  handleSessionFailed(error: Error): void {
    this.#endError = toClosed(error)
    this.#acknowledged?.reject(error)
    this.destroy(error)
  }

  handleSessionEnded(error: TransportError): void {
    this.#endError = error
    if (!this.#isAcknowledged) this.#acknowledged?.reject(error)
    const isWriting = this.#blocks.length > 0 || this.#final !== null
    if (isWriting || this.streamId < 0 || this.#isReadingOver) this.destroy(error)
    else this.handleReadable()
  }

  // — Duplex —

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#offer([chunk], done)
  }

  override _writev(items: { chunk: Buffer; encoding: BufferEncoding }[], done: Done): void {
    this.#offer(joinSmall(items), done)
  }

  override _final(done: Done): void {
    if (this.#sendingOver || this.#endError) {
      done(this.#sendingOver ? null : this.#endError)
      return
    }
    this.#final = done
    if (this.streamId >= 0) this.#finish()
  }

  override _read(): void {
    this.#wantsBytes = true
    if (this.streamId >= 0) this.handleReadable()
  }

  override _destroy(error: Error | null, done: Done): void {
    const given = error instanceof TransportError ? error.wireCode : CODE_DESTROYED
    const code = isCode(given) ? given : CODE_UNSPECIFIED
    if (this.streamId >= 0 && this.#endError === null) {
      if (this.#canSend && !this.#isFinished && !this.#sendingOver) {
        this.#connection.reset(this.streamId, code)
      }
      if (!this.#isReadingOver) this.#connection.stopSending(this.streamId, code)
      this.#wake()
    }
    this.#isReadingOver = true
    if (!this.#isFinished) this.#giveUpSending(toClosed(error))
    // Only where somebody waits: an error with its stack costs more than the rest of a short stream.
    if (this.#written || this.#final) this.#settleWrite(toClosed(error))
    // A FIN on its way may still be acknowledged; then the session forgets the stream.
    const isOnItsWay = this.#isFinished && !this.#isAcknowledged && !this.#sendingOver
    if (!isOnItsWay || this.#endError) this.session.forget(this)
    done(error)
  }

  get #canSend(): boolean {
    return this.streamId < 0 || (this.streamId & 2) === 0 || this.#isOurs
  }

  get #isOurs(): boolean {
    return (this.streamId & 1) === (this.#connection.isInitiator ? 0 : 1)
  }

  #offer(blocks: Uint8Array[], done: Done): void {
    if (this.#sendingOver || this.#endError) {
      done(this.#sendingOver ? null : this.#endError)
      return
    }
    this.#blocks = blocks
    this.#written = done
    if (this.streamId >= 0) this.#sendBlocks()
  }

  #sendBlocks(): void {
    const blocks = this.#blocks
    let sent = 0
    for (const block of blocks) {
      const count = this.#connection.write(this.streamId, block)
      if (count < block.length) {
        this.#blocks = blocks.slice(sent)
        this.#blocks[0] = block.subarray(count)
        this.#wake() // `stream-writable` brings us back
        return
      }
      sent += 1
    }
    if (sent > 0) this.#wake()
    this.#blocks = []
    this.#settleWrite(null)
  }

  /** Calls back whoever waits for a write() or an end(). */
  #settleWrite(error: Error | null): void {
    const written = this.#written
    this.#written = null
    written?.(error)
    if (!this.#sendingOver) return
    const final = this.#final
    this.#final = null
    final?.(error)
  }

  #finish(): void {
    const final = this.#final
    this.#final = null
    this.#isFinished = true
    this.#connection.finish(this.streamId)
    this.#wake()
    final?.()
  }

  #giveUpSending(error: TransportError): void {
    if (this.#sendingOver) return
    this.#sendingOver = error
    this.#acknowledged?.reject(error)
    this.#blocks = []
  }

  #why(): TransportError {
    return this.#endError ?? toClosed(this.errored)
  }
}

/** Many short writes cost the core a buffer each: joined, they cost it one per block. */
function joinSmall(items: readonly { chunk: Buffer }[]): Uint8Array[] {
  const blocks: Uint8Array[] = []
  let small: Buffer[] = []
  let smallBytes = 0
  const flush = (): void => {
    if (small.length > 0) blocks.push(small.length === 1 ? small[0]! : Buffer.concat(small))
    small = []
    smallBytes = 0
  }
  for (const { chunk } of items) {
    if (chunk.length >= SMALL_BYTES || smallBytes + chunk.length > BLOCK_BYTES) flush()
    if (chunk.length >= SMALL_BYTES) blocks.push(chunk)
    else {
      small.push(chunk)
      smallBytes += chunk.length
    }
  }
  flush()
  return blocks
}

function toClosed(error: Error | null): TransportError {
  if (error instanceof TransportError) return error
  const detail = error?.message ?? 'the stream was destroyed'
  return new TransportError('ERR_HOLDFAST_CLOSED', detail, error ? { cause: error } : {})
}

function checkUrgency(urgency: number): number {
  if (Number.isInteger(urgency) && urgency >= 0 && urgency <= 7) return urgency
  throw new TransportError('ERR_HOLDFAST_INVALID', `urgency ${urgency} is not one of 0 to 7`)
}

function checkCode(code: number): void {
  if (isCode(code)) return
  throw new TransportError('ERR_HOLDFAST_INVALID', `code ${code} is not one of 0 to ${VARINT_MAX}`)
}
