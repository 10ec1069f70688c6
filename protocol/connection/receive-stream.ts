// protocol/connection/receive-stream.ts — how do pieces that arrive in any order become a stream?
import { Tightness } from './tightness.ts'

/** Out of order, per stream and per connection: a maker of holes can't cost more. Pieces of fair
 * size are bounded by the windows alone, as many as they may be on a long, fast path. */
const PIECES_MAX = 1024
export const CONNECTION_PIECES_MAX = 8192
export const FAIR_PIECE_BYTES = 512
/** What is handed to the application at once, at most. */
const BLOCK_BYTES_MAX = 65_536

export type Inserted = 'ok' | 'final-size' | 'too-many-pieces'

/** Bytes in a row, in a block of their own: it may have room behind them, never before. */
class Run {
  offset: number
  block: Buffer
  start = 0
  end = 0

  constructor(offset: number, blockBytes: number) {
    this.offset = offset
    this.block = Buffer.allocUnsafeSlow(blockBytes)
  }

  get endOffset(): number {
    return this.offset + this.end - this.start
  }

  get roomBytes(): number {
    return this.block.length - this.end
  }

  append(source: Uint8Array, from: number, to: number): void {
    this.block.set(source.subarray(from, to), this.end)
    this.end += to - from
  }

  /** Room for so many more bytes, in memory at most twice as large as what it holds. */
  grow(bytes: number): void {
    const length = this.end - this.start
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES_MAX, 2 * (length + bytes)))
    block.set(this.block.subarray(this.start, this.end))
    this.block = block
    this.start = 0
    this.end = length
  }
}

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
  readonly tightness = new Tightness()
  #contiguous = 0
  /** In order and not read yet; the last one may be empty, and is where the next bytes go. */
  #ready: Run[] = []
  #readyHead = 0
  /** They wait for what is missing before them: sorted, without overlap. */
  readonly #pieces: Run[] = []

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

  /** Copies `source[start, end)`, which stand at `offset`. The caller has checked the limits. */
  insert(offset: number, source: Uint8Array, start: number, end: number, fin: boolean): Inserted {
    const endOffset = offset + end - start
    if (this.finalSize !== null && endOffset > this.finalSize) return 'final-size'
    if (fin && !this.setFinalSize(endOffset)) return 'final-size'
    if (endOffset > this.highest) this.highest = endOffset
    if (this.isReset || this.stopped) {
      this.#contiguous = this.highest // nobody waits for what is missing
      this.consumed = this.highest
      return 'ok'
    }
    if (endOffset <= this.#contiguous) return 'ok'
    if (offset <= this.#contiguous) {
      this.#append(source, start + this.#contiguous - offset, end)
      if (this.#pieces.length > 0) this.#drainPieces()
      return 'ok'
    }
    return this.#keep(offset, source, start, end) ? 'ok' : 'too-many-pieces'
  }

  /** The next bytes in order. Blocks grow with the stream, so that a short one costs no more. */
  #append(source: Uint8Array, from: number, to: number): void {
    const last = this.#ready[this.#ready.length - 1]
    const fits = last ? Math.min(last.roomBytes, to - from) : 0
    if (last && fits > 0) last.append(source, from, from + fits)
    const left = to - from - fits
    if (left > 0) {
      const run = new Run(
        this.#contiguous + fits,
        Math.max(left, Math.min(BLOCK_BYTES_MAX, this.#contiguous)),
      )
      run.append(source, from + fits, to)
      this.#ready.push(run)
    }
    this.#contiguous += to - from
  }

  /** Inserts between its neighbours and cuts what they hold already. */
  #keep(offset: number, source: Uint8Array, from: number, to: number): boolean {
    const pieces = this.#pieces
    const at = this.#placeOf(offset)
    const before = at > 0 ? pieces[at - 1] : undefined
    const start = before ? Math.max(offset, before.endOffset) : offset
    let end = offset + to - from
    // Pieces that the new one covers wholly go; one that it meets at the end shortens it.
    let covered = 0
    for (let i = at; i < pieces.length; i += 1) {
      const after = pieces[i] as Run
      if (after.offset >= end) break
      if (after.endOffset > end) {
        end = after.offset
        break
      }
      covered += 1
    }
    if (start >= end) return true
    const first = from + start - offset
    const bytes = end - start
    if (before?.endOffset === start && before.end - before.start + bytes <= BLOCK_BYTES_MAX) {
      if (before.roomBytes < bytes) before.grow(bytes)
      before.append(source, first, first + bytes)
      if (covered > 0) pieces.splice(at, covered)
      return true
    }
    const piecesMax = PIECES_MAX + (this.highest - this.#contiguous) / FAIR_PIECE_BYTES
    if (pieces.length - covered >= piecesMax) return false
    const run = new Run(start, bytes)
    run.append(source, first, first + bytes)
    if (at === pieces.length) pieces.push(run)
    else pieces.splice(at, covered, run)
    return true
  }

  /** Index of the first piece that begins behind `offset`. Most pieces come in order. */
  #placeOf(offset: number): number {
    const pieces = this.#pieces
    let low = 0
    let high = pieces.length
    if (high > 0 && (pieces[high - 1] as Run).offset <= offset) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if ((pieces[middle] as Run).offset <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Pieces that nothing is missing before any more are ready as they are. */
  #drainPieces(): void {
    let used = 0
    for (const piece of this.#pieces) {
      if (piece.offset > this.#contiguous) break
      used += 1
      const known = this.#contiguous - piece.offset
      if (piece.endOffset <= this.#contiguous) continue
      piece.offset += known
      piece.start += known
      this.#ready.push(piece)
      this.#contiguous = piece.endOffset
    }
    if (used > 0) this.#pieces.splice(0, used)
  }

  /** The next bytes in order, at most `bytesMax` and maybe fewer than wait; null when none do. They
   * are the caller's: nothing will be written there again. */
  read(bytesMax: number): Uint8Array | null {
    if (bytesMax <= 0) return null
    let run = this.#ready[this.#readyHead]
    while (run && run.start === run.end) {
      if (this.#readyHead === this.#ready.length - 1) return null // its room is still of use
      run = this.#dropFirst()
    }
    if (!run) return null
    const start = run.start
    const end = Math.min(run.end, start + bytesMax)
    run.start = end
    run.offset += end - start
    this.consumed += end - start
    const bytes = run.block.subarray(start, end)
    if (run.start === run.end && (run.roomBytes === 0 || this.isReadFinished)) this.#dropFirst()
    return bytes
  }

  #dropFirst(): Run | undefined {
    this.#readyHead += 1
    if (this.#readyHead > 256 || this.#readyHead === this.#ready.length) {
      this.#ready = this.#ready.slice(this.#readyHead)
      this.#readyHead = 0
    }
    return this.#ready[this.#readyHead]
  }

  /** Drops what waits; the caller gives the bytes back to the connection's window. */
  discard(): void {
    this.#ready = []
    this.#readyHead = 0
    this.#pieces.length = 0
    this.#contiguous = this.highest
    this.consumed = this.highest
  }
}
