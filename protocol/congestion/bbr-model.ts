// protocol/congestion/bbr-model.ts — what does BBR know of the path? Rounds, bandwidth, round trip,
// aggregation, and what losses said of late. draft-ietf-ccwg-bbr, "Updating Network Path Model".
import type { AckSample, LostPacket } from './controller.ts'
import { LossBaseline } from './loss-baseline.ts'
import { MinRtt } from './min-rtt.ts'

const BETA = 0.7
const EXTRA_ACKED_ROUNDS = 10
const COLLAPSE_LOSS_RATIO = 0.25
const COLLAPSE_RATE_RATIO = 0.5
const COLLAPSE_RTT_FACTOR = 1.5
const SETTLING_ROUNDS = 2
const FULL_BANDWIDTH_GROWTH = 1.25
const FULL_BANDWIDTH_ROUNDS = 3
/** A cooperative sender below this round trip is held back by the noise of its own host. */
const RTT_MS_FLOOR = 1

export class BbrModel {
  readonly baseline: LossBaseline
  readonly minRtt: MinRtt
  // Rounds: from a packet's sending to its acknowledgement.
  roundCount = 0
  roundsSinceProbe = 0
  isRoundStart = false
  #nextRoundDelivered = 0
  // Bandwidth: the maximum of this cycle of probing and of the one before.
  maxBandwidth = 0
  #cycleMax = 0
  #cycleMaxBefore = 0
  /** What may be sent: the maximum, within what losses of this cycle allow. */
  bandwidth = 0
  // The pipe is full when the rate no longer grows.
  isFull = false
  isFullNow = false
  #fullBandwidth = 0
  /** Rounds without growth. */
  fullRounds = 0
  // Bounds by loss: of this cycle (short), and of the last probe that went too far (long).
  shortBandwidth = Number.POSITIVE_INFINITY
  shortInFlightBytes = Number.POSITIVE_INFINITY
  longInFlightBytes = Number.POSITIVE_INFINITY
  // Signals of one round after a loss.
  isLossInRound = false
  isLossRoundStart = false
  lossRunsInRound = 0
  latestInFlightBytes = 0
  #latestBandwidth = 0
  #settling = 0
  #lossRoundDelivered = 0
  #lossRoundBytes = 0
  #lossRoundBegan = 0
  // Aggregation: acknowledged beyond what the bandwidth explains, per round.
  extraAckedBytes = 0
  readonly #extraAcked = new Float64Array(EXTRA_ACKED_ROUNDS)
  #extraDelivered = 0
  #extraSinceMs = 0

  constructor(nowMs: number, hasBaseline: boolean) {
    this.baseline = new LossBaseline(hasBaseline)
    this.minRtt = new MinRtt(nowMs, !hasBaseline)
    this.#extraSinceMs = nowMs
  }

  // — what every acknowledgement does —

  handleSignals(sample: AckSample): void {
    this.isLossRoundStart = false
    this.#latestBandwidth = Math.max(this.#latestBandwidth, sample.deliveryRate)
    this.latestInFlightBytes = Math.max(this.latestInFlightBytes, sample.deliveredBytes)
    if (sample.priorDeliveredBytes >= this.#lossRoundDelivered) {
      this.#lossRoundDelivered = sample.deliveredTotalBytes
      this.isLossRoundStart = true
    }
  }

  handleRound(sample: AckSample): void {
    this.isRoundStart = sample.priorDeliveredBytes >= this.#nextRoundDelivered
    if (!this.isRoundStart) return
    this.startRound(sample.deliveredTotalBytes)
    this.roundCount += 1
    this.roundsSinceProbe += 1
    this.#extraAcked[this.roundCount % EXTRA_ACKED_ROUNDS] = 0
  }

  startRound(deliveredTotalBytes: number): void {
    this.#nextRoundDelivered = deliveredTotalBytes
  }

  handleBandwidth({ deliveryRate, isAppLimited }: AckSample): void {
    if (deliveryRate === 0 || (isAppLimited && deliveryRate < this.maxBandwidth)) return
    this.#cycleMax = Math.max(this.#cycleMax, deliveryRate)
    this.maxBandwidth = Math.max(this.#cycleMax, this.#cycleMaxBefore)
  }

  /** A cycle of probing is over: what was seen before it is forgotten. */
  advanceCycle(): void {
    this.#cycleMaxBefore = this.#cycleMax
    this.#cycleMax = 0
    this.maxBandwidth = this.#cycleMaxBefore
  }

  handleAggregation(sample: AckSample, windowBytes: number): void {
    let expected = this.bandwidth * (sample.nowMs - this.#extraSinceMs)
    if (this.#extraDelivered <= expected) {
      this.restartAggregation(sample.nowMs)
      expected = 0
    }
    this.#extraDelivered += sample.ackedBytes
    const extra = Math.min(this.#extraDelivered - expected, windowBytes)
    const slot = this.roundCount % EXTRA_ACKED_ROUNDS
    this.#extraAcked[slot] = Math.max(this.#extraAcked[slot] as number, extra)
    this.extraAckedBytes = this.#extraAcked[slot] as number
    if (!this.isFull) return // one round only
    for (let i = 0; i < EXTRA_ACKED_ROUNDS; i += 1) {
      this.extraAckedBytes = Math.max(this.extraAckedBytes, this.#extraAcked[i] as number)
    }
  }

  restartAggregation(nowMs: number): void {
    this.#extraDelivered = 0
    this.#extraSinceMs = nowMs
  }

  checkFull({ deliveryRate, isAppLimited }: AckSample): void {
    if (this.isFullNow || !this.isRoundStart || isAppLimited) return
    if (deliveryRate >= this.#fullBandwidth * FULL_BANDWIDTH_GROWTH) {
      this.restartFull(deliveryRate)
      return
    }
    this.fullRounds += 1
    this.isFullNow = this.fullRounds >= FULL_BANDWIDTH_ROUNDS
    if (this.isFullNow) this.isFull = true
  }

  restartFull(bandwidth: number): void {
    this.#fullBandwidth = bandwidth
    this.fullRounds = 0
    this.isFullNow = false
  }

  /** At the end of an acknowledgement: signals of the next round begin. */
  advanceSignals(sample: AckSample): void {
    if (!this.isLossRoundStart) return
    this.#latestBandwidth = sample.deliveryRate
    this.latestInFlightBytes = sample.deliveredBytes
    this.#lossRoundBytes = 0
    this.#lossRoundBegan = sample.deliveredTotalBytes
    this.lossRunsInRound = 0
  }

  resetSignals(): void {
    this.isLossInRound = false
    this.#latestBandwidth = 0
    this.latestInFlightBytes = 0
  }

  boundBandwidth(): void {
    this.bandwidth = Math.min(this.maxBandwidth, this.shortBandwidth)
  }

  // — losses —

  /** True: the first one of this round. `isOld`: sent while we pushed, and answered for there. */
  handleLoss(lost: LostPacket, isOld: boolean): boolean {
    const { deliveredTotalBytes, beginsRun } = lost
    if (!isOld) this.#lossRoundBytes += lost.bytes
    const isFirst = !this.isLossInRound
    if (isFirst) this.#lossRoundDelivered = deliveredTotalBytes
    this.isLossInRound = true
    if (beginsRun) this.lossRunsInRound += 1
    return isFirst
  }

  /** In the round of losses that ends now. */
  hasLostTooMuch(sample: AckSample): boolean {
    const lost = this.#lossRoundBytes
    const delivered = sample.deliveredTotalBytes - this.#lossRoundBegan
    return lost > this.baseline.allowedBytes(lost + delivered)
  }

  /** Ours: a quarter of a round lost behind a long queue, and half of the rate at most gets through.
   * The path is not what it was; the draft would go on to overrun it for two cycles of probing. */
  hasCollapsed(sample: AckSample): boolean {
    if (sample.rttMs <= COLLAPSE_RTT_FACTOR * this.minRtt.minMs) return false
    // The round in which it is noticed still has some of the old rate in it: believe the next ones.
    if (this.#settling > 0) return this.#settling-- > 0
    const lost = this.#lossRoundBytes
    const delivered = sample.deliveredTotalBytes - this.#lossRoundBegan
    const isCollapse =
      lost > COLLAPSE_LOSS_RATIO * (lost + delivered) &&
      this.#latestBandwidth < COLLAPSE_RATE_RATIO * this.maxBandwidth
    if (isCollapse) this.#settling = SETTLING_ROUNDS
    return isCollapse
  }

  /** Believes in what was delivered in this round, and in nothing that was before. */
  forgetBandwidth(): void {
    this.#cycleMax = this.#latestBandwidth
    this.#cycleMaxBefore = 0
    this.maxBandwidth = this.#latestBandwidth
    this.shortBandwidth = Number.POSITIVE_INFINITY
    this.shortInFlightBytes = Number.POSITIVE_INFINITY
    this.longInFlightBytes = Number.POSITIVE_INFINITY
  }

  /** Slows down to what is delivered, by no more than three tenths a round. */
  lowerShortBounds(windowBytes: number): void {
    if (this.shortBandwidth === Number.POSITIVE_INFINITY) this.shortBandwidth = this.maxBandwidth
    if (this.shortInFlightBytes === Number.POSITIVE_INFINITY) this.shortInFlightBytes = windowBytes
    this.shortBandwidth = Math.max(this.#latestBandwidth, BETA * this.shortBandwidth)
    this.shortInFlightBytes = Math.max(this.latestInFlightBytes, BETA * this.shortInFlightBytes)
  }

  resetShortBounds(): void {
    this.shortBandwidth = Number.POSITIVE_INFINITY
    this.shortInFlightBytes = Number.POSITIVE_INFINITY
  }

  // — volumes —

  /** What a full path holds; 0 as long as nothing is known. */
  get pathBytes(): number {
    return this.bandwidth * Math.max(this.minRtt.minMs, RTT_MS_FLOOR)
  }

  get maxPathBytes(): number {
    return this.maxBandwidth * Math.max(this.minRtt.minMs, RTT_MS_FLOOR)
  }
}
