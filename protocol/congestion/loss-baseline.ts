// protocol/congestion/loss-baseline.ts — how much does the path lose, whatever we send? Ours: the
// draft takes every loss beyond 2 % of a round for a full queue.
//
// Learnt in rounds in which nothing speaks of a queue. Lost bytes over sent bytes, older rounds
// weighing less; and how much that varies from round to round, for losses that come in bursts.

/** The draft's: more than this in one round says that too much is sent. */
const THRESHOLD_RATIO = 0.02
const BASELINE_RATIO_MAX = 0.12
/** Rounds lose more than the mean by chance: so many standard deviations are not held against … */
const DEVIATIONS = 2.5
/** … the sender, up to this. */
const ALLOWANCE_RATIO_MAX = 0.04
const ROUNDS = 20
const SEGMENTS_MIN = 2_000
/** Before so much was sent, losses say little about the path. */
const PRIOR_SEGMENTS = 50

export class LossBaseline {
  readonly isOn: boolean
  /** Of what is sent. */
  ratio = 0
  #lostBytes = 0
  #sentBytes = 0
  #roundLostBytes = 0
  #roundSentBytes = 0
  #squares = 0
  /** Variance over mean of the bytes lost in a round: one segment for independent losses. */
  #dispersionBytes = 0

  constructor(isOn: boolean) {
    this.isOn = isOn
  }

  /** More lost bytes than this, of so many sent within a round trip, are too many. */
  allowedBytes(sentBytes: number): number {
    if (sentBytes <= 0) return 0
    const deviation = Math.sqrt((this.ratio * this.#dispersionBytes) / sentBytes)
    const allowance = Math.min(DEVIATIONS * deviation, ALLOWANCE_RATIO_MAX)
    return sentBytes * (this.ratio + Math.max(THRESHOLD_RATIO, allowance))
  }

  /** Acknowledged and lost while nothing speaks of a queue. */
  handleQuiet(lostBytes: number, ackedBytes: number): void {
    this.#roundLostBytes += lostBytes
    this.#roundSentBytes += lostBytes + ackedBytes
  }

  handleRound(segmentBytes: number): void {
    const lostBytes = this.#roundLostBytes
    const sentBytes = this.#roundSentBytes
    this.#roundLostBytes = 0
    this.#roundSentBytes = 0
    if (!this.isOn || sentBytes <= 0) return
    const memoryBytes = Math.max(ROUNDS * sentBytes, SEGMENTS_MIN * segmentBytes)
    const keep = 1 - sentBytes / memoryBytes
    this.#lostBytes = keep * this.#lostBytes + lostBytes
    this.#sentBytes = keep * this.#sentBytes + sentBytes
    const priorBytes = PRIOR_SEGMENTS * segmentBytes
    const ratio = this.#lostBytes / (this.#sentBytes + priorBytes)
    this.ratio = Math.min(BASELINE_RATIO_MAX, ratio)
    this.#squares = keep * this.#squares + (lostBytes - ratio * sentBytes) ** 2
    if (this.#lostBytes > 0) this.#dispersionBytes = this.#squares / this.#lostBytes
  }
}
