// protocol/connection/receive-window.ts — how much may the peer send us, over all streams together?
import { CONNECTION_PIECES_MAX, FAIR_PIECE_BYTES } from './receive-stream.ts'

/** A window opens again when so much of it is all that is left. */
export const RENEW_RATIO = 0.75

/** The connection's side of flow control: offsets count in sum (RFC 9000 §4.1). */
export class ReceiveWindow {
  /** What MAX_DATA says: the sum of highest offsets may not pass it. */
  limit: number
  /** MAX_DATA waits to be sent. */
  isOwed = false
  /** Pieces that wait out of order, over all streams. */
  pieces = 0
  #windowBytes: number
  readonly #windowBytesMax: number
  #receivedBytes = 0
  #consumedBytes = 0
  #updatedMs = 0

  constructor(windowBytes: number, windowBytesMax: number) {
    this.limit = windowBytes
    this.#windowBytes = windowBytes
    this.#windowBytesMax = windowBytesMax
  }

  /** May so many bytes more arrive? */
  allows(bytes: number): boolean {
    return this.#receivedBytes + bytes <= this.limit
  }

  handleReceived(bytes: number): void {
    this.#receivedBytes += bytes
  }

  /** Crumbs cost us more than they are worth: are there too many? */
  get isCrowded(): boolean {
    const waitingBytes = this.#receivedBytes - this.#consumedBytes
    return this.pieces > CONNECTION_PIECES_MAX + waitingBytes / FAIR_PIECE_BYTES
  }

  /** The application has read them; a window that lasted less than two round trips doubles. */
  handleRead(bytes: number, nowMs: number, rttMs: number): void {
    this.#consumedBytes += bytes
    if (!this.#isLow) return
    if (nowMs - this.#updatedMs < 2 * rttMs) {
      this.#windowBytes = Math.min(this.#windowBytes * 2, this.#windowBytesMax)
    }
    this.#updatedMs = nowMs
    this.#renew()
  }

  /** Nobody will read them: they open the window as if somebody had. */
  giveBack(bytes: number): void {
    this.#consumedBytes += bytes
    if (this.#isLow) this.#renew()
  }

  get #isLow(): boolean {
    return this.limit - this.#consumedBytes <= this.#windowBytes * RENEW_RATIO
  }

  #renew(): void {
    this.limit = this.#consumedBytes + this.#windowBytes
    this.isOwed = true
  }
}
