// protocol/connection/disorder.ts — how late may a packet be before it counts as lost?
//
// RFC 9002's thresholds, which grow with each loss that turns out false (RFC 8985's reo_wnd) and
// come down by half when none was false for long: what was learnt from a path is not to be learnt
// all over again.
const PACKET_THRESHOLD = 3
const WINDOW_MAX = 8
const CLEAN_RECOVERIES = 16
/** Once packets were seen to overtake others, numbers alone condemn nothing before this part of the
 * shortest round trip more. */
const PATIENCE = 1.25

export class Disorder {
  /** Lost, when one so many numbers later was acknowledged. */
  packetThreshold = PACKET_THRESHOLD
  #window = 1 // eighths of a round trip
  #isSeen = false
  #cleanRecoveries = 0
  #recoveryStartMs = Number.NEGATIVE_INFINITY
  /** The round of losses up to which false ones have widened the window. */
  #widenedRound = 0

  /** Lost, when it was sent so many round trips ago. */
  get timeFactor(): number {
    return 1 + this.#window / 8
  }

  condemns(distance: number, ageMs: number, minRttMs: number): boolean {
    if (distance < this.packetThreshold) return false
    return !this.#isSeen || ageMs >= PATIENCE * minRttMs
  }

  /** It was `displacement` numbers behind, of so many in flight; lost in that round, now is this. */
  handleFalseLoss(
    displacement: number,
    flight: number,
    rounds: { lost: number; now: number },
  ): void {
    this.#isSeen = true
    const wanted = Math.min(displacement + 1, Math.max(flight / 2, PACKET_THRESHOLD))
    this.packetThreshold = Math.max(this.packetThreshold, wanted)
    this.#cleanRecoveries = 0
    if (rounds.lost <= this.#widenedRound) return
    this.#widenedRound = rounds.now
    this.#window = Math.min(this.#window + 1, WINDOW_MAX)
  }

  /** Packets are lost, the newest of them sent then: counts once per round trip. */
  handleLosses(nowMs: number, newestSentMs: number): void {
    if (newestSentMs <= this.#recoveryStartMs) return
    this.#recoveryStartMs = nowMs
    this.#cleanRecoveries += 1
    if (this.#cleanRecoveries < CLEAN_RECOVERIES) return
    this.#cleanRecoveries = 0
    this.packetThreshold = Math.max(PACKET_THRESHOLD, this.packetThreshold / 2)
    this.#window = Math.max(1, this.#window / 2)
    if (this.packetThreshold === PACKET_THRESHOLD) this.#isSeen = false
  }
}
