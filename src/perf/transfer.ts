// src/perf/transfer.ts — how are many bytes sent over several streams, and received?
import type { Clock, TransportStream } from '../../protocol/index.ts'
import { ContentCheck, ContentSource } from './content.ts'

/** The code of a stream that was cut off because its time was over, not because it failed. */
const CODE_STOPPED = 1

/** Writes content until so many bytes are written, or `untilMs` has come: what is then still on its
 * way is given up, for on a slow link that could be minutes' worth. */
export class Sending {
  /** Resolves when the receiver's transport has it all, rejects when a stream fails first. */
  readonly done: Promise<void>
  readonly #streams: readonly TransportStream[]
  readonly #sources: ContentSource[] = []
  #isStopped = false

  constructor(
    streams: readonly TransportStream[],
    until: { bytes: number | null; untilMs: number | null },
    clock: Clock,
  ) {
    this.#streams = streams
    const { bytes, untilMs } = until
    const all = streams.map((stream, index) => {
      const share = shareOf(bytes, index, streams.length)
      return this.#send(stream, share ?? Number.POSITIVE_INFINITY)
    })
    const timer =
      untilMs === null ? null : clock.setTimer(() => this.stop(), untilMs - clock.nowMs())
    this.done = Promise.all(all)
      .then(() => undefined)
      .finally(() => timer?.cancel())
    this.done.catch(() => undefined)
  }

  /** Written; nearly all of it has been sent. */
  get bytes(): number {
    return this.#sources.reduce((sum, source) => sum + source.offset, 0)
  }

  /** Sends no more, not even what is written. */
  stop(): void {
    this.#isStopped = true
    for (const stream of this.#streams) stream.reset(CODE_STOPPED)
  }

  #send(stream: TransportStream, bytes: number): Promise<void> {
    const source = new ContentSource(stream.streamId)
    this.#sources.push(source)
    const pump = (): void => {
      while (source.offset < bytes) {
        if (stream.destroyed || this.#isStopped) return
        const [stamp, body] = source.next(bytes - source.offset)
        stream.cork()
        stream.write(stamp)
        const hasRoom = stream.write(body)
        stream.uncork()
        if (!hasRoom) return
      }
      stream.off('drain', pump)
      stream.end()
    }
    stream.on('drain', pump)
    pump()
    return stream.acknowledged().catch((error: unknown) => {
      if (!this.#isStopped) throw error
    })
  }
}

function shareOf(bytes: number | null, index: number, streams: number): number | null {
  if (bytes === null) return null
  return Math.floor(bytes / streams) + (index < bytes % streams ? 1 : 0)
}

/** Reads and checks what the other end sends on `streams` streams. */
export class Receiving {
  /** Resolves when all have ended, rejects when one fails. */
  readonly done: Promise<void>
  readonly #streams: number
  readonly #clock: Clock
  readonly #checks: ContentCheck[] = []
  readonly #settle: PromiseWithResolvers<void>
  #ended = 0
  #lastByteMs: number

  constructor(streams: number, clock: Clock) {
    this.#streams = streams
    this.#clock = clock
    this.#lastByteMs = clock.nowMs()
    this.#settle = Promise.withResolvers()
    this.done = this.#settle.promise
    this.done.catch(() => undefined)
  }

  /** Delivered, right or wrong. */
  get bytes(): number {
    return this.#checks.reduce((sum, check) => sum + check.bytes, 0)
  }

  /** Where in its stream the first wrong byte was, or null. */
  get wrongAt(): number | null {
    return this.#checks.find((check) => check.wrongAt !== null)?.wrongAt ?? null
  }

  /** When the last byte was delivered, on our clock. */
  get lastByteMs(): number {
    return this.#lastByteMs
  }

  take(stream: TransportStream): void {
    const check = new ContentCheck(stream.streamId)
    this.#checks.push(check)
    let isOver = false
    const end = (error?: Error & { wireCode?: number }): void => {
      if (isOver) return
      isOver = true
      this.#ended += 1
      if (error && error.wireCode !== CODE_STOPPED) this.#settle.reject(error)
      else if (this.#ended === this.#streams) this.#settle.resolve()
    }
    stream.on('data', (chunk: Buffer) => {
      check.take(chunk)
      this.#lastByteMs = this.#clock.nowMs()
    })
    stream.on('end', () => end())
    stream.on('error', end)
  }
}
