// protocol/connection/ack-state.ts — which packets came, and when do we owe the peer an ACK?
import type { FrameWriter } from '../wire/frames.ts'
import { ACK_RANGES_MAX, FRAME, VARINT_MAX, varintBytes } from '../wire/frames.ts'
import { ACK_DELAY_MS_MAX, ACK_RANGES_KEPT, EAGER_ACK_PACKETS, PACKETS_PER_ACK } from './limits.ts'
import { RangeSet } from './ranges.ts'

const ACK_HEAD_BYTES = 12
const GAPS_BEFORE_ACK = 16
const DELAY_US_MAX = 2 ** 32 - 1

export class AckState {
  readonly #received = new RangeSet()
  /** Below it everything counts as received: ranges dropped for age. */
  #floor = -1
  #largest = -1
  #largestAtMs = 0
  #owed = 0
  #total = 0
  #newGaps = 0
  #deadlineMs = Number.POSITIVE_INFINITY
  #hasNews = false

  get largest(): number {
    return this.#largest
  }

  isDuplicate(packetNumber: number): boolean {
    return packetNumber < this.#floor || this.#received.has(packetNumber)
  }

  handlePacket(nowMs: number, packetNumber: number, eliciting: boolean): void {
    const inOrder = packetNumber === this.#largest + 1 || this.#largest < 0
    if (packetNumber > this.#largest + 1) this.#newGaps += 1
    this.#received.add(packetNumber, packetNumber + 1)
    if (packetNumber > this.#largest) {
      this.#largest = packetNumber
      this.#largestAtMs = nowMs
    }
    if (this.#received.count > ACK_RANGES_KEPT) {
      this.#floor = this.#received.ends[0] as number
      this.#received.removeFirst()
    }
    this.#hasNews = true
    if (!eliciting) return
    this.#owed += 1
    this.#total += 1
    const urgent =
      !inOrder ||
      this.#owed >= PACKETS_PER_ACK ||
      this.#total <= EAGER_ACK_PACKETS ||
      this.#newGaps >= GAPS_BEFORE_ACK
    const dueMs = urgent ? nowMs : nowMs + ACK_DELAY_MS_MAX
    if (dueMs < this.#deadlineMs) this.#deadlineMs = dueMs
  }

  requestNow(nowMs: number): void {
    this.#deadlineMs = nowMs
  }

  isDue(nowMs: number): boolean {
    return this.#hasNews && nowMs >= this.#deadlineMs
  }

  /** Worth adding to a packet that goes out anyway? */
  get isWorthwhile(): boolean {
    return this.#hasNews && this.#owed > 0
  }

  pollTimeout(): number {
    return this.#deadlineMs
  }

  /** Writes one ACK frame with as many ranges as fit; false when not even one does. */
  write(nowMs: number, writer: FrameWriter): boolean {
    const { starts, ends, count } = this.#received
    if (count === 0 || writer.roomBytes < ACK_HEAD_BYTES + 4) return false
    writer.u8(FRAME.ack)
    writer.u48((ends[count - 1] as number) - 1)
    const delayUs = Math.round((nowMs - this.#largestAtMs) * 1000)
    writer.u32(Math.min(DELAY_US_MAX, Math.max(0, delayUs)))
    const countAt = writer.offset
    writer.u8(0)
    let written = 0
    let previousLow = 0
    for (let i = count - 1; i >= 0 && written < ACK_RANGES_MAX; i -= 1) {
      const high = (ends[i] as number) - 1
      const length = Math.min(high - (starts[i] as number), VARINT_MAX)
      const low = high - length
      const gap = written === 0 ? 0 : previousLow - high - 2
      if (gap > VARINT_MAX) break // A peer that leaps so far has no use for what lies behind.
      const bytes = varintBytes(length) + (written === 0 ? 0 : varintBytes(gap))
      if (writer.roomBytes < bytes) break
      if (written > 0) writer.varint(gap)
      writer.varint(length)
      previousLow = low
      written += 1
    }
    writer.bytes[countAt] = written
    this.#owed = 0
    this.#newGaps = 0
    this.#hasNews = false
    this.#deadlineMs = Number.POSITIVE_INFINITY
    return true
  }

  /** The peer has seen our ACK up to there: older ranges need not be told again. */
  handleAckOfAck(largestTold: number): void {
    while (this.#received.count > 1 && (this.#received.ends[0] as number) <= largestTold) {
      this.#floor = this.#received.ends[0] as number
      this.#received.removeFirst()
    }
  }
}
