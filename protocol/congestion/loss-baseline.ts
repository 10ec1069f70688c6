// protocol/congestion/loss-baseline.ts — how much does the path lose, whatever we send? Ours: the
// draft takes every loss for a full queue.
const ROUNDS = 20
const CAP_RATIO = 0.12
const DRAFT_THRESHOLD = 0.02

export class LossBaseline {
  readonly isOn: boolean
  ratio = 0
  readonly #lost = new Float64Array(ROUNDS)
  readonly #sent = new Float64Array(ROUNDS)
  #count = 0

  constructor(isOn: boolean) {
    this.isOn = isOn
  }

  /** More than this in one round says that too much is sent. */
  get thresholdRatio(): number {
    return this.ratio + DRAFT_THRESHOLD
  }

  /** A round in which nothing speaks of a queue: what it lost, it would have lost at any rate. */
  handleQuietRound(lostBytes: number, deliveredBytes: number): void {
    if (!this.isOn) return
    const slot = this.#count % ROUNDS
    this.#count += 1
    this.#lost[slot] = lostBytes
    this.#sent[slot] = lostBytes + deliveredBytes
    let lost = 0
    let sent = 0
    for (let i = 0; i < ROUNDS; i += 1) {
      lost += this.#lost[i] as number
      sent += this.#sent[i] as number
    }
    this.ratio = sent > 0 ? Math.min(CAP_RATIO, lost / sent) : 0
  }
}
