// protocol/congestion/new-reno.ts — RFC 9002 appendix B: the oracle that tests compare with.
import {
  type AckSample,
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  MIN_WINDOW_SEGMENTS,
  quantumBytes,
} from './controller.ts'

const BETA = 0.7 // RFC 9438's; RFC 9002 leaves the loss reduction factor to the implementation.
/** RFC 9002 §7.7: faster than the window's share, so that pacing holds nothing back. */
const PACING_GAIN = 1.25
const PACING_GAIN_SLOW_START = 2

export class NewReno implements CongestionController {
  readonly name = 'newreno'
  readonly baselineLossRatio = 0
  readonly bandwidthBytesPerMs = 0
  readonly isHoldingBack = false
  readonly queueMs = Number.POSITIVE_INFINITY
  windowBytes = 0
  pacingRateBytesPerMs = Number.POSITIVE_INFINITY
  #segmentBytes = 0
  #thresholdBytes = Number.POSITIVE_INFINITY
  #recoveryStartMs = Number.NEGATIVE_INFINITY
  #before: { windowBytes: number; thresholdBytes: number; startMs: number } | null = null

  constructor(segmentBytes: number) {
    this.#begin(segmentBytes)
  }

  #begin(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes
    this.windowBytes = INITIAL_WINDOW_SEGMENTS * segmentBytes
  }

  setSegmentBytes(bytes: number): void {
    const isUntouched = this.windowBytes === INITIAL_WINDOW_SEGMENTS * this.#segmentBytes
    if (isUntouched) this.#begin(bytes)
    this.#segmentBytes = bytes
    this.windowBytes = Math.max(this.windowBytes, MIN_WINDOW_SEGMENTS * bytes)
  }

  get isSlowStart(): boolean {
    return this.windowBytes < this.#thresholdBytes
  }

  get state(): string {
    return this.isSlowStart ? 'slow_start' : 'congestion_avoidance'
  }

  get sendQuantumBytes(): number {
    return quantumBytes(this.pacingRateBytesPerMs, this.#segmentBytes)
  }

  handleRestart(): void {}

  handlePacketLost(): void {}

  handleAck(sample: AckSample): void {
    if (sample.isWindowLimited && sample.sentMs > this.#recoveryStartMs) {
      if (this.isSlowStart) this.windowBytes += sample.ackedBytes
      else this.windowBytes += (this.#segmentBytes * sample.ackedBytes) / this.windowBytes
    }
    const gain = this.isSlowStart ? PACING_GAIN_SLOW_START : PACING_GAIN
    this.pacingRateBytesPerMs = (gain * this.windowBytes) / sample.smoothedRttMs
  }

  handleLosses(nowMs: number, newestSentMs: number): boolean {
    if (newestSentMs <= this.#recoveryStartMs) return false
    this.#before = {
      windowBytes: this.windowBytes,
      thresholdBytes: this.#thresholdBytes,
      startMs: this.#recoveryStartMs,
    }
    this.#recoveryStartMs = nowMs
    this.windowBytes = Math.max(this.windowBytes * BETA, MIN_WINDOW_SEGMENTS * this.#segmentBytes)
    this.#thresholdBytes = this.windowBytes
    return true
  }

  handlePersistentCongestion(): void {
    this.windowBytes = MIN_WINDOW_SEGMENTS * this.#segmentBytes
    this.#recoveryStartMs = Number.NEGATIVE_INFINITY
  }

  undo(): void {
    if (!this.#before) return
    this.windowBytes = Math.max(this.windowBytes, this.#before.windowBytes)
    this.#thresholdBytes = this.#before.thresholdBytes
    this.#recoveryStartMs = this.#before.startMs
    this.#before = null
  }

  reset(_nowMs: number, segmentBytes: number): void {
    this.#begin(segmentBytes)
    this.pacingRateBytesPerMs = Number.POSITIVE_INFINITY
    this.#thresholdBytes = Number.POSITIVE_INFINITY
    this.#before = null
  }
}
