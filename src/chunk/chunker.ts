// src/chunk/chunker.ts — where is a stream of file bytes cut?
//
// FastCDC (Xia et al., 2016) with normalized chunking: a gear hash of the last 32 bytes rolls over
// the stream, and a chunk ends where its high bits are all zero. Before the wanted size more bits
// must be zero than after it, so that sizes crowd around it. The gear table comes from the
// repository's key, so that others cannot tell known files by where they are cut.
import { hkdfSync } from 'node:crypto'

export interface ChunkSizes {
  readonly bytesMin: number
  readonly bytesWanted: number
  readonly bytesMax: number
}

export const CHUNK_SIZES: ChunkSizes = {
  bytesMin: 256 * 2 ** 10,
  bytesWanted: 2 ** 20,
  bytesMax: 4 * 2 ** 20,
}

// Normalization level 2 of the paper: 2 bits more before the wanted size, 2 less after it.
const NORMALIZATION_BITS = 2
const TABLES = new WeakMap<Uint8Array, Int32Array>()

/** 256 signed words from HKDF-SHA-256 of the gear key (docs/storage-format.md). */
export function gearTable(gearKey: Uint8Array): Int32Array {
  const known = TABLES.get(gearKey)
  if (known) return known
  const bytes = Buffer.from(hkdfSync('sha256', gearKey, '', 'holdfast/1/gear table', 1024))
  const table = Int32Array.from({ length: 256 }, (_, index) => bytes.readInt32LE(index * 4))
  TABLES.set(gearKey, table)
  return table
}

/** Cuts one stream. The cuts depend on key and content only, not on how the input is split. Holds
 * the bytes of the chunk under way, less than `bytesMax`, and copies a byte at most once. */
export class Chunker {
  readonly #gear: Int32Array
  readonly #sizes: ChunkSizes
  readonly #maskBefore: number
  readonly #maskAfter: number
  #pieces: Uint8Array[] = []
  #pendingBytes = 0
  #hash = 0

  constructor(gearKey: Uint8Array, sizes: ChunkSizes = CHUNK_SIZES) {
    const bits = Math.round(Math.log2(sizes.bytesWanted))
    this.#gear = gearTable(gearKey)
    this.#sizes = sizes
    this.#maskBefore = highBits(bits + NORMALIZATION_BITS)
    this.#maskAfter = highBits(bits - NORMALIZATION_BITS)
  }

  /** Takes the next bytes, and gives the chunks that they completed. The bytes pass to the chunker:
   * chunks may be views of them, so the caller must not write to them again. */
  push(bytes: Uint8Array): Uint8Array[] {
    const chunks: Uint8Array[] = []
    let start = 0
    while (start < bytes.length) {
      const cut = this.#findCut(bytes, start)
      if (cut === -1) {
        this.#pieces.push(start === 0 ? bytes : bytes.subarray(start))
        this.#pendingBytes += bytes.length - start
        break
      }
      chunks.push(this.#take(bytes.subarray(start, cut)))
      start = cut
    }
    return chunks
  }

  /** The last chunk, if there are bytes left. The chunker is then ready for another stream. */
  finish(): Uint8Array[] {
    return this.#pendingBytes === 0 ? [] : [this.#take(null)]
  }

  /** Where in `bytes` the chunk under way ends, or −1. The chunk has `#pendingBytes` already, and
   * `bytes` goes on with it at `start`. */
  #findCut(bytes: Uint8Array, start: number): number {
    const { bytesMin, bytesWanted, bytesMax } = this.#sizes
    const chunkStart = start - this.#pendingBytes // Negative when it began in a piece before.
    const endWanted = Math.min(bytes.length, chunkStart + bytesWanted)
    const endMax = Math.min(bytes.length, chunkStart + bytesMax)
    let at = Math.max(start, chunkStart + bytesMin)
    if (at >= bytes.length) return -1
    if (at < endWanted) {
      const cut = this.#scan(bytes, at, endWanted, this.#maskBefore)
      if (cut !== -1) return cut
      at = endWanted
    }
    if (at < endMax) {
      const cut = this.#scan(bytes, at, endMax, this.#maskAfter)
      if (cut !== -1) return cut
    }
    return endMax === chunkStart + bytesMax ? endMax : -1
  }

  /** Rolls the hash over bytes[at, end). The hot loop: 4 bytes per turn, no calls. */
  #scan(bytes: Uint8Array, at: number, end: number, mask: number): number {
    const gear = this.#gear
    let hash = this.#hash
    for (const stop = end - 3; at < stop; at += 4) {
      hash = ((hash << 1) + gear[bytes[at]!]!) | 0
      if ((hash & mask) === 0) return at + 1
      hash = ((hash << 1) + gear[bytes[at + 1]!]!) | 0
      if ((hash & mask) === 0) return at + 2
      hash = ((hash << 1) + gear[bytes[at + 2]!]!) | 0
      if ((hash & mask) === 0) return at + 3
      hash = ((hash << 1) + gear[bytes[at + 3]!]!) | 0
      if ((hash & mask) === 0) return at + 4
    }
    for (; at < end; at += 1) {
      hash = ((hash << 1) + gear[bytes[at]!]!) | 0
      if ((hash & mask) === 0) return at + 1
    }
    this.#hash = hash
    return -1
  }

  /** The chunk under way with its last bytes: one piece as it is, several copied together. */
  #take(last: Uint8Array | null): Uint8Array {
    const pieces = last === null ? this.#pieces : [...this.#pieces, last]
    this.#pieces = []
    this.#pendingBytes = 0
    this.#hash = 0
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
  }
}

/** A mask of the `count` highest of 32 bits: they depend on the most bytes. */
const highBits = (count: number): number => -1 << (32 - count)
