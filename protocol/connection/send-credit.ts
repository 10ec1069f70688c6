// protocol/connection/send-credit.ts — how much does the peer let us send, over all streams together?
import { RESERVED_CREDIT_BYTES, RESERVED_URGENCY_MAX } from './limits.ts'

/** At most so much of the credit is kept free for what is urgent: less than a peer waits for before
 * it gives more (RENEW_RATIO), or bulk would wait for ever. */
const RESERVED_PART_MAX = 0.25

/** The sender's side of the connection's flow control (RFC 9000 §4.1). */
export class SendCredit {
  /** The sum of highest offsets may not pass it. */
  limit = 0
  sentBytes = 0
  /** The limit for which DATA_BLOCKED waits to be sent; -1: none does. */
  owedBlockedAt = -1
  #blockedAt = -1
  #reservedBytes = 0

  begin(windowBytes: number): void {
    this.#raise(windowBytes)
  }

  /** New bytes that a stream of this urgency may send. */
  roomFor(urgency: number): number {
    const reservedBytes = urgency <= RESERVED_URGENCY_MAX ? 0 : this.#reservedBytes
    return Math.max(0, this.limit - this.sentBytes - reservedBytes)
  }

  /** False: nothing new. */
  handleMaxData(limit: number): boolean {
    if (limit <= this.limit) return false
    this.#raise(limit)
    return true
  }

  #raise(limit: number): void {
    this.limit = limit
    const part = Math.floor((limit - this.sentBytes) * RESERVED_PART_MAX)
    this.#reservedBytes = Math.min(RESERVED_CREDIT_BYTES, part)
  }

  /** A stream found no room: the peer is told once for each limit. */
  noteBlocked(): void {
    if (this.#blockedAt === this.limit) return
    this.#blockedAt = this.limit
    this.owedBlockedAt = this.limit
  }

  isBlockedBy(limit: number): boolean {
    return limit === this.limit && limit === this.#blockedAt
  }
}
