// protocol/congestion/queue-watch.ts — is the queue short now, as it goes on this path?
import type { AckSample } from './controller.ts'

/** A round's part by which the longest round trip is forgotten. */
const FORGET_PER_ROUND = 0.01
/** The recent round trip is that of a quarter of one. */
const RECENT_PARTS = 4
const SHORT_PART = 0.5
/** Within a machine or a room queues empty too fast to be seen. */
const RTT_MS_MIN = 1

export class QueueWatch {
  /** The round trip with a full queue, as of late. */
  fullMs = 0
  #recentMs = 0
  #lastAckMs = 0

  /** Less than half of what it has been at its longest, at this moment and on average. */
  isShort(sample: AckSample, minRttMs: number, isRoundStart: boolean): boolean {
    const pathMs = sample.rttMs - sample.ackDelayMs
    const minMs = Math.min(minRttMs, pathMs)
    if (isRoundStart) this.fullMs -= FORGET_PER_ROUND * (this.fullMs - minMs)
    this.fullMs = Math.max(this.fullMs, pathMs)
    const share = Math.min(1, (RECENT_PARTS * (sample.nowMs - this.#lastAckMs)) / minMs)
    this.#lastAckMs = sample.nowMs
    this.#recentMs += share * (pathMs - this.#recentMs)
    const halfMs = minMs + SHORT_PART * (this.fullMs - minMs)
    return minMs >= RTT_MS_MIN && pathMs <= halfMs && this.#recentMs <= halfMs
  }
}
