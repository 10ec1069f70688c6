// protocol/connection/receive-stream.ts — how do pieces that arrive in any order become a stream?

/** Out of order, per stream and per connection: a maker of holes can't cost more. Pieces of fair
 * size are bounded by the windows alone, as many as they may be on a long, fast path. */
const PIECES_MAX = 1024
export const CONNECTION_PIECES_MAX = 8192
export const FAIR_PIECE_BYTES = 512
/** Shorter ones are joined, in blocks that grow up to this size. */
const BLOCK_BYTES = 4096

/** From here on a piece is handed out as it came: a copy costs more than one more push does. */
const LARGE_PIECE_BYTES = 16_384

export type Inserted = 'ok' | 'final-size' | 'too-many-pieces'

export class ReceiveStream {
  readonly id: number
  /** The limit that we granted: the peer may send offsets below it. */
  limit: number
  windowBytes: number
  finalSize: number | null = null
  isReset = false
  resetCode = 0
  stopped = false
  /** Highest offset that arrived: what counts against both limits. */
  highest = 0
  /** Offset up to which the application has read. */
  consumed = 0
  lastUpdateMs = 0
  #contiguous = 0
  #ready: Uint8Array[] = []
  #readyHead = 0
  readonly #pieces: { offset: number; bytes: Uint8Array }[] = []
  /** Where short pieces are joined, and how much of it is in use. */
  #block: Uint8Array | null = null
  #blockBytes = 0

  constructor(id: number, windowBytes: number) {
    this.id = id
    this.windowBytes = windowBytes
    this.limit = windowBytes
  }

  get readableBytes(): number {
    return this.#contiguous - this.consumed
  }

  get isReadFinished(): boolean {
    return this.finalSize !== null && this.consumed === this.finalSize
  }

  /** True when every byte up to the final size is here, read or not. */
  get isComplete(): boolean {
    return this.finalSize !== null && this.#contiguous === this.finalSize
  }

  /** How many pieces wait for what is missing before them. */
  get pieceCount(): number {
    return this.#pieces.length
  }

  /** Fixes the final size; false when it contradicts what is known (RFC 9000 §4.5). */
  setFinalSize(size: number): boolean {
    if (this.finalSize !== null && this.finalSize !== size) return false
    if (size < this.highest) return false
    this.finalSize = size
    return true
  }

  /** Takes the bytes (which now belong here). The caller has checked the limits. */
  insert(offset: number, bytes: Uint8Array, fin: boolean): Inserted {
    const end = offset + bytes.length
    if (this.finalSize !== null && end > this.finalSize) return 'final-size'
    if (fin && !this.setFinalSize(end)) return 'final-size'
    if (end > this.highest) this.highest = end
    if (this.isReset || this.stopped) {
      this.#contiguous = this.highest // nobody waits for what is missing
      this.consumed = this.highest
      return 'ok'
    }
    if (end <= this.#contiguous) return 'ok'
    if (offset <= this.#contiguous) {
      this.#append(offset, bytes)
      if (this.#pieces.length > 0) this.#drainPieces()
      return 'ok'
    }
    return this.#keep(offset, bytes) ? 'ok' : 'too-many-pieces'
  }

  #append(offset: number, bytes: Uint8Array): void {
    const fresh = offset === this.#contiguous ? bytes : bytes.subarray(this.#contiguous - offset)
    this.#contiguous += fresh.length
    const last = this.#ready.length - 1
    const joined = last < this.#readyHead ? null : this.#join(this.#ready[last]!, fresh)
    if (joined) this.#ready[last] = joined
    else this.#ready.push(compact(fresh))
  }

  /** Both in one, in a block of our own, where they are short; else null. */
  #join(before: Uint8Array, bytes: Uint8Array): Uint8Array | null {
    if (bytes.length >= FAIR_PIECE_BYTES || before.length + bytes.length > BLOCK_BYTES) return null
    let start = before.byteOffset
    const end = start + before.length
    const isOurs = before.buffer === this.#block?.buffer && end === this.#blockBytes
    if (!isOurs && before.length >= FAIR_PIECE_BYTES) return null
    let block = this.#block
    if (!block || !isOurs || end + bytes.length > block.length) {
      block = new Uint8Array(Math.min(BLOCK_BYTES, 2 * (before.length + bytes.length)))
      block.set(before)
      this.#block = block
      this.#blockBytes = before.length
      start = 0
    }
    block.set(bytes, this.#blockBytes)
    this.#blockBytes += bytes.length
    return block.subarray(start, this.#blockBytes)
  }

  /** Inserts between its neighbours and cuts what they hold already. */
  #keep(offset: number, bytes: Uint8Array): boolean {
    let low = 0
    let high = this.#pieces.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#pieces[middle] as { offset: number }).offset <= offset) low = middle + 1
      else high = middle
    }
    const before = low > 0 ? this.#pieces[low - 1] : undefined
    let start = offset
    let end = offset + bytes.length
    if (before) start = Math.max(start, before.offset + before.bytes.length)
    // Pieces that the new one covers wholly go; one that it meets at the end shortens it.
    let remove = 0
    for (let i = low; i < this.#pieces.length; i += 1) {
      const after = this.#pieces[i] as { offset: number; bytes: Uint8Array }
      if (after.offset >= end) break
      if (after.offset + after.bytes.length <= end) remove += 1
      else {
        end = after.offset
        break
      }
    }
    if (start >= end) return true
    const fresh = bytes.subarray(start - offset, end - offset)
    const isNext = before !== undefined && before.offset + before.bytes.length === start
    const joined = isNext ? this.#join(before.bytes, fresh) : null
    if (joined && before) {
      before.bytes = joined
      if (remove > 0) this.#pieces.splice(low, remove)
      return true
    }
    const piecesMax = PIECES_MAX + (this.highest - this.#contiguous) / FAIR_PIECE_BYTES
    if (this.#pieces.length - remove >= piecesMax) return false
    this.#pieces.splice(low, remove, { offset: start, bytes: compact(fresh) })
    return true
  }

  #drainPieces(): void {
    let used = 0
    for (const piece of this.#pieces) {
      if (piece.offset > this.#contiguous) break
      used += 1
      if (piece.offset + piece.bytes.length > this.#contiguous) {
        this.#append(piece.offset, piece.bytes)
      }
    }
    if (used > 0) this.#pieces.splice(0, used)
  }

  /** The next bytes in order, in one array of the caller's own; null when none wait. */
  read(bytesMax: number): Uint8Array | null {
    const wanted = Math.min(bytesMax, this.readableBytes)
    if (wanted <= 0) return null
    const first = this.#ready[this.#readyHead] as Uint8Array
    if (first.length >= LARGE_PIECE_BYTES && first.length <= wanted && fillsItsMemory(first)) {
      this.#readyHead += 1
      this.#trim()
      this.consumed += first.length
      return first
    }
    const out = Buffer.allocUnsafeSlow(wanted)
    let at = 0
    while (at < wanted) {
      const piece = this.#ready[this.#readyHead] as Uint8Array
      if (piece.length <= wanted - at) {
        out.set(piece, at)
        at += piece.length
        this.#readyHead += 1
      } else {
        out.set(piece.subarray(0, wanted - at), at)
        this.#ready[this.#readyHead] = piece.subarray(wanted - at)
        at = wanted
      }
    }
    this.#trim()
    this.consumed += wanted
    return out
  }

  #trim(): void {
    if (this.#readyHead <= 256 && this.#readyHead < this.#ready.length) return
    this.#ready = this.#ready.slice(this.#readyHead)
    this.#readyHead = 0
  }

  /** Drops what waits; the caller gives the bytes back to the connection's window. */
  discard(): void {
    this.#ready = []
    this.#readyHead = 0
    this.#pieces.length = 0
    this.#block = null
    this.#contiguous = this.highest
    this.consumed = this.highest
  }
}

/** Its own memory, where it would keep a datagram alive of which it is a small part. */
const compact = (piece: Uint8Array): Uint8Array =>
  fillsItsMemory(piece) ? piece : Uint8Array.prototype.slice.call(piece)

/** A piece may keep its datagram's memory alive only while it is most of it. */
const fillsItsMemory = (piece: Uint8Array): boolean => piece.length * 2 >= piece.buffer.byteLength
