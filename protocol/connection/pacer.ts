// protocol/connection/pacer.ts — how many bytes may leave now? A token bucket in bytes.
import type { CongestionController } from '../congestion/controller.ts'
import type { RttEstimator } from './rtt.ts'

/** Where the rate comes from. */
interface PacedPath {
  readonly congestion: CongestionController
  readonly rtt: RttEstimator
}

const BURST_MS = 2 // Node's timers wake once per millisecond at best …
/** … and often late: what a sender that waited could not send in time, it sends then. */
const LATE_BURST_MS = 8
const BURST_SEGMENTS_MIN = 2
const TRAIN_MS = 1
const TRAIN_BYTES_MAX = 65_000
/** Below it pacing costs more than it saves: a loopback or a LAN. */
const RTT_MS_MIN = 0.5

export class Pacer {
  segmentBytes: number
  readonly #path: PacedPath
  /** This host was so late that it could not make up for it: what the path could do was not tried.
   * For whoever measures it to take note of, and to set back. */
  hasFallenBehind = false
  #tokens = 0
  #updatedMs = Number.NEGATIVE_INFINITY
  /** Whoever asked last was told to wait. */
  #isWaiting = false

  constructor(path: PacedPath, segmentBytes: number) {
    this.#path = path
    this.segmentBytes = segmentBytes
  }

  get #rate(): number {
    const { rtt, congestion } = this.#path
    if (rtt.hasSample && rtt.minMs < RTT_MS_MIN) return Number.POSITIVE_INFINITY
    return congestion.pacingRateBytesPerMs
  }

  /** Bytes that may leave now; Infinity where nothing is paced, 0 or less to wait. The last packet
   * may go beyond: the next one waits for that. */
  roomBytes(nowMs: number): number {
    const rate = this.#rate
    if (rate === Number.POSITIVE_INFINITY) return rate
    const burstMs = this.#isWaiting ? this.#lateBurstMs : BURST_MS
    const depth = Math.max(BURST_SEGMENTS_MIN * this.segmentBytes, rate * burstMs)
    if (this.#updatedMs === Number.NEGATIVE_INFINITY) this.#tokens = depth
    else if (nowMs > this.#updatedMs) {
      const tokens = this.#tokens + (nowMs - this.#updatedMs) * rate
      if (this.#isWaiting && tokens > depth) this.hasFallenBehind = true
      this.#tokens = Math.min(depth, tokens)
    }
    this.#updatedMs = Math.max(this.#updatedMs, nowMs)
    this.#isWaiting = this.#tokens <= 0
    return this.#tokens
  }

  /** No more than the queue has been seen to take: what overflows it is lost. */
  get #lateBurstMs(): number {
    const { queueMs } = this.#path.congestion
    return queueMs > BURST_MS ? Math.min(queueMs, LATE_BURST_MS) : BURST_MS
  }

  maySend(nowMs: number): boolean {
    return this.roomBytes(nowMs) > 0
  }

  /** There is nothing to send: time that passes now is not made up for. */
  handleDry(): void {
    this.#isWaiting = false
  }

  handleSent(bytes: number): void {
    if (this.#rate !== Number.POSITIVE_INFINITY) this.#tokens -= bytes
  }

  /** When the bucket holds a train again: a millisecond's worth, within what leaves at once. */
  releaseMs(nowMs: number): number {
    if (this.maySend(nowMs)) return nowMs
    const rate = this.#rate
    return nowMs + (Math.min(rate * TRAIN_MS, TRAIN_BYTES_MAX) - this.#tokens) / rate
  }
}
