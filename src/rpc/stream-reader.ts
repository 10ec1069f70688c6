// src/rpc/stream-reader.ts — how are bytes pulled from a stream, one piece at a time?
import { TransportError, type TransportStream } from '../../protocol/types.ts'

/**
 * Takes one piece when asked and leaves the rest where it is, so the stream's own window slows the
 * peer. Unlike `stream.read()` it never joins pieces. Must be made before the stream can fail: it
 * holds the error listener for good.
 */
export class StreamReader {
  readonly #stream: TransportStream
  readonly #onBytes: () => void
  #held: Uint8Array[] = []
  #isEnded = false
  #error: unknown = null
  #isClosed = false
  #wakes: (() => void)[] = []

  /** `onBytes`: something arrived, whoever asked. */
  constructor(stream: TransportStream, onBytes: () => void = () => {}) {
    this.#stream = stream
    this.#onBytes = onBytes
    stream.pause()
    stream.on('data', (bytes: Uint8Array) => {
      stream.pause()
      this.#onBytes()
      this.#held.push(bytes)
      this.#wake()
    })
    stream.once('end', () => {
      this.#isEnded = true
      this.#wake()
    })
    stream.on('error', (error) => {
      this.#error ??= error
      this.#wake()
    })
    stream.once('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  /** The peer has ended its half and everything was taken. */
  get isEnded(): boolean {
    return this.#isEnded && this.#held.length === 0
  }

  /** The next piece, never empty; null at the end. Rejects with the stream's error. */
  async next(): Promise<Uint8Array | null> {
    for (;;) {
      const bytes = this.#held.shift()
      if (bytes && bytes.length > 0) return bytes
      if (bytes) continue
      if (this.#isEnded) return null
      if (this.#error !== null) throw this.#error
      if (this.#isClosed) throw new TransportError('ERR_HOLDFAST_CLOSED', 'the stream was closed')
      await new Promise<void>((resolve) => {
        this.#wakes.push(resolve)
        this.#stream.resume()
      })
    }
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#held.unshift(bytes)
  }

  /** Whoever waits, or asks later, gets this error instead of bytes. */
  fail(error: unknown): void {
    this.#error ??= error
    this.#held = []
    this.#wake()
  }

  #wake(): void {
    const wakes = this.#wakes
    this.#wakes = []
    for (const wake of wakes) wake()
  }
}
