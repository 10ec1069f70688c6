// protocol/congestion/hystart.ts — when does slow start end without a loss? HyStart++, RFC 9406.
import type { AckSample } from './controller.ts'

const RTT_SAMPLES_MIN = 8
const THRESHOLD_MS_MIN = 4
const THRESHOLD_MS_MAX = 16
const RTT_DIVISOR = 8
const CONSERVATIVE_DIVISOR = 4
const CONSERVATIVE_ROUNDS = 5

/** Rounds end with the acknowledgement of what was sent after they began. */
export class HyStart {
  isConservative = false
  #roundEndsAt = 0
  #lastMinMs = Number.POSITIVE_INFINITY
  #minMs = Number.POSITIVE_INFINITY
  #samples = 0
  #baselineMs = 0
  #roundsLeft = 0

  /** By how much less than what is acknowledged the window grows. */
  get growthDivisor(): number {
    return this.isConservative ? CONSERVATIVE_DIVISOR : 1
  }

  /** True: slow start is over. */
  handleAck(sample: AckSample): boolean {
    if (sample.priorDeliveredBytes >= this.#roundEndsAt) {
      this.#roundEndsAt = sample.deliveredTotalBytes
      this.#lastMinMs = this.#minMs
      this.#minMs = Number.POSITIVE_INFINITY
      this.#samples = 0
      if (this.isConservative) {
        this.#roundsLeft -= 1
        if (this.#roundsLeft === 0) return true
      }
    }
    this.#minMs = Math.min(this.#minMs, sample.rttMs)
    this.#samples += 1
    if (this.#samples >= RTT_SAMPLES_MIN) this.#judge()
    return false
  }

  #judge(): void {
    if (this.isConservative) {
      if (this.#minMs < this.#baselineMs) this.isConservative = false // it was only jitter
      return
    }
    if (this.#lastMinMs === Number.POSITIVE_INFINITY) return
    const eighthMs = this.#lastMinMs / RTT_DIVISOR
    const thresholdMs = Math.max(THRESHOLD_MS_MIN, Math.min(eighthMs, THRESHOLD_MS_MAX))
    if (this.#minMs < this.#lastMinMs + thresholdMs) return
    this.isConservative = true
    this.#baselineMs = this.#minMs
    this.#roundsLeft = CONSERVATIVE_ROUNDS
  }
}
