// protocol/connection/ack-frequency.ts — how often do we want the peer to acknowledge?
//
// As seldom as does no harm: an ACK costs both ends a system call, and on loopback the sleep between
// two of them. draft-ietf-quic-ack-frequency; the figures are those of the transport's plan.
import { ACK_DELAY_MS_MAX, ACK_TIMER_SLOP_MS, PACKETS_PER_ACK } from './limits.ts'

/** ACKs per window: enough of them to clock the sender. */
const ACKS_PER_WINDOW = 8
const THRESHOLD_MIN = 2
const THRESHOLD_MAX = 64
const DELAYS_PER_RTT = 4
const DELAY_MS_MIN = 1
const DELAY_MS_MAX = 25
const REORDER_MAX = 2 ** 13
/** Smaller changes are not worth a frame. */
const TOLERANCE = 0.2

export interface AckCircumstances {
  readonly windowBytes: number
  readonly segmentBytes: number
  readonly rttMs: number
  /** From how far behind the newest on a missing packet counts as lost. */
  readonly packetThreshold: number
}

export class AckFrequency {
  /** The frame waits to be sent. */
  isOwed = false
  /** What it says: frames are numbered; the newest holds. */
  sequence = -1
  threshold = PACKETS_PER_ACK
  delayMs = ACK_DELAY_MS_MAX
  reorder = 1
  #isUnderWay = false
  #peersDelayMsMax = ACK_DELAY_MS_MAX + ACK_TIMER_SLOP_MS

  /** What the peer said in the handshake, its timer's lateness included. */
  establish(delayMsMax: number): void {
    this.#peersDelayMsMax = delayMsMax
  }

  /** How late an ACK may come, whichever of our wishes has reached the peer so far. */
  get peersDelayMsMax(): number {
    if (this.sequence < 0) return this.#peersDelayMsMax
    const wishedMs = this.delayMs + ACK_TIMER_SLOP_MS
    const isSettled = !this.isOwed && !this.#isUnderWay
    return isSettled ? wishedMs : Math.max(this.#peersDelayMsMax, wishedMs)
  }

  /** To be told now and then once the sender's rate is found; one wish at a time is under way. */
  update({ windowBytes, segmentBytes, rttMs, packetThreshold }: AckCircumstances): void {
    if (this.isOwed || this.#isUnderWay) return
    const packets = Math.floor(windowBytes / ACKS_PER_WINDOW / segmentBytes)
    const threshold = clamp(packets, THRESHOLD_MIN, THRESHOLD_MAX)
    const delayMs = clamp(rttMs / DELAYS_PER_RTT, DELAY_MS_MIN, DELAY_MS_MAX)
    const reorder = clamp(Math.round(packetThreshold), 1, REORDER_MAX)
    const isGood =
      isNear(threshold, this.threshold) &&
      isNear(delayMs, this.delayMs) &&
      isNear(reorder, this.reorder)
    if (isGood) return
    this.#peersDelayMsMax = this.peersDelayMsMax
    this.sequence += 1
    this.threshold = threshold
    this.delayMs = delayMs
    this.reorder = reorder
    this.isOwed = true
  }

  handleSent(): void {
    this.isOwed = false
    this.#isUnderWay = true
  }

  handleAcked(sequence: number): void {
    if (sequence === this.sequence) this.#isUnderWay = false
  }

  handleLost(sequence: number): void {
    if (sequence === this.sequence && this.#isUnderWay) this.isOwed = true
  }
}

const isNear = (wanted: number, is: number): boolean => Math.abs(wanted - is) <= TOLERANCE * is

const clamp = (value: number, min: number, max: number): number =>
  Math.min(max, Math.max(min, value))
