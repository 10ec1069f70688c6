// protocol/connection/stream-windows.ts — how much may the peer send on each stream?
import type { ReceiveStream } from './receive-stream.ts'
import { RENEW_RATIO, type ReceiveWindow, WINDOW_GROWTH } from './receive-window.ts'

/** One stream's window is part of the connection's, and costs nothing of its own. */
export class StreamWindows {
  /** Streams whose MAX_STREAM_DATA waits to be sent. */
  readonly owed = new Set<number>()
  readonly #bytesMax: number
  readonly #connection: ReceiveWindow

  constructor(bytesMax: number, connection: ReceiveWindow) {
    this.#bytesMax = bytesMax
    this.#connection = connection
  }

  /** The application has read some of it. */
  handleRead(stream: ReceiveStream, nowMs: number, rttMs: number): void {
    if (stream.finalSize !== null) return
    const { consumed, windowBytes, tightness } = stream
    if (tightness.handleRead(consumed, windowBytes, nowMs, rttMs)) this.#grow(stream)
    if (stream.limit - consumed <= stream.windowBytes * RENEW_RATIO) this.#renew(stream)
  }

  /** STREAM_DATA_BLOCKED: an update was lost, or the reader keeps up with a window too small. */
  handleBlocked(stream: ReceiveStream, toldLimit: number): void {
    if (stream.finalSize !== null || stream.stopped) return
    if (toldLimit < stream.limit) {
      this.owed.add(stream.id)
      return
    }
    if (stream.readableBytes <= stream.windowBytes / 2) this.#grow(stream)
    this.#renew(stream)
  }

  #grow(stream: ReceiveStream): void {
    if (!this.#connection.mayGrow) return
    stream.windowBytes = Math.min(WINDOW_GROWTH * stream.windowBytes, this.#bytesMax)
  }

  #renew(stream: ReceiveStream): void {
    const limit = stream.consumed + stream.windowBytes
    if (limit <= stream.limit) return
    stream.limit = limit
    this.owed.add(stream.id)
  }
}
