// protocol/connection/receive-window.ts — how much may the peer send us, over all streams together?
//
// Begins small, opens with the first bytes that arrive, grows while it is what holds the peer back,
// and falls back when nothing came for a while: what a quiet peer may send costs memory.
import type { MemoryShare } from './memory-budget.ts'
import { CONNECTION_PIECES_MAX, FAIR_PIECE_BYTES } from './receive-stream.ts'
import { Tightness } from './tightness.ts'

/** A window opens again when so much of it is all that is left. */
export const RENEW_RATIO = 0.75
/** A sender doubles its rate each round trip, and on a lossy path bytes are read round trips later:
 * what only doubled as well would be behind for the whole of the start. */
export const WINDOW_GROWTH = 4
const QUIET_MS = 30_000

export interface WindowSizes {
  /** Before anything arrived. */
  readonly firstBytes: number
  /** Afterwards. */
  readonly usualBytes: number
  readonly mostBytes: number
}

/** The connection's side of flow control: offsets count in sum (RFC 9000 §4.1). */
export class ReceiveWindow {
  /** What MAX_DATA says: the sum of highest offsets may not pass it. */
  limit: number
  /** MAX_DATA waits to be sent. */
  isOwed = false
  /** Pieces that wait out of order, over all streams. */
  pieces = 0
  readonly #sizes: WindowSizes
  readonly #share: MemoryShare
  readonly #tightness = new Tightness()
  #windowBytes: number
  #chargedBytes = 0
  #isAdmitted: boolean
  #receivedBytes = 0
  #consumedBytes = 0
  #activeMs = Number.NEGATIVE_INFINITY

  constructor(sizes: WindowSizes, share: MemoryShare, isAdmitted = true) {
    this.#sizes = sizes
    this.#share = share
    this.#isAdmitted = isAdmitted
    this.limit = sizes.firstBytes
    this.#windowBytes = sizes.firstBytes
  }

  /** The peer may send from now on. */
  begin(): void {
    this.#charge()
  }

  /** False: a stranger, whose window stays as it began. */
  get isAdmitted(): boolean {
    return this.#isAdmitted
  }

  admit(): void {
    this.#isAdmitted = true
    if (this.#receivedBytes > 0) this.#open()
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** May so many bytes more arrive? */
  allows(bytes: number): boolean {
    return this.#receivedBytes + bytes <= this.limit
  }

  handleReceived(bytes: number): void {
    this.#receivedBytes += bytes
    if (this.#windowBytes < this.#sizes.usualBytes) this.#open()
    if (this.#unreadBytes > this.#chargedBytes) this.#charge()
  }

  /** Crumbs cost us more than they are worth: are there too many? */
  get isCrowded(): boolean {
    return this.pieces > CONNECTION_PIECES_MAX + this.#unreadBytes / FAIR_PIECE_BYTES
  }

  get #unreadBytes(): number {
    return this.#receivedBytes - this.#consumedBytes
  }

  /** The application has read them. */
  handleRead(bytes: number, nowMs: number, rttMs: number): void {
    this.#consumedBytes += bytes
    this.#activeMs = nowMs
    const isTight = this.#tightness.handleRead(this.#consumedBytes, this.#windowBytes, nowMs, rttMs)
    if (isTight) this.#growTo(WINDOW_GROWTH * this.#windowBytes)
    if (this.#chargedBytes > this.#windowBytes) this.#charge()
    if (this.#isLow) this.#renew()
  }

  /** Nobody will read them: they open the window as if somebody had. */
  giveBack(bytes: number): void {
    this.#consumedBytes += bytes
    if (this.#isLow) this.#renew()
  }

  /** DATA_BLOCKED: an update was lost, or the window is too small for a reader that keeps up. */
  handleBlocked(toldLimit: number): void {
    if (toldLimit < this.limit) {
      this.isOwed = true
      return
    }
    if (this.#unreadBytes <= this.#windowBytes / 2) this.#growTo(WINDOW_GROWTH * this.#windowBytes)
    if (this.#consumedBytes + this.#windowBytes > this.limit) this.#renew()
  }

  /** Now and then: a peer that has sent nothing for long may have less again. */
  handleQuiet(nowMs: number): void {
    if (this.#windowBytes <= this.#sizes.firstBytes || this.#unreadBytes > 0) return
    if (nowMs - this.#activeMs < QUIET_MS) return
    this.#windowBytes = this.#sizes.firstBytes
    this.#charge()
  }

  get #isLow(): boolean {
    return this.limit - this.#consumedBytes <= this.#windowBytes * RENEW_RATIO
  }

  /** Is there memory for larger windows, and is the peer one to have it? */
  get mayGrow(): boolean {
    return this.#isAdmitted && this.#share.budget.allowsGrowth(0)
  }

  #open(): void {
    this.#growTo(this.#sizes.usualBytes)
    if (this.#isLow) this.#renew()
  }

  #growTo(bytes: number): void {
    const wantedBytes = Math.min(bytes, this.#sizes.mostBytes)
    const moreBytes = wantedBytes - this.#windowBytes
    if (moreBytes <= 0 || !this.#isAdmitted || !this.#share.budget.allowsGrowth(moreBytes)) return
    this.#windowBytes = wantedBytes
    this.#charge()
  }

  #renew(): void {
    if (this.#share.budget.isScarce) {
      this.#windowBytes = Math.max(this.#sizes.firstBytes, this.#windowBytes / 2)
      this.#charge()
    }
    const limit = this.#consumedBytes + Math.floor(this.#windowBytes)
    if (limit <= this.limit) return
    this.limit = limit
    this.isOwed = true
  }

  #charge(): void {
    const bytes = Math.max(this.#windowBytes, this.#unreadBytes)
    this.#share.add(bytes - this.#chargedBytes)
    this.#chargedBytes = bytes
  }
}
