// protocol/congestion/bbr.ts — BBRv3 (draft-ietf-ccwg-bbr): when does it send how fast?
//
//   startup ─► drain ─► down ─► cruise ─► refill ─► up ─┐      probe_rtt: every 5 s, for 200 ms,
//                        ▲──────────────────────────────┘      from any state but itself
import { PACING_GAIN, PACING_MARGIN, WINDOW_GAIN } from './bbr-gains.ts'
import { BbrMemory } from './bbr-memory.ts'
import { BbrModel } from './bbr-model.ts'
import { BbrProbing } from './bbr-probing.ts'
import {
  type AckSample,
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  type LostPacket,
  quantumBytes,
} from './controller.ts'
import { QueueWatch } from './queue-watch.ts'

const BETA = 0.7
const STARTUP_LOSS_RUNS = 6
const QUEUED_RTT_FACTOR = 1.25
const OVERRUN_LOSS_RATIO = 0.2
const DRAIN_ROUNDS_MAX = 3
const PROBE_RTT_MS = 200

export class Bbr extends BbrProbing implements CongestionController {
  readonly name: 'bbr' | 'bbr-draft'
  pacingRateBytesPerMs = Number.POSITIVE_INFINITY
  #hasRtt = false
  #drainStartRound = 0
  #isIdleRestart = false
  // Looking for the round trip of an empty path.
  #probeRttDoneMs = 0
  #isProbeRttRoundDone = false
  // To be restored.
  readonly #memory = new BbrMemory()
  #restoreAfterRound = Number.POSITIVE_INFINITY
  #episodeRound = -1
  #lostTotalBytes = 0
  readonly #queue = new QueueWatch()

  constructor(
    name: 'bbr' | 'bbr-draft',
    parts: { nowMs: number; segmentBytes: number; randomBelow: (below: number) => number },
  ) {
    super(new BbrModel(parts.nowMs, name === 'bbr'), parts)
    this.name = name
    this.windowBytes = this.#initialWindowBytes
  }

  get #initialWindowBytes(): number {
    return INITIAL_WINDOW_SEGMENTS * this.segmentBytes
  }

  setSegmentBytes(bytes: number): void {
    const isUntouched = this.windowBytes === this.#initialWindowBytes
    this.segmentBytes = bytes
    if (isUntouched) this.windowBytes = this.#initialWindowBytes
    this.windowBytes = Math.max(this.windowBytes, this.minWindowBytes)
  }

  reset(nowMs: number, segmentBytes: number): void {
    this.model = new BbrModel(nowMs, this.name === 'bbr')
    this.segmentBytes = segmentBytes
    this.windowBytes = this.#initialWindowBytes
    this.pacingRateBytesPerMs = Number.POSITIVE_INFINITY
    this.#hasRtt = false
    this.phase = 'startup'
    this.ackPhase = 'none'
    this.isProbeSample = false
    this.#memory.state = null
    this.#restoreAfterRound = Number.POSITIVE_INFINITY
  }

  get state(): string {
    return this.phase
  }

  get isSlowStart(): boolean {
    return this.phase === 'startup'
  }

  get isHoldingBack(): boolean {
    return this.phase === 'probe_rtt'
  }

  get baselineLossRatio(): number {
    return this.model.baseline.ratio
  }

  get bandwidthBytesPerMs(): number {
    return this.model.bandwidth
  }

  get queueMs(): number {
    return this.#queue.fullMs - this.model.minRtt.minMs
  }

  get sendQuantumBytes(): number {
    return quantumBytes(this.pacingRateBytesPerMs, this.segmentBytes)
  }

  // — sending —

  handleRestart(nowMs: number, isAppLimited: boolean): void {
    if (!isAppLimited) return
    this.#isIdleRestart = true
    this.model.restartAggregation(nowMs)
    if (this.isProbing) this.#setPacingRate(1)
    else if (this.phase === 'probe_rtt') this.#checkProbeRttDone(nowMs)
  }

  // — losses —

  handlePacketLost(nowMs: number, lost: LostPacket): void {
    const model = this.model
    if (model.handleLoss(lost, lost.sentMs <= this.pushedUntilMs)) this.#saveState()
    if (!this.isProbeSample) return
    const allowedBytes = model.baseline.allowedBytes(lost.sentInFlightBytes)
    if (lost.lostSinceBytes <= allowedBytes) return
    const inFlightBytes = inFlightAtLoss(lost, allowedBytes / lost.sentInFlightBytes)
    this.#handleTooHigh(nowMs, lost.deliveredTotalBytes, inFlightBytes, lost.isAppLimited)
  }

  handleLosses(_nowMs: number, _newestSentMs: number): boolean {
    const isNew = this.#episodeRound !== this.model.roundCount
    this.#episodeRound = this.model.roundCount
    return isNew
  }

  #handleTooHigh(
    nowMs: number,
    deliveredTotalBytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void {
    this.wasTooHigh = true
    this.isProbeSample = false
    if (!isAppLimited) {
      this.model.longInFlightBytes = Math.max(inFlightBytes, this.targetBytes * BETA)
    }
    if (this.phase !== 'up') return
    this.#memory.state = 'up'
    this.startDown(nowMs, deliveredTotalBytes)
  }

  handlePersistentCongestion(_nowMs: number, inFlightBytes: number): void {
    this.#saveWindow()
    this.#saveState()
    this.windowBytes = Math.max(inFlightBytes + this.segmentBytes, this.minWindowBytes)
    this.#restoreAfterRound = this.model.roundCount + 1
  }

  #saveWindow(): void {
    this.#memory.keepWindow(this.windowBytes, this.phase === 'probe_rtt')
  }

  #restoreWindow(): void {
    this.windowBytes = this.#memory.windowAfter(this.windowBytes)
  }

  #saveState(): void {
    this.#saveWindow()
    this.#memory.keepModel(this.model)
  }

  undo(_nowMs: number): void {
    const model = this.model
    this.#restoreWindow()
    this.#memory.restoreModel(model)
    const state = this.#memory.state
    this.#memory.state = null
    if (state === 'startup' && this.phase !== 'startup') {
      model.isFull = false
      if (this.phase !== 'probe_rtt') this.phase = 'startup'
    } else if (state === 'up' && this.phase !== 'up' && this.phase !== 'probe_rtt') {
      this.startRefill(this.#deliveredTotalBytes)
    }
  }

  #deliveredTotalBytes = 0

  // — acknowledgements —

  handleAck(sample: AckSample): void {
    const model = this.model
    this.#deliveredTotalBytes = sample.deliveredTotalBytes
    model.handleSignals(sample)
    this.#handleCongestion(sample)
    model.handleAggregation(sample, this.windowBytes)
    model.checkFull(sample)
    this.#checkStartupDone(sample)
    this.#checkDrainDone(sample)
    this.updateCycle(sample)
    model.minRtt.handleSample(sample.nowMs, sample.rttMs)
    this.#checkProbeRtt(sample)
    model.advanceSignals(sample)
    model.boundBandwidth()
    this.#updatePacing(sample)
    this.#updateWindow(sample)
  }

  #handleCongestion(sample: AckSample): void {
    const model = this.model
    model.handleRound(sample)
    this.#feedBaseline(sample)
    model.handleBandwidth(sample)
    if (!model.isLossRoundStart) return
    const isAccelerating =
      this.phase === 'startup' || this.phase === 'refill' || this.phase === 'up'
    const { isOn } = model.baseline
    if (isOn && this.isProbing && model.hasCollapsed(sample)) {
      model.forgetBandwidth()
      this.startDown(sample.nowMs, sample.deliveredTotalBytes)
    } else if (!isAccelerating && model.isLossInRound && (!isOn || model.hasLostTooMuch(sample))) {
      model.lowerShortBounds(this.windowBytes)
    }
    model.isLossInRound = false
  }

  /** Losses that come while the queue is short are the path's own. Not while we push: a policer has
   * no queue. */
  #feedBaseline(sample: AckSample): void {
    const { baseline, minRtt, fullRounds, isRoundStart } = this.model
    const lostBytes = Math.max(0, sample.lostTotalBytes - this.#lostTotalBytes)
    this.#lostTotalBytes = sample.lostTotalBytes
    const isShort = this.#queue.isShort(sample, minRtt.minMs, isRoundStart)
    if (isRoundStart) baseline.handleRound(this.segmentBytes)
    const isGrowing = this.phase === 'startup' && fullRounds === 0
    if (isShort && (isGrowing || this.phase === 'cruise' || this.phase === 'down')) {
      baseline.handleQuiet(lostBytes, sample.ackedBytes)
    }
  }

  // — startup and drain —

  #checkStartupDone(sample: AckSample): void {
    const model = this.model
    if (this.phase === 'startup') this.#checkStartupLoss(sample)
    if (this.phase !== 'startup' || !model.isFull) return
    this.phase = 'drain'
    this.#drainStartRound = model.roundCount
    this.pushedUntilMs = sample.nowMs
  }

  #checkStartupLoss(sample: AckSample): void {
    const model = this.model
    if (!model.isLossRoundStart || model.isFull) return
    if (model.lossRunsInRound < STARTUP_LOSS_RUNS) return
    const { baseline } = model
    if (sample.lostSinceBytes <= baseline.allowedBytes(sample.sentInFlightBytes)) return
    if (baseline.isOn && !this.#isOverrun(sample)) return
    this.#memory.state = 'startup'
    model.isFull = true
    model.isFullNow = true
    model.longInFlightBytes = Math.max(model.maxPathBytes, model.latestInFlightBytes)
  }

  /** Ours: losses are not the queue's while the rate still grows with what is sent; nor when no queue
   * is to be seen, unless they are as many as a queue too short to be seen would lose. */
  #isOverrun(sample: AckSample): boolean {
    if (!sample.isAppLimited && this.model.fullRounds === 0) return false
    const pathMs = sample.rttMs - sample.ackDelayMs
    if (pathMs > QUEUED_RTT_FACTOR * this.model.minRtt.minMs) return true
    return sample.lostSinceBytes > OVERRUN_LOSS_RATIO * sample.sentInFlightBytes
  }

  #checkDrainDone(sample: AckSample): void {
    if (this.phase !== 'drain') return
    const model = this.model
    const isLong = model.roundCount > this.#drainStartRound + DRAIN_ROUNDS_MAX
    if (isLong || sample.inFlightBytes <= this.quantized(model.pathBytes)) {
      this.startDown(sample.nowMs, sample.deliveredTotalBytes)
    }
  }

  // — probing for the round trip —

  #checkProbeRtt(sample: AckSample): void {
    const model = this.model
    if (this.phase !== 'probe_rtt' && model.minRtt.isProbeDue && !this.#isIdleRestart) {
      this.#saveWindow()
      this.phase = 'probe_rtt'
      this.#probeRttDoneMs = 0
      this.ackPhase = 'stopping'
      model.startRound(sample.deliveredTotalBytes)
    }
    if (this.phase === 'probe_rtt') this.#handleProbeRtt(sample)
    if (sample.deliveredBytes > 0) this.#isIdleRestart = false
  }

  #handleProbeRtt(sample: AckSample): void {
    const model = this.model
    if (this.#probeRttDoneMs === 0) {
      if (sample.inFlightBytes > this.#probeRttWindowBytes) return
      this.#probeRttDoneMs = sample.nowMs + PROBE_RTT_MS
      this.#isProbeRttRoundDone = false
      model.startRound(sample.deliveredTotalBytes)
      return
    }
    if (model.isRoundStart) this.#isProbeRttRoundDone = true
    if (this.#isProbeRttRoundDone) this.#checkProbeRttDone(sample.nowMs)
  }

  #checkProbeRttDone(nowMs: number): void {
    if (this.#probeRttDoneMs === 0 || nowMs <= this.#probeRttDoneMs) return
    const model = this.model
    model.minRtt.restart(nowMs)
    this.#restoreWindow()
    model.resetShortBounds()
    if (model.isFull) {
      this.startDown(nowMs, this.#deliveredTotalBytes)
      this.phase = 'cruise'
    } else this.phase = 'startup'
  }

  // — control —

  #updatePacing(sample: AckSample): void {
    if (!this.#hasRtt) {
      this.#hasRtt = true
      this.pacingRateBytesPerMs =
        (PACING_GAIN.startup * this.#initialWindowBytes) / Math.max(sample.smoothedRttMs, 0.001)
    }
    this.#setPacingRate(PACING_GAIN[this.phase])
  }

  /** Until the pipe is full it only grows: the application may have sent little so far. */
  #setPacingRate(gain: number): void {
    const rate = gain * this.model.bandwidth * PACING_MARGIN
    if (rate > 0 && (this.model.isFull || rate > this.pacingRateBytesPerMs)) {
      this.pacingRateBytesPerMs = rate
    }
  }

  get #probeRttWindowBytes(): number {
    return Math.max(WINDOW_GAIN.probe_rtt * this.model.pathBytes, this.minWindowBytes)
  }

  #updateWindow(sample: AckSample): void {
    const model = this.model
    if (model.roundCount > this.#restoreAfterRound) {
      this.#restoreAfterRound = Number.POSITIVE_INFINITY
      this.#restoreWindow()
    }
    const maxBytes = this.quantized(
      WINDOW_GAIN[this.phase] * model.pathBytes + model.extraAckedBytes,
    )
    const grownBytes = this.windowBytes + sample.ackedBytes
    if (model.isFull) this.windowBytes = Math.min(grownBytes, maxBytes)
    else if (this.windowBytes < maxBytes || sample.deliveredTotalBytes < this.#initialWindowBytes) {
      this.windowBytes = grownBytes
    }
    this.windowBytes = Math.max(this.windowBytes, this.minWindowBytes)
    if (this.phase === 'probe_rtt') {
      this.windowBytes = Math.min(this.windowBytes, this.#probeRttWindowBytes)
    }
    this.windowBytes = Math.min(this.windowBytes, this.#capBytes)
  }

  get #capBytes(): number {
    const model = this.model
    let cap = Number.POSITIVE_INFINITY
    if (this.phase === 'cruise' || this.phase === 'probe_rtt') cap = this.longBoundWithHeadroom
    else if (this.isProbing) cap = model.longInFlightBytes
    return Math.max(Math.min(cap, model.shortInFlightBytes), this.minWindowBytes)
  }
}

/** How much was in flight when the losses crossed the threshold: a part of the lost packet's. */
function inFlightAtLoss(lost: LostPacket, threshold: number): number {
  const beforeBytes = lost.sentInFlightBytes - lost.bytes
  const lostBeforeBytes = lost.lostSinceBytes - lost.bytes
  return beforeBytes + (threshold * beforeBytes - lostBeforeBytes) / (1 - threshold)
}
