// protocol/connection/rtt.ts — how long is a round trip? RFC 9002 §5.
export const INITIAL_RTT_MS = 100 // RFC 9002 says 333; a closed deployment may start lower.
export const GRANULARITY_MS = 1
const PTO_MS_MIN = 4 // Node's timers fire up to 3 ms late.
const PTO_MS_MAX = 60_000

export class RttEstimator {
  latestMs = INITIAL_RTT_MS
  smoothedMs = INITIAL_RTT_MS
  variationMs = INITIAL_RTT_MS / 2
  minMs = INITIAL_RTT_MS
  hasSample = false

  /** Another path: nothing is known of it. */
  reset(): void {
    this.latestMs = INITIAL_RTT_MS
    this.smoothedMs = INITIAL_RTT_MS
    this.variationMs = INITIAL_RTT_MS / 2
    this.minMs = INITIAL_RTT_MS
    this.hasSample = false
  }

  /** `ackDelayMs` is the peer's own word, already clamped to its maximum. A packet that overtook
   * others, or whose ACK did, does not tell the shortest time: some took a shorter way. */
  handleSample(sampleMs: number, ackDelayMs: number, overtook: boolean): void {
    this.latestMs = sampleMs
    if (!this.hasSample) {
      this.hasSample = true
      this.minMs = sampleMs
      this.smoothedMs = sampleMs
      this.variationMs = sampleMs / 2
      return
    }
    if (!overtook) this.minMs = Math.min(this.minMs, sampleMs)
    const adjustedMs = sampleMs - ackDelayMs >= this.minMs ? sampleMs - ackDelayMs : sampleMs
    this.variationMs += (Math.abs(this.smoothedMs - adjustedMs) - this.variationMs) / 4
    this.smoothedMs += (adjustedMs - this.smoothedMs) / 8
  }

  /** Probe timeout before any doubling (RFC 9002 §6.2.1), with the peer's longest ACK delay. */
  ptoMs(ackDelayMsMax: number, doublings: number): number {
    const baseMs = this.smoothedMs + Math.max(4 * this.variationMs, GRANULARITY_MS) + ackDelayMsMax
    return Math.min(PTO_MS_MAX, Math.max(PTO_MS_MIN, baseMs) * 2 ** Math.min(doublings, 16))
  }
}
