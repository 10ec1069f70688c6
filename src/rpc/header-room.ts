// src/rpc/header-room.ts — how much of our memory may the requests hold that a peer has not finished?

/** Nearly every header is smaller, and waits for nobody. */
const SMALL_BYTES_MAX = 64 * 1024
/** For all larger ones of a session together: two of the largest. */
const ROOM_BYTES = 8 * 2 ** 20

interface Waiting {
  readonly lengthBytes: number
  readonly enter: () => void
}

/** First come, first served. Whoever waits leaves its bytes with the sender. */
export class HeaderRoom {
  #freeBytes = ROOM_BYTES
  readonly #queue = new Set<Waiting>()

  /** Resolves once there is room; rejects with the signal's reason. A header is never larger than
   * all of the room. `leave` must follow. */
  enter(lengthBytes: number, signal: AbortSignal): Promise<void> {
    if (lengthBytes <= SMALL_BYTES_MAX) return Promise.resolve()
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
    if (lengthBytes <= SMALL_BYTES_MAX) return
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
