// protocol/connection/pacer.ts — when may the next packet leave? A token bucket in bytes.
const BURST_MS = 2 // Node's timers wake once per millisecond at best.
const BURST_SEGMENTS_MIN = 2
/** Below it pacing costs more than it saves: a loopback or a LAN. */
const RTT_MS_MIN = 0.5

export class Pacer {
  #tokens = 0
  #rate = Number.POSITIVE_INFINITY // bytes per ms
  #depth = Number.POSITIVE_INFINITY
  #updatedMs = Number.NEGATIVE_INFINITY

  update(state: {
    windowBytes: number
    rttMs: number
    isSlowStart: boolean
    segmentBytes: number
  }): void {
    if (state.rttMs < RTT_MS_MIN) {
      this.#rate = Number.POSITIVE_INFINITY
      return
    }
    const gain = state.isSlowStart ? 2 : 1.25 // RFC 9002 §7.7
    this.#rate = (gain * state.windowBytes) / state.rttMs
    this.#depth = Math.max(BURST_SEGMENTS_MIN * state.segmentBytes, this.#rate * BURST_MS)
  }

  #refill(nowMs: number): void {
    if (nowMs <= this.#updatedMs) return
    const gained = (nowMs - this.#updatedMs) * this.#rate
    this.#tokens = Number.isFinite(gained)
      ? Math.min(this.#depth, this.#tokens + gained)
      : this.#depth
    this.#updatedMs = nowMs
  }

  maySend(nowMs: number): boolean {
    if (this.#rate === Number.POSITIVE_INFINITY) return true
    this.#refill(nowMs)
    return this.#tokens > 0
  }

  handleSent(bytes: number): void {
    if (this.#rate !== Number.POSITIVE_INFINITY) this.#tokens -= bytes
  }

  /** When the bucket holds something again. */
  releaseMs(nowMs: number): number {
    if (this.maySend(nowMs)) return nowMs
    return nowMs + Math.max(0.01, -this.#tokens / this.#rate + 0.01)
  }
}
