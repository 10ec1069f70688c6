// protocol/connection/send-buffer.ts — how much may writers leave with us before they have to wait?
//
// More than the path holds, or it runs dry while a writer is asked for more; not much more, or what is
// written last waits behind all of it, and memory is the limit.
import { STREAM_SEND_BUFFER_BYTES } from './limits.ts'
import type { MemoryShare } from './memory-budget.ts'
import type { SendStream } from './send-stream.ts'

/** What every stream has for itself, whatever the others hold. */
const STREAM_SHARE_BYTES = 65_536
/** What waits for a lost piece in front of it stays here: that is found after one round trip, and
 * has arrived after two, or three or four where it is lost again. */
const WINDOWS = 4
/** Writers are asked for more when so much of the room is still in use. */
const LOW_RATIO = 0.75

export class SendBuffer {
  bufferedBytes = 0
  /** Acknowledged or given up since the connection began. */
  releasedBytes = 0
  /** The path's window, bytes. */
  windowBytes = 0
  readonly #leastBytes: number
  readonly #share: MemoryShare
  readonly #emitWritable: (streamId: number) => void
  readonly #waiting = new Set<number>()

  constructor(leastBytes: number, share: MemoryShare, emitWritable: (streamId: number) => void) {
    this.#leastBytes = leastBytes
    this.#share = share
    this.#emitWritable = emitWritable
  }

  /** For all streams together. */
  get #roomBytes(): number {
    const { budget } = this.#share
    if (budget.isScarce) return 0
    const wantedBytes = Math.max(this.#leastBytes, WINDOWS * this.windowBytes)
    return budget.allowsGrowth(0) ? wantedBytes : Math.min(wantedBytes, this.#leastBytes)
  }

  get #streamRoomBytes(): number {
    return Math.max(STREAM_SEND_BUFFER_BYTES, WINDOWS * this.windowBytes)
  }

  /** How many of so many bytes the stream may take; fewer: it is told when there is room. */
  take(stream: SendStream, bytes: number): number {
    // A bulk stream may fill the connection's share, but not keep others from their first bytes.
    const room = Math.max(
      STREAM_SHARE_BYTES - stream.bufferedBytes,
      Math.min(this.#streamRoomBytes - stream.bufferedBytes, this.#roomBytes - this.bufferedBytes),
    )
    const count = Math.max(0, Math.min(Math.floor(room), bytes)) // windows have fractions
    if (count < bytes) this.#waiting.add(stream.id)
    this.bufferedBytes += count
    this.#share.add(count)
    return count
  }

  /** So many bytes of it are acknowledged, or given up. */
  release(stream: SendStream, bytes: number): void {
    this.bufferedBytes -= bytes
    this.releasedBytes += bytes
    this.#share.add(-bytes)
    if (this.#waiting.size > 0) this.#offerRoom(stream)
  }

  #offerRoom(stream: SendStream): void {
    const lowBytes = LOW_RATIO * this.#roomBytes
    const streamLowBytes = LOW_RATIO * this.#streamRoomBytes
    const hasRoom = this.bufferedBytes <= lowBytes && stream.bufferedBytes <= streamLowBytes
    if (hasRoom || stream.bufferedBytes <= STREAM_SHARE_BYTES / 2) this.#offer(stream.id)
    if (this.bufferedBytes > lowBytes) return
    for (const id of this.#waiting) if (id !== stream.id) this.#offer(id)
  }

  #offer(streamId: number): void {
    if (this.#waiting.delete(streamId)) this.#emitWritable(streamId)
  }

  forget(streamId: number): void {
    this.#waiting.delete(streamId)
  }
}
