// src/rpc/header-room.ts — how much of our memory may the requests hold that a peer has not finished?
import { HoldfastError } from '../errors.ts'

export interface RoomSizes {
  /** A header up to this size waits for nobody, and is not counted. Bytes, as all here. */
  readonly smallBytesMax: number
  readonly largestBytes: number
  /** For all that are not small, together; at least one of the largest. */
  readonly roomBytes: number
}

interface Waiting {
  readonly lengthBytes: number
  readonly enter: () => void
}

/** First come, first served. Whoever waits leaves its bytes with the sender. */
export class HeaderRoom {
  readonly #sizes: RoomSizes
  #freeBytes: number
  readonly #queue = new Set<Waiting>()

  constructor(sizes: RoomSizes) {
    this.#sizes = sizes
    this.#freeBytes = sizes.roomBytes
  }

  /** Resolves once there is room, and `leave` must follow. Rejects with the signal's reason, and with
   * NOT_ALLOWED what is larger than any may be. */
  async enter(lengthBytes: number, signal: AbortSignal): Promise<void> {
    const { smallBytesMax, largestBytes } = this.#sizes
    if (lengthBytes <= smallBytesMax) return
    if (lengthBytes > largestBytes) {
      const detail = `a request of ${lengthBytes} bytes, more than ${largestBytes}`
      throw new HoldfastError('NOT_ALLOWED', detail)
    }
    await this.#wait(lengthBytes, signal)
  }

  #wait(lengthBytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#queue.delete(waiting)
        reject(signal.reason)
        this.#admit()
      }
      const enter = (): void => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      }
      const waiting = { lengthBytes, enter }
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
      signal.addEventListener('abort', giveUp, { once: true })
      this.#queue.add(waiting)
      this.#admit()
    })
  }

  leave(lengthBytes: number): void {
    if (lengthBytes <= this.#sizes.smallBytesMax) return
    this.#freeBytes += lengthBytes
    this.#admit()
  }

  #admit(): void {
    for (const waiting of this.#queue) {
      if (waiting.lengthBytes > this.#freeBytes) return
      this.#queue.delete(waiting)
      this.#freeBytes -= waiting.lengthBytes
      waiting.enter()
    }
  }
}
