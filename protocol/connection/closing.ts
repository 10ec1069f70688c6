// protocol/connection/closing.ts — how often do we say goodbye?
//
// RFC 9000 §10.2: CLOSE goes out a few times, and once more for what still arrives, at a limited
// rate; a quiet peer would answer nothing that makes us repeat it.

const COPIES = 3
const REPLY_GAP_MS = 20

export interface CloseReason {
  readonly code: number
  readonly reason: string
  readonly application: boolean
}

export class Closing {
  readonly why: CloseReason
  isOwed = true
  #sentMs = Number.NEGATIVE_INFINITY
  #copiesLeft = COPIES
  #repeatMs = Number.POSITIVE_INFINITY

  constructor(why: CloseReason) {
    this.why = why
  }

  handlePacket(nowMs: number): void {
    if (nowMs - this.#sentMs >= REPLY_GAP_MS) this.isOwed = true
  }

  handleSent(nowMs: number, ptoMs: number): void {
    this.isOwed = false
    this.#sentMs = nowMs
    this.#copiesLeft -= 1
    this.#repeatMs = this.#copiesLeft > 0 ? nowMs + ptoMs : Number.POSITIVE_INFINITY
  }

  pollTimeout(): number {
    return this.#repeatMs
  }

  handleTimeout(nowMs: number): void {
    if (nowMs < this.#repeatMs) return
    this.#repeatMs = Number.POSITIVE_INFINITY // until it is sent
    this.isOwed = true
  }
}
