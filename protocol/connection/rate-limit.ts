// protocol/connection/rate-limit.ts — how do we answer strangers now and then, but not as often as they like?

/** A token bucket that holds one second's worth. */
export class RateLimit {
  readonly #perSecond: number
  #left: number
  #atMs = Number.NEGATIVE_INFINITY

  constructor(perSecond: number) {
    this.#perSecond = perSecond
    this.#left = perSecond
  }

  take(nowMs: number): boolean {
    const refill = ((nowMs - this.#atMs) / 1_000) * this.#perSecond
    this.#left = Math.min(this.#perSecond, this.#left + refill)
    this.#atMs = nowMs
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}
