// protocol/congestion/bbr.ts — BBRv3 (draft-ietf-ccwg-bbr): when does it send how fast?
//
//   startup ─► drain ─► down ─► cruise ─► refill ─► up ─┐      probe_rtt: every 5 s, for 200 ms,
//                        ▲──────────────────────────────┘      from any state but itself
import { BbrModel } from './bbr-model.ts'
import {
  type AckSample,
  type CongestionController,
  INITIAL_WINDOW_SEGMENTS,
  type LostPacket,
  MIN_WINDOW_SEGMENTS,
  quantumBytes,
} from './controller.ts'

type State = 'startup' | 'drain' | 'down' | 'cruise' | 'refill' | 'up' | 'probe_rtt'

const PACING_GAIN: Readonly<Record<State, number>> = {
  startup: 2.77, // 4 ln 2: the rate doubles each round
  drain: 0.5,
  down: 0.9,
  cruise: 1,
  refill: 1,
  up: 1.25,
  probe_rtt: 1,
}
const WINDOW_GAIN = 2
const WINDOW_GAIN_UP = 2.25
const WINDOW_GAIN_PROBE_RTT = 0.5
/** Paces a little below the bandwidth, so that queues drain. */
const PACING_MARGIN = 0.99
const BETA = 0.7
const HEADROOM = 0.15
/** A path's worth, and what acknowledgements that come in steps hold back. */
const FULL_PATH = 1.05
const STARTUP_LOSS_RUNS = 6
const DRAIN_ROUNDS_MAX = 3
const PROBE_RTT_MS = 200
const PROBE_WAIT_MS = 2_000
const PROBE_WAIT_RANDOM_MS = 1_000
/** Probes at least as often as Reno would have recovered. */
const PROBE_ROUNDS_MAX = 63
const DOUBLINGS_MAX = 30

/** What acknowledgements tell of the last probe for bandwidth. */
type AckPhase = 'none' | 'refilling' | 'starting' | 'feedback' | 'stopping'

export class Bbr implements CongestionController {
  readonly name: 'bbr' | 'bbr-draft'
  readonly #randomBelow: (below: number) => number
  windowBytes = 0
  pacingRateBytesPerMs = Number.POSITIVE_INFINITY
  #model: BbrModel
  #state: State = 'startup'
  #segmentBytes = 0
  #hasRtt = false
  #ackPhase: AckPhase = 'none'
  #drainStartRound = 0
  #isIdleRestart = false
  // A cycle of probing for bandwidth.
  #cycleStartMs = 0
  #probeWaitMs = 0
  #isProbeSample = false
  #wasTooHigh = false
  #wasPrecautionary = false
  #upAckedBytes = 0
  #upAckedPerStep = Number.POSITIVE_INFINITY
  #upRounds = 0
  // Looking for the round trip of an empty path.
  #probeRttDoneMs = 0
  #isProbeRttRoundDone = false
  // To be restored.
  #priorWindowBytes = 0
  #restoreAfterRound = Number.POSITIVE_INFINITY
  #undoState: 'startup' | 'up' | null = null
  #undoShortBandwidth = Number.POSITIVE_INFINITY
  #undoShortInFlightBytes = Number.POSITIVE_INFINITY
  #undoLongInFlightBytes = Number.POSITIVE_INFINITY
  #episodeRound = -1
  #lostTotalBytes = 0
  /** The round trip with a full queue, as of late. */
  #fullRttMs = 0
  #recentRttMs = 0
  #lastAckMs = 0

  constructor(
    name: 'bbr' | 'bbr-draft',
    parts: { nowMs: number; segmentBytes: number; randomBelow: (below: number) => number },
  ) {
    this.name = name
    this.#randomBelow = parts.randomBelow
    this.#segmentBytes = parts.segmentBytes
    this.#model = new BbrModel(parts.nowMs, name === 'bbr')
    this.windowBytes = this.#initialWindowBytes
  }

  get #initialWindowBytes(): number {
    return INITIAL_WINDOW_SEGMENTS * this.#segmentBytes
  }

  get #minWindowBytes(): number {
    return MIN_WINDOW_SEGMENTS * this.#segmentBytes
  }

  setSegmentBytes(bytes: number): void {
    const isUntouched = this.windowBytes === this.#initialWindowBytes
    this.#segmentBytes = bytes
    if (isUntouched) this.windowBytes = this.#initialWindowBytes
    this.windowBytes = Math.max(this.windowBytes, this.#minWindowBytes)
  }

  reset(nowMs: number, segmentBytes: number): void {
    this.#model = new BbrModel(nowMs, this.name === 'bbr')
    this.#segmentBytes = segmentBytes
    this.windowBytes = this.#initialWindowBytes
    this.pacingRateBytesPerMs = Number.POSITIVE_INFINITY
    this.#hasRtt = false
    this.#state = 'startup'
    this.#ackPhase = 'none'
    this.#isProbeSample = false
    this.#undoState = null
    this.#restoreAfterRound = Number.POSITIVE_INFINITY
  }

  get state(): string {
    return this.#state
  }

  get isSlowStart(): boolean {
    return this.#state === 'startup'
  }

  get isHoldingBack(): boolean {
    return this.#state === 'probe_rtt'
  }

  get baselineLossRatio(): number {
    return this.#model.baseline.ratio
  }

  get bandwidthBytesPerMs(): number {
    return this.#model.bandwidth
  }

  get sendQuantumBytes(): number {
    return quantumBytes(this.pacingRateBytesPerMs, this.#segmentBytes)
  }

  // — sending —

  handleRestart(nowMs: number, isAppLimited: boolean): void {
    if (!isAppLimited) return
    this.#isIdleRestart = true
    this.#model.restartAggregation(nowMs)
    if (this.#isProbing) this.#setPacingRate(1)
    else if (this.#state === 'probe_rtt') this.#checkProbeRttDone(nowMs)
  }

  // — losses —

  handlePacketLost(nowMs: number, lost: LostPacket): void {
    const model = this.#model
    if (model.handleLoss(lost.deliveredTotalBytes, lost.beginsRun)) this.#saveState()
    if (!this.#isProbeSample) return
    const allowedBytes = model.baseline.allowedBytes(lost.sentInFlightBytes)
    if (lost.lostSinceBytes <= allowedBytes) return
    const inFlightBytes = inFlightAtLoss(lost, allowedBytes / lost.sentInFlightBytes)
    this.#handleTooHigh(nowMs, lost.deliveredTotalBytes, inFlightBytes, lost.isAppLimited)
  }

  handleLosses(_nowMs: number, _newestSentMs: number): boolean {
    const isNew = this.#episodeRound !== this.#model.roundCount
    this.#episodeRound = this.#model.roundCount
    return isNew
  }

  #handleTooHigh(
    nowMs: number,
    deliveredTotalBytes: number,
    inFlightBytes: number,
    isAppLimited: boolean,
  ): void {
    this.#wasTooHigh = true
    this.#isProbeSample = false
    if (!isAppLimited) {
      this.#model.longInFlightBytes = Math.max(inFlightBytes, this.#targetBytes * BETA)
    }
    if (this.#state !== 'up') return
    this.#undoState = 'up'
    this.#startDown(nowMs, deliveredTotalBytes)
  }

  handlePersistentCongestion(_nowMs: number, inFlightBytes: number): void {
    this.#saveWindow()
    this.#saveState()
    this.windowBytes = Math.max(inFlightBytes + this.#segmentBytes, this.#minWindowBytes)
    this.#restoreAfterRound = this.#model.roundCount + 1
  }

  #saveWindow(): void {
    if (this.#state === 'probe_rtt') {
      this.#priorWindowBytes = Math.max(this.#priorWindowBytes, this.windowBytes)
    } else this.#priorWindowBytes = this.windowBytes
  }

  #restoreWindow(): void {
    this.windowBytes = Math.max(this.windowBytes, this.#priorWindowBytes)
  }

  #saveState(): void {
    const model = this.#model
    this.#saveWindow()
    this.#undoState = null
    this.#undoShortBandwidth = model.shortBandwidth
    this.#undoShortInFlightBytes = model.shortInFlightBytes
    this.#undoLongInFlightBytes = model.longInFlightBytes
  }

  undo(nowMs: number): void {
    const model = this.#model
    this.#restoreWindow()
    model.isLossInRound = false
    model.restartFull(0)
    model.shortBandwidth = Math.max(model.shortBandwidth, this.#undoShortBandwidth)
    model.shortInFlightBytes = Math.max(model.shortInFlightBytes, this.#undoShortInFlightBytes)
    model.longInFlightBytes = Math.max(model.longInFlightBytes, this.#undoLongInFlightBytes)
    const state = this.#undoState
    this.#undoState = null
    if (state === 'startup' && this.#state !== 'startup') {
      model.isFull = false
      if (this.#state !== 'probe_rtt') this.#state = 'startup'
    } else if (state === 'up' && this.#state !== 'up' && this.#state !== 'probe_rtt') {
      this.#startRefill(this.#deliveredTotalBytes)
    }
    void nowMs
  }

  #deliveredTotalBytes = 0

  // — acknowledgements —

  handleAck(sample: AckSample): void {
    const model = this.#model
    this.#deliveredTotalBytes = sample.deliveredTotalBytes
    model.handleSignals(sample)
    this.#handleCongestion(sample)
    model.handleAggregation(sample, this.windowBytes)
    model.checkFull(sample)
    this.#checkStartupDone(sample)
    this.#checkDrainDone(sample)
    this.#updateCycle(sample)
    model.minRtt.handleSample(sample.nowMs, sample.rttMs)
    this.#checkProbeRtt(sample)
    model.advanceSignals(sample)
    model.boundBandwidth()
    this.#updatePacing(sample)
    this.#updateWindow(sample)
  }

  #handleCongestion(sample: AckSample): void {
    const model = this.#model
    model.handleRound(sample)
    this.#feedBaseline(sample)
    model.handleBandwidth(sample)
    if (!model.isLossRoundStart) return
    const isAccelerating =
      this.#state === 'startup' || this.#state === 'refill' || this.#state === 'up'
    const isNews = !model.baseline.isOn || model.hasLostTooMuch(sample)
    if (!isAccelerating && model.isLossInRound && isNews) model.lowerShortBounds(this.windowBytes)
    model.isLossInRound = false
  }

  /** Losses that come while the queue is short are the path's own. Not while we push: a policer has
   * no queue. */
  #feedBaseline(sample: AckSample): void {
    const { baseline, minRtt, fullRounds, isRoundStart } = this.#model
    const lostBytes = Math.max(0, sample.lostTotalBytes - this.#lostTotalBytes)
    this.#lostTotalBytes = sample.lostTotalBytes
    const pathMs = sample.rttMs - sample.ackDelayMs
    const minMs = Math.min(minRtt.minMs, pathMs)
    if (isRoundStart) {
      this.#fullRttMs -= 0.01 * (this.#fullRttMs - minMs)
      baseline.handleRound(this.#segmentBytes)
    }
    this.#fullRttMs = Math.max(this.#fullRttMs, pathMs)
    const isGrowing = this.#state === 'startup' && fullRounds === 0
    const share = Math.min(1, (4 * (sample.nowMs - this.#lastAckMs)) / minMs)
    this.#lastAckMs = sample.nowMs
    this.#recentRttMs += share * (pathMs - this.#recentRttMs)
    const halfMs = minMs + 0.5 * (this.#fullRttMs - minMs)
    const isShort = pathMs <= halfMs && this.#recentRttMs <= halfMs
    if (isShort && (isGrowing || this.#state === 'cruise' || this.#state === 'down')) {
      baseline.handleQuiet(lostBytes, sample.ackedBytes)
    }
  }

  // — startup and drain —

  #checkStartupDone(sample: AckSample): void {
    const model = this.#model
    if (this.#state === 'startup') this.#checkStartupLoss(sample)
    if (this.#state !== 'startup' || !model.isFull) return
    this.#state = 'drain'
    this.#drainStartRound = model.roundCount
  }

  #checkStartupLoss(sample: AckSample): void {
    const model = this.#model
    if (!model.isLossRoundStart || model.isFull) return
    if (model.lossRunsInRound < STARTUP_LOSS_RUNS) return
    const { baseline } = model
    if (sample.lostSinceBytes <= baseline.allowedBytes(sample.sentInFlightBytes)) return
    // While the rate still grows with what is sent, losses are not the queue's.
    if (baseline.isOn && !sample.isAppLimited && model.fullRounds === 0) return
    this.#undoState = 'startup'
    model.isFull = true
    model.isFullNow = true
    model.longInFlightBytes = Math.max(model.maxPathBytes, model.latestInFlightBytes)
  }

  #checkDrainDone(sample: AckSample): void {
    if (this.#state !== 'drain') return
    const model = this.#model
    const isLong = model.roundCount > this.#drainStartRound + DRAIN_ROUNDS_MAX
    if (isLong || sample.inFlightBytes <= this.#quantized(model.pathBytes)) {
      this.#startDown(sample.nowMs, sample.deliveredTotalBytes)
    }
  }

  // — probing for bandwidth —

  get #isProbing(): boolean {
    const state = this.#state
    return state === 'down' || state === 'cruise' || state === 'refill' || state === 'up'
  }

  #startDown(nowMs: number, deliveredTotalBytes: number): void {
    const model = this.#model
    model.resetSignals()
    this.#upAckedPerStep = Number.POSITIVE_INFINITY
    model.roundsSinceProbe = this.#randomBelow(2)
    this.#probeWaitMs = PROBE_WAIT_MS + this.#randomBelow(PROBE_WAIT_RANDOM_MS)
    this.#cycleStartMs = nowMs
    this.#ackPhase = 'stopping'
    model.startRound(deliveredTotalBytes)
    this.#state = 'down'
  }

  #startRefill(deliveredTotalBytes: number): void {
    const model = this.#model
    model.resetShortBounds()
    this.#upRounds = 0
    this.#upAckedBytes = 0
    this.#wasPrecautionary = false
    this.#ackPhase = 'refilling'
    model.startRound(deliveredTotalBytes)
    this.#state = 'refill'
  }

  #startUp(sample: AckSample): void {
    this.#ackPhase = 'starting'
    this.#model.startRound(sample.deliveredTotalBytes)
    this.#model.restartFull(sample.deliveryRate)
    this.#state = 'up'
    this.#steepen()
  }

  #updateCycle(sample: AckSample): void {
    const model = this.#model
    if (!model.isFull) return
    if (this.#adaptLongBound(sample) || !this.#isProbing) return
    if (this.#state === 'down' || this.#state === 'cruise') {
      if (this.#isTimeToProbe(sample.nowMs)) this.#startRefill(sample.deliveredTotalBytes)
      else if (this.#state === 'down' && this.#isTimeToCruise(sample)) this.#state = 'cruise'
    } else if (this.#state === 'refill') {
      if (!model.isRoundStart) return
      this.#isProbeSample = true
      this.#startUp(sample)
    } else if (this.#isTimeToGoDown(sample)) {
      this.#wasTooHigh = false
      this.#startDown(sample.nowMs, sample.deliveredTotalBytes)
    }
  }

  #isTimeToProbe(nowMs: number): boolean {
    if (nowMs > this.#cycleStartMs + this.#probeWaitMs) return true
    const renoRounds = this.#targetBytes / this.#segmentBytes
    return this.#model.roundsSinceProbe >= Math.min(renoRounds, PROBE_ROUNDS_MAX)
  }

  #isTimeToCruise({ inFlightBytes }: AckSample): boolean {
    const model = this.#model
    if (inFlightBytes > this.#longBoundWithHeadroom) return false
    return inFlightBytes <= this.#quantized(model.maxPathBytes)
  }

  #isTimeToGoDown(sample: AckSample): boolean {
    const model = this.#model
    if (this.#wasTooHigh && sample.inFlightBytes >= model.longInFlightBytes) {
      this.#wasPrecautionary = true
      return true
    }
    if (sample.isWindowLimited && this.windowBytes >= model.longInFlightBytes) {
      model.restartFull(sample.deliveryRate)
      return false
    }
    return model.isFullNow
  }

  /** True: it has changed the state. */
  #adaptLongBound(sample: AckSample): boolean {
    const model = this.#model
    if (this.#ackPhase === 'starting' && model.isRoundStart) this.#ackPhase = 'feedback'
    if (this.#ackPhase === 'stopping' && model.isRoundStart) {
      this.#isProbeSample = false
      this.#ackPhase = 'none'
      if (this.#isProbing && !sample.isAppLimited) model.advanceCycle()
      if (this.#isProbing && this.#wasPrecautionary && !this.#wasTooHigh) {
        this.#startRefill(sample.deliveredTotalBytes)
        return true
      }
    }
    if (sample.lostSinceBytes > model.baseline.allowedBytes(sample.sentInFlightBytes)) return false
    if (model.longInFlightBytes === Number.POSITIVE_INFINITY) return false
    model.longInFlightBytes = Math.max(model.longInFlightBytes, sample.sentInFlightBytes)
    if (this.#state === 'up') this.#raiseLongBound(sample)
    return false
  }

  /** By 1, 2, 4 … segments per round. */
  #raiseLongBound(sample: AckSample): void {
    const model = this.#model
    if (sample.isWindowLimited && this.windowBytes >= model.longInFlightBytes) {
      this.#upAckedBytes += sample.ackedBytes
      const steps = Math.floor(this.#upAckedBytes / this.#upAckedPerStep)
      this.#upAckedBytes -= steps > 0 ? steps * this.#upAckedPerStep : 0
      model.longInFlightBytes += steps * this.#segmentBytes
    }
    if (model.isRoundStart) this.#steepen()
  }

  #steepen(): void {
    const segments = 2 ** this.#upRounds
    this.#upRounds = Math.min(this.#upRounds + 1, DOUBLINGS_MAX)
    this.#upAckedPerStep = Math.max(this.windowBytes / segments, this.#segmentBytes)
  }

  get #targetBytes(): number {
    return Math.min(this.#model.pathBytes, this.windowBytes)
  }

  get #longBoundWithHeadroom(): number {
    const model = this.#model
    const { longInFlightBytes } = model
    if (longInFlightBytes === Number.POSITIVE_INFINITY) return longInFlightBytes
    const headroom = Math.max(this.#segmentBytes, HEADROOM * longInFlightBytes)
    const freeBytes = longInFlightBytes - headroom
    // Ours: not so much room that the path runs empty, as the draft's would leave on short queues.
    const fullBytes = model.baseline.isOn ? FULL_PATH * model.maxPathBytes : 0
    const boundBytes = Math.max(freeBytes, Math.min(fullBytes, longInFlightBytes))
    return Math.max(boundBytes, this.#minWindowBytes)
  }

  // — probing for the round trip —

  #checkProbeRtt(sample: AckSample): void {
    const model = this.#model
    if (this.#state !== 'probe_rtt' && model.minRtt.isProbeDue && !this.#isIdleRestart) {
      this.#saveWindow()
      this.#state = 'probe_rtt'
      this.#probeRttDoneMs = 0
      this.#ackPhase = 'stopping'
      model.startRound(sample.deliveredTotalBytes)
    }
    if (this.#state === 'probe_rtt') this.#handleProbeRtt(sample)
    if (sample.deliveredBytes > 0) this.#isIdleRestart = false
  }

  #handleProbeRtt(sample: AckSample): void {
    const model = this.#model
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
    const model = this.#model
    model.minRtt.restart(nowMs)
    this.#restoreWindow()
    model.resetShortBounds()
    if (model.isFull) {
      this.#startDown(nowMs, this.#deliveredTotalBytes)
      this.#state = 'cruise'
    } else this.#state = 'startup'
  }

  // — control —

  #updatePacing(sample: AckSample): void {
    if (!this.#hasRtt) {
      this.#hasRtt = true
      this.pacingRateBytesPerMs =
        (PACING_GAIN.startup * this.#initialWindowBytes) / Math.max(sample.smoothedRttMs, 0.001)
    }
    this.#setPacingRate(PACING_GAIN[this.#state])
  }

  /** Until the pipe is full it only grows: the application may have sent little so far. */
  #setPacingRate(gain: number): void {
    const rate = gain * this.#model.bandwidth * PACING_MARGIN
    if (rate > 0 && (this.#model.isFull || rate > this.pacingRateBytesPerMs)) {
      this.pacingRateBytesPerMs = rate
    }
  }

  get #windowGain(): number {
    if (this.#state === 'up') return WINDOW_GAIN_UP
    return this.#state === 'probe_rtt' ? WINDOW_GAIN_PROBE_RTT : WINDOW_GAIN
  }

  /** Room for one train, for delayed acknowledgements, and for a step up. */
  #quantized(bytes: number): number {
    const roomBytes = Math.max(bytes, this.sendQuantumBytes, this.#minWindowBytes)
    return this.#state === 'up' ? roomBytes + 2 * this.#segmentBytes : roomBytes
  }

  get #probeRttWindowBytes(): number {
    return Math.max(WINDOW_GAIN_PROBE_RTT * this.#model.pathBytes, this.#minWindowBytes)
  }

  #updateWindow(sample: AckSample): void {
    const model = this.#model
    if (model.roundCount > this.#restoreAfterRound) {
      this.#restoreAfterRound = Number.POSITIVE_INFINITY
      this.#restoreWindow()
    }
    const maxBytes = this.#quantized(this.#windowGain * model.pathBytes + model.extraAckedBytes)
    const grownBytes = this.windowBytes + sample.ackedBytes
    if (model.isFull) this.windowBytes = Math.min(grownBytes, maxBytes)
    else if (this.windowBytes < maxBytes || sample.deliveredTotalBytes < this.#initialWindowBytes) {
      this.windowBytes = grownBytes
    }
    this.windowBytes = Math.max(this.windowBytes, this.#minWindowBytes)
    if (this.#state === 'probe_rtt') {
      this.windowBytes = Math.min(this.windowBytes, this.#probeRttWindowBytes)
    }
    this.windowBytes = Math.min(this.windowBytes, this.#capBytes)
  }

  get #capBytes(): number {
    const model = this.#model
    let cap = Number.POSITIVE_INFINITY
    if (this.#state === 'cruise' || this.#state === 'probe_rtt') cap = this.#longBoundWithHeadroom
    else if (this.#isProbing) cap = model.longInFlightBytes
    return Math.max(Math.min(cap, model.shortInFlightBytes), this.#minWindowBytes)
  }
}

/** How much was in flight when the losses crossed the threshold: a part of the lost packet's. */
function inFlightAtLoss(lost: LostPacket, threshold: number): number {
  const beforeBytes = lost.sentInFlightBytes - lost.bytes
  const lostBeforeBytes = lost.lostSinceBytes - lost.bytes
  return beforeBytes + (threshold * beforeBytes - lostBeforeBytes) / (1 - threshold)
}
