// protocol/connection/send-stream.ts — what does our half of a stream still owe the peer?
//
//   acked ──┬── lost? in flight? ──┬── written, never sent ──┐
//           base                   next                      end     (offsets; FIN sits at end)
import { RangeSet } from './ranges.ts'

export interface SendPiece {
  offset: number
  lengthBytes: number
  fin: boolean
}

export class SendStream {
  readonly id: number
  urgency: number
  /** The peer's limit: offsets below it may be sent. */
  limit: number
  isReset = false
  resetCode = 0
  isResetAcked = false
  finished = false
  /** The limit for which STREAM_DATA_BLOCKED was said. */
  blockedTold = -1
  #buffers: { offset: number; bytes: Uint8Array }[] = []
  #head = 0
  #base = 0
  #next = 0
  #end = 0
  #finSent = false
  #finAcked = false
  #finLost = false
  readonly #acked = new RangeSet()
  readonly #lost = new RangeSet()

  constructor(id: number, urgency: number, limit: number) {
    this.id = id
    this.urgency = urgency
    this.limit = limit
  }

  /** Bytes written and not yet acknowledged: what the send buffer holds. */
  get bufferedBytes(): number {
    return this.#end - this.#base
  }

  get endOffset(): number {
    return this.#end
  }

  get nextOffset(): number {
    return this.#next
  }

  get isAcknowledged(): boolean {
    return this.isReset ? this.isResetAcked : this.#finAcked && this.#base === this.#end
  }

  get hasLost(): boolean {
    return !this.#lost.isEmpty || this.#finLost
  }

  /** Anything to send, whatever the connection's credit is? */
  get hasData(): boolean {
    if (this.isReset) return false
    if (this.hasLost) return true
    if (this.#next < this.#end && this.#next < this.limit) return true
    return this.finished && !this.#finSent && this.#next === this.#end
  }

  get isBlockedByLimit(): boolean {
    return !this.isReset && this.#next < this.#end && this.#next >= this.limit
  }

  write(bytes: Uint8Array): void {
    this.#buffers.push({ offset: this.#end, bytes })
    this.#end += bytes.length
  }

  /** Chooses what to send next: lost before new, at most `roomBytes`, new data at most `credit`. */
  take(roomBytes: number, creditBytes: number): SendPiece | null {
    if (this.isReset) return null
    if (!this.#lost.isEmpty) {
      const offset = this.#lost.starts[0] as number
      const lengthBytes = Math.min(roomBytes, (this.#lost.ends[0] as number) - offset)
      if (lengthBytes <= 0) return null
      this.#lost.remove(offset, offset + lengthBytes)
      return { offset, lengthBytes, fin: this.#takeFin(offset + lengthBytes) }
    }
    const fresh = Math.min(roomBytes, creditBytes, this.limit - this.#next, this.#end - this.#next)
    if (fresh > 0) {
      const offset = this.#next
      this.#next += fresh
      return { offset, lengthBytes: fresh, fin: this.#takeFin(offset + fresh) }
    }
    const finOwed = this.finished && this.#next === this.#end && (!this.#finSent || this.#finLost)
    return finOwed ? { offset: this.#end, lengthBytes: 0, fin: this.#takeFin(this.#end) } : null
  }

  #takeFin(pieceEnd: number): boolean {
    if (!this.finished || pieceEnd !== this.#end || this.#finAcked) return false
    this.#finSent = true
    this.#finLost = false
    return true
  }

  /** Copies [offset, offset + lengthBytes) to `target` at `at`. */
  copy(offset: number, lengthBytes: number, target: Uint8Array, at: number): void {
    let index = this.#indexOf(offset)
    let from = offset
    let to = at
    const end = offset + lengthBytes
    while (from < end) {
      const buffer = this.#buffers[index++] as { offset: number; bytes: Uint8Array }
      const start = from - buffer.offset
      const count = Math.min(buffer.bytes.length - start, end - from)
      target.set(
        start === 0 && count === buffer.bytes.length
          ? buffer.bytes
          : buffer.bytes.subarray(start, start + count),
        to,
      )
      from += count
      to += count
    }
  }

  #indexOf(offset: number): number {
    let low = this.#head
    let high = this.#buffers.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#buffers[middle] as { offset: number }).offset <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  handleAcked(offset: number, lengthBytes: number, fin: boolean): void {
    if (fin) {
      this.#finAcked = true
      this.#finLost = false
    }
    // A late ACK may name bytes below base again.
    const start = Math.max(offset, this.#base)
    if (start < offset + lengthBytes) {
      this.#acked.add(start, offset + lengthBytes)
      this.#lost.remove(offset, offset + lengthBytes)
    }
    if (this.#acked.isEmpty || (this.#acked.starts[0] as number) > this.#base) return
    this.#base = this.#acked.ends[0] as number
    this.#acked.removeFirst()
    this.#release()
  }

  /** Drops buffers below base; moves the array down only now and then. */
  #release(): void {
    while (this.#head < this.#buffers.length) {
      const buffer = this.#buffers[this.#head] as { offset: number; bytes: Uint8Array }
      if (buffer.offset + buffer.bytes.length > this.#base) break
      buffer.bytes = EMPTY
      this.#head += 1
    }
    if (this.#head > 1024 && this.#head * 2 > this.#buffers.length) {
      this.#buffers = this.#buffers.slice(this.#head)
      this.#head = 0
    }
    if (this.#head === this.#buffers.length) {
      this.#buffers.length = 0
      this.#head = 0
    }
  }

  handleLost(offset: number, lengthBytes: number, fin: boolean): void {
    if (this.isReset) return
    if (fin && !this.#finAcked) this.#finLost = true
    const start = Math.max(offset, this.#base)
    const end = offset + lengthBytes
    if (start >= end) return
    this.#lost.add(start, end)
    this.#lost.removeAll(this.#acked, start, end)
  }

  reset(code: number): void {
    if (this.isReset || this.isAcknowledged) return
    this.isReset = true
    this.resetCode = code
    this.#end = this.#next
    this.#base = this.#next
    this.#buffers = []
    this.#head = 0
    this.#lost.clear()
    this.#acked.clear()
  }
}

const EMPTY = new Uint8Array(0)
