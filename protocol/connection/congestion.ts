// protocol/connection/congestion.ts — how many bytes may be in flight? The interface and NewReno.
export interface CongestionController {
  readonly windowBytes: number
  readonly isSlowStart: boolean
  /** Both ends have said how large datagrams may be: before the first one is sent. */
  setSegmentBytes(bytes: number): void
  /** Bytes newly acknowledged; `limited`: the window was what held the sender back. */
  handleAck(ackedBytes: number, newestSentMs: number, limited: boolean): void
  /** Bytes found lost; the newest of them was sent at `newestSentMs`. True: an episode begins. */
  handleLoss(nowMs: number, newestSentMs: number): boolean
  /** Nothing got through for a long time (RFC 9002 §7.6). */
  handlePersistentCongestion(): void
  /** All losses of the last episode turned out to have arrived. */
  undo(): void
  /** Another path: begin anew. */
  reset(segmentBytes: number): void
}

export const INITIAL_WINDOW_SEGMENTS = 32 // RFC 9002 says 10; a closed deployment may start higher.
const MIN_WINDOW_SEGMENTS = 4
const BETA = 0.7 // RFC 9438's; RFC 9002 leaves the loss reduction factor to the implementation.

/** NewReno as in RFC 9002 appendix B. */
export class NewReno implements CongestionController {
  windowBytes = 0
  #segmentBytes = 0
  #thresholdBytes = Number.POSITIVE_INFINITY
  #recoveryStartMs = Number.NEGATIVE_INFINITY
  #before: { windowBytes: number; thresholdBytes: number; startMs: number } | null = null

  constructor(segmentBytes: number) {
    this.setSegmentBytes(segmentBytes)
  }

  setSegmentBytes(bytes: number): void {
    this.#segmentBytes = bytes
    this.windowBytes = INITIAL_WINDOW_SEGMENTS * bytes
  }

  get isSlowStart(): boolean {
    return this.windowBytes < this.#thresholdBytes
  }

  handleAck(ackedBytes: number, newestSentMs: number, limited: boolean): void {
    if (!limited || newestSentMs <= this.#recoveryStartMs) return
    if (this.isSlowStart) this.windowBytes += ackedBytes
    else this.windowBytes += (this.#segmentBytes * ackedBytes) / this.windowBytes
  }

  handleLoss(nowMs: number, newestSentMs: number): boolean {
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

  reset(segmentBytes: number): void {
    this.setSegmentBytes(segmentBytes)
    this.#thresholdBytes = Number.POSITIVE_INFINITY
    this.#before = null
  }
}
