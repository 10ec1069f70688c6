// protocol/connection/ack-state.ts — which packets came, and when do we owe the peer an ACK?
//
// At once where it tells the peer something that it should act on: a gap that may be a loss, a late
// packet that it may have given up, a beginning. Else by count and time, as often as the peer asks
// for (draft-ietf-quic-ack-frequency). The driver reads all that waits before it sends, so one ACK
// goes out for each batch that was received.
import type { FrameWriter } from '../wire/frames.ts'
import { ACK_RANGES_MAX, FRAME, VARINT_MAX, varintBytes } from '../wire/frames.ts'
import { ACK_DELAY_MS_MAX, ACK_RANGES_KEPT, EAGER_ACK_PACKETS, PACKETS_PER_ACK } from './limits.ts'
import { RangeSet } from './ranges.ts'

const ACK_HEAD_BYTES = 12
const GAPS_BEFORE_ACK = 16
/** So many ranges, and the lowest holds news: it must be told before it falls out. */
const RANGES_CROWDED = (ACK_RANGES_KEPT * 3) / 4
const DELAY_US_MAX = 2 ** 32 - 1
/** We acknowledge at least this often, whatever the peer asks for. */
const THRESHOLD_MAX = 256
const DELAY_MS_MIN = 1
const DELAY_MS_MAX = 25

export class AckState {
  readonly #received = new RangeSet()
  /** Below it everything counts as received: ranges dropped for age. */
  #floor = -1
  #largest = -1
  #largestAtMs = 0
  #latestMs = Number.NEGATIVE_INFINITY
  #owed = 0
  #total = 0
  #newGaps = 0
  #deadlineMs = Number.POSITIVE_INFINITY
  #hasNews = false
  /** Since the last ACK: the lowest number that came, and the highest that it told. */
  #lowestNew = Number.POSITIVE_INFINITY
  #largestTold = -1
  // What the peer asks for: eliciting packets per ACK, how long it may wait, and from how far behind
  // the newest on a missing packet counts as lost (0: never, 1: at once).
  #policySequence = -1
  #threshold = PACKETS_PER_ACK
  #delayMs = ACK_DELAY_MS_MAX
  #reorder = 1

  get largest(): number {
    return this.#largest
  }

  isDuplicate(packetNumber: number): boolean {
    return packetNumber < this.#floor || this.#received.has(packetNumber)
  }

  /** ACK_FREQUENCY: only the newest counts. */
  setPolicy(sequence: number, threshold: number, delayMs: number, reorder: number): void {
    if (sequence <= this.#policySequence) return
    this.#policySequence = sequence
    this.#threshold = Math.min(THRESHOLD_MAX, Math.max(1, threshold))
    this.#delayMs = Math.min(DELAY_MS_MAX, Math.max(DELAY_MS_MIN, delayMs))
    this.#reorder = reorder
  }

  handlePacket(nowMs: number, packetNumber: number, eliciting: boolean, rttMs: number): void {
    const largestBefore = this.#largest
    const wasQuiet = nowMs - this.#latestMs > Math.max(rttMs, this.#delayMs)
    if (packetNumber > largestBefore + 1) this.#newGaps += 1
    this.#received.add(packetNumber, packetNumber + 1)
    if (packetNumber > largestBefore) {
      this.#largest = packetNumber
      this.#largestAtMs = nowMs
    }
    this.#latestMs = nowMs
    if (packetNumber < this.#lowestNew) this.#lowestNew = packetNumber
    this.#trim(nowMs)
    this.#hasNews = true
    if (!eliciting) return
    this.#owed += 1
    this.#total += 1
    const urgent =
      wasQuiet ||
      this.#owed >= this.#threshold ||
      this.#total <= EAGER_ACK_PACKETS ||
      this.#newGaps >= GAPS_BEFORE_ACK ||
      (packetNumber !== largestBefore + 1 && this.#isTelling(packetNumber)) ||
      (this.#reorder > 1 && this.#received.count > 1 && this.#hasUntoldLoss())
    const dueMs = urgent ? nowMs : nowMs + this.#delayMs
    if (dueMs < this.#deadlineMs) this.#deadlineMs = dueMs
  }

  /** Does a packet out of order tell the peer more than that it was a little late? */
  #isTelling(packetNumber: number): boolean {
    if (this.#reorder === 0) return false
    return this.#reorder === 1 || packetNumber <= this.#largestTold - this.#reorder
  }

  /** Is a packet missing, so far behind the newest, of which no ACK has told that? The gap may lie
   * before any of the highest ranges. */
  #hasUntoldLoss(): boolean {
    const { starts, ends, count } = this.#received
    const lossBelow = this.#largest - this.#reorder + 1
    const toldBelow = this.#largestTold - this.#reorder + 1
    for (let i = count - 1; i > 0; i -= 1) {
      if ((starts[i] as number) <= toldBelow) return false
      const gapStart = Math.max(ends[i - 1] as number, toldBelow)
      if (gapStart < lossBelow && gapStart < (starts[i] as number)) return true
    }
    return false
  }

  #trim(nowMs: number): void {
    const { count, ends } = this.#received
    if (count < RANGES_CROWDED) return
    if (this.#lowestNew < (ends[0] as number)) this.#deadlineMs = nowMs
    if (count <= ACK_RANGES_KEPT) return
    this.#floor = ends[0] as number
    this.#received.removeFirst()
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
    this.#handleTold()
    return true
  }

  #handleTold(): void {
    this.#owed = 0
    this.#newGaps = 0
    this.#hasNews = false
    this.#lowestNew = Number.POSITIVE_INFINITY
    this.#largestTold = this.#largest
    this.#deadlineMs = Number.POSITIVE_INFINITY
  }

  /** The peer has seen our ACK up to there: older ranges need not be told again. */
  handleAckOfAck(largestTold: number): void {
    while (this.#received.count > 1 && (this.#received.ends[0] as number) <= largestTold) {
      this.#floor = this.#received.ends[0] as number
      this.#received.removeFirst()
    }
  }
}
