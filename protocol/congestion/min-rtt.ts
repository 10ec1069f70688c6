// protocol/congestion/min-rtt.ts — how long is the round trip when no queue stands in the way, and
// when must that be looked at again? draft-ietf-ccwg-bbr, "ProbeRTT Logic".
const FILTER_MS = 10_000
const PROBE_INTERVAL_MS = 5_000
/** Ours: a sample as good as equal shows that nothing has changed, and no queue stands. The draft
 * lets only a shorter one count, and so interrupts a sender that is alone. */
const EQUAL_FACTOR = 1.02
const EQUAL_MS = 0.1

export class MinRtt {
  minMs = Number.POSITIVE_INFINITY
  #minAtMs: number
  #recentMs = Number.POSITIVE_INFINITY
  #recentAtMs: number
  /** Nothing shorter was seen for an interval: look. */
  isProbeDue = false

  /** Ours: a short round trip is believed when three in a row were no longer. Where a packet now and
   * then skips a queue or a delay, one alone tells of no path that others could take. */
  #lastMs = 0
  #lastButOneMs = 0
  readonly #isDraft: boolean

  constructor(nowMs: number, isDraft: boolean) {
    this.#isDraft = isDraft
    this.#minAtMs = nowMs
    this.#recentAtMs = nowMs
  }

  handleSample(nowMs: number, sampleMs: number): void {
    const rttMs = this.#isDraft ? sampleMs : Math.max(sampleMs, this.#lastMs, this.#lastButOneMs)
    this.#lastButOneMs = this.#lastMs
    this.#lastMs = sampleMs
    if (!this.#isDraft && rttMs <= this.minMs * EQUAL_FACTOR + EQUAL_MS) this.#confirm(nowMs)
    this.isProbeDue = nowMs > this.#recentAtMs + PROBE_INTERVAL_MS
    if (rttMs < this.#recentMs || this.isProbeDue) {
      this.#recentMs = rttMs
      this.#recentAtMs = nowMs
    }
    const isOld = nowMs > this.#minAtMs + FILTER_MS
    if (this.#recentMs < this.minMs || isOld) {
      this.minMs = this.#recentMs
      this.#minAtMs = this.#recentAtMs
    }
  }

  #confirm(nowMs: number): void {
    this.#minAtMs = nowMs
    this.#recentAtMs = nowMs
    this.#recentMs = this.minMs
  }

  /** It has been looked at just now. */
  restart(nowMs: number): void {
    this.#recentAtMs = nowMs
  }
}
