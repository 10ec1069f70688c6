// src/rpc/body.ts — how do raw bytes go out and come in, each side as fast as the slower one?
import type { TransportStream } from '../../protocol/types.ts'
import type { StreamReader } from './stream-reader.ts'

/** Writes all pieces, then returns; does not end the stream. Stops, and returns the source's
 * iterator, when `signal` fires. Rejects with the source's error, the signal's reason or, when the
 * stream is gone, at the signal that follows from it. */
export async function sendBody(
  stream: TransportStream,
  body: AsyncIterable<Uint8Array>,
  options: { signal: AbortSignal; onSource: (isWaiting: boolean) => void; onMoved: () => void },
): Promise<void> {
  const { signal, onSource, onMoved } = options
  const pieces = body[Symbol.asyncIterator]()
  let isDone = false
  try {
    for (;;) {
      onSource(true)
      const next = await unlessAborted(pieces.next(), signal)
      onSource(false)
      if (next.done) {
        isDone = true
        return
      }
      if (next.value.length === 0) continue
      onMoved()
      if (!stream.write(next.value)) await unlessAborted(drained(stream), signal)
      onMoved()
    }
  } catch (error) {
    if (!isDone) void Promise.resolve(pieces.return?.()).catch(() => {})
    throw error
  }
}

/** What arrives, as an iterable that may be left at any time. `return` is `onLeft`. */
export class IncomingBody implements AsyncIterableIterator<Uint8Array, undefined> {
  readonly #reader: StreamReader
  readonly #onLeft: () => void
  readonly #onEnd: () => void
  readonly #explain: (error: unknown) => unknown
  #isOver = false

  constructor(
    reader: StreamReader,
    handle: { onLeft: () => void; onEnd: () => void; explain: (error: unknown) => unknown },
  ) {
    this.#reader = reader
    this.#onLeft = handle.onLeft
    this.#onEnd = handle.onEnd
    this.#explain = handle.explain
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (this.#isOver) return { done: true, value: undefined }
    try {
      const bytes = await this.#reader.next()
      if (bytes !== null && !this.#isOver) return { done: false, value: bytes }
    } catch (error) {
      if (!this.#isOver) throw this.#explain(error)
    }
    if (!this.#isOver) this.#onEnd()
    this.#isOver = true
    return { done: true, value: undefined }
  }

  /** Never waits and never rejects, also while a `next` is under way. */
  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#isOver) {
      this.#isOver = true
      this.#onLeft()
    }
    return { done: true, value: undefined }
  }
}

function drained(stream: TransportStream): Promise<void> {
  if (!stream.writableNeedDrain) return Promise.resolve()
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })
}

/** The promise's outcome, unless the signal fires first. What comes later is dropped. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const handleAbort = (): void => reject(signal.reason)
    if (signal.aborted) handleAbort()
    else signal.addEventListener('abort', handleAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', handleAbort))
  })
}
