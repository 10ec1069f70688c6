// protocol/congestion/cubic.ts — CUBIC (RFC 9438), begun with HyStart++ (RFC 9406).
import {
  type AckSample,
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  MIN_WINDOW_SEGMENTS,
  quantumBytes,
} from './controller.ts'
import { HyStart } from './hystart.ts'

const BETA = 0.7
/** Segments per second cubed. */
const SCALE = 0.4
/** As much as Reno would gain per segment, at CUBIC's smaller reduction (RFC 9438 §4.3). */
const RENO_ALPHA = (3 * (1 - BETA)) / (1 + BETA)
const PACING_GAIN = 1.25
const PACING_GAIN_SLOW_START = 2

/** All that an episode of losses changes. */
interface Before {
  readonly windowBytes: number
  readonly thresholdBytes: number
  readonly maxBytes: number
  readonly renoBytes: number
  readonly epochStartMs: number
  readonly plateauMs: number
  readonly recoveryStartMs: number
}

export class Cubic implements CongestionController {
  readonly name = 'cubic'
  readonly baselineLossRatio = 0
  readonly bandwidthBytesPerMs = 0
  readonly isHoldingBack = false
  readonly queueMs = Number.POSITIVE_INFINITY
  windowBytes = 0
  pacingRateBytesPerMs = Number.POSITIVE_INFINITY
  #hystart = new HyStart()
  #segmentBytes = 0
  #thresholdBytes = Number.POSITIVE_INFINITY
  /** The window before the last reduction: where the curve is flat. */
  #maxBytes = 0
  /** What Reno would have by now. */
  #renoBytes = 0
  /** When this run of growth began; NaN before its first acknowledgement. */
  #epochStartMs = Number.NaN
  /** How long after it the window is to be `#maxBytes` again: K. */
  #plateauMs = 0
  #recoveryStartMs = Number.NEGATIVE_INFINITY
  #limitedAtMs = 0
  #before: Before | null = null

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
    this.windowBytes = Math.max(this.windowBytes, this.#minBytes)
  }

  get #minBytes(): number {
    return MIN_WINDOW_SEGMENTS * this.#segmentBytes
  }

  get isSlowStart(): boolean {
    return this.windowBytes < this.#thresholdBytes
  }

  get state(): string {
    if (!this.isSlowStart) return 'congestion_avoidance'
    return this.#hystart.isConservative ? 'conservative_slow_start' : 'slow_start'
  }

  get sendQuantumBytes(): number {
    return quantumBytes(this.pacingRateBytesPerMs, this.#segmentBytes)
  }

  handleRestart(): void {}

  handlePacketLost(): void {}

  handleAck(sample: AckSample): void {
    const { nowMs, sentMs, isWindowLimited } = sample
    if (this.isSlowStart && this.#hystart.handleAck(sample)) this.#thresholdBytes = this.windowBytes
    if (!isWindowLimited) this.#shiftEpoch(nowMs)
    else if (sentMs > this.#recoveryStartMs) {
      if (this.isSlowStart) this.windowBytes += sample.ackedBytes / this.#hystart.growthDivisor
      else this.#grow(sample)
    }
    this.#limitedAtMs = nowMs
    const gain = this.isSlowStart ? PACING_GAIN_SLOW_START : PACING_GAIN
    this.pacingRateBytesPerMs = (gain * this.windowBytes) / sample.smoothedRttMs
  }

  /** Time in which the window limited nobody must not count (RFC 9438 §5.8). */
  #shiftEpoch(nowMs: number): void {
    this.#epochStartMs += nowMs - this.#limitedAtMs
  }

  #grow({ nowMs, ackedBytes, smoothedRttMs }: AckSample): void {
    const segment = this.#segmentBytes
    if (Number.isNaN(this.#epochStartMs)) this.#startEpoch(nowMs)
    const elapsedMs = nowMs - this.#epochStartMs + smoothedRttMs
    const seconds = (elapsedMs - this.#plateauMs) / 1000
    const cubicBytes = SCALE * seconds ** 3 * segment + this.#maxBytes
    // Once it is where it was before the reduction, it may gain a whole segment like Reno.
    const alpha = this.#renoBytes >= this.#maxBytes ? 1 : RENO_ALPHA
    this.#renoBytes += (alpha * segment * ackedBytes) / this.windowBytes
    const targetBytes = Math.min(Math.max(cubicBytes, this.windowBytes), 1.5 * this.windowBytes)
    const grownBytes = ((targetBytes - this.windowBytes) * ackedBytes) / this.windowBytes
    this.windowBytes = Math.max(this.windowBytes + grownBytes, this.#renoBytes)
  }

  #startEpoch(nowMs: number): void {
    this.#epochStartMs = nowMs
    this.#renoBytes = this.windowBytes
    this.#maxBytes = Math.max(this.#maxBytes, this.windowBytes)
    const segments = (this.#maxBytes - this.windowBytes) / this.#segmentBytes
    this.#plateauMs = 1000 * Math.cbrt(segments / SCALE)
  }

  handleLosses(nowMs: number, newestSentMs: number): boolean {
    if (newestSentMs <= this.#recoveryStartMs) return false
    this.#before = {
      windowBytes: this.windowBytes,
      thresholdBytes: this.#thresholdBytes,
      maxBytes: this.#maxBytes,
      renoBytes: this.#renoBytes,
      epochStartMs: this.#epochStartMs,
      plateauMs: this.#plateauMs,
      recoveryStartMs: this.#recoveryStartMs,
    }
    this.#recoveryStartMs = nowMs
    // Fast convergence (§4.7): who has to give way gives a little more.
    const isShrinking = this.windowBytes < this.#maxBytes
    this.#maxBytes = isShrinking ? (this.windowBytes * (1 + BETA)) / 2 : this.windowBytes
    this.windowBytes = Math.max(this.windowBytes * BETA, this.#minBytes)
    this.#thresholdBytes = this.windowBytes
    this.#epochStartMs = Number.NaN
    return true
  }

  handlePersistentCongestion(): void {
    this.#maxBytes = this.windowBytes
    this.#thresholdBytes = Math.max(this.windowBytes * BETA, this.#minBytes)
    this.windowBytes = this.#minBytes
    this.#recoveryStartMs = Number.NEGATIVE_INFINITY
    this.#epochStartMs = Number.NaN
  }

  undo(): void {
    const before = this.#before
    if (!before) return
    this.#before = null
    this.windowBytes = Math.max(this.windowBytes, before.windowBytes)
    this.#thresholdBytes = before.thresholdBytes
    this.#maxBytes = before.maxBytes
    this.#renoBytes = before.renoBytes
    this.#epochStartMs = before.epochStartMs
    this.#plateauMs = before.plateauMs
    this.#recoveryStartMs = before.recoveryStartMs
  }

  reset(_nowMs: number, segmentBytes: number): void {
    this.#begin(segmentBytes)
    this.pacingRateBytesPerMs = Number.POSITIVE_INFINITY
    this.#hystart = new HyStart()
    this.#thresholdBytes = Number.POSITIVE_INFINITY
    this.#maxBytes = 0
    this.#epochStartMs = Number.NaN
    this.#before = null
  }
}
