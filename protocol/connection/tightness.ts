// protocol/connection/tightness.ts — is the reader so quick that the window is what holds the peer back?

/** A window that is read half in less than so many round trips is too small. */
const TIGHT_RTTS = 2

export class Tightness {
  #sinceMs = Number.NEGATIVE_INFINITY
  #sinceBytes = 0

  /** To be told of every read; true when the window should grow. */
  handleRead(consumedBytes: number, windowBytes: number, nowMs: number, rttMs: number): boolean {
    if (consumedBytes - this.#sinceBytes < windowBytes / 2) return false
    const isTight = nowMs - this.#sinceMs < TIGHT_RTTS * rttMs
    this.#sinceMs = nowMs
    this.#sinceBytes = consumedBytes
    return isTight
  }
}
