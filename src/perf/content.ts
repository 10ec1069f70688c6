// src/perf/content.ts — which bytes travel in a measurement, and did the right ones arrive?
//
// A block of 1 MiB that both ends know, again and again. The first 16 bytes of every unit of
// 64 KiB are replaced by a stamp: who sends, and how far into the stream we are. Comparing with
// what must come costs a fraction of a hash, and bytes that are wrong, missing, doubled or in
// another place are all found.

/** What is written at once; the unit that carries a stamp. */
export const UNIT_BYTES = 64 * 1024
const BLOCK_BYTES = 1024 * 1024
const UNITS_PER_BLOCK = BLOCK_BYTES / UNIT_BYTES
const STAMP_BYTES = 16
const STAMP_MAGIC = 0x68_66_70_31
const SEED = 0x9e_37_79_b9

/** The same on every machine. */
function makeBlock(): Buffer {
  const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  let state = SEED
  for (let at = 0; at < BLOCK_BYTES; at += 4) {
    // xorshift32 (Marsaglia 2003)
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    block.writeInt32LE(state, at)
  }
  return block
}

const BLOCK = makeBlock()
const BODIES = Array.from({ length: UNITS_PER_BLOCK }, (_, unit) =>
  BLOCK.subarray(unit * UNIT_BYTES + STAMP_BYTES, (unit + 1) * UNIT_BYTES),
)

function writeStamp(into: Buffer, at: number, stamp: { stream: number; offset: number }): void {
  into.writeUInt32LE(STAMP_MAGIC, at)
  into.writeInt32LE(stamp.stream, at + 4)
  into.writeDoubleLE(stamp.offset, at + 8)
}

/** What the sender of one stream writes. `stream`: any number that the receiver knows as well. */
export class ContentSource {
  readonly #stream: number
  #offset = 0

  constructor(stream: number) {
    this.#stream = stream
  }

  /** Bytes handed out. */
  get offset(): number {
    return this.#offset
  }

  /** The next unit, or its first `bytesMax` bytes where that is all there will be: a stamp of its
   * own, and a body that all streams share. Neither may be changed. */
  next(bytesMax: number): [stamp: Buffer, body: Buffer] {
    const stamp = Buffer.allocUnsafe(STAMP_BYTES)
    writeStamp(stamp, 0, { stream: this.#stream, offset: this.#offset })
    const body = BODIES[(this.#offset / UNIT_BYTES) % UNITS_PER_BLOCK]!
    this.#offset += Math.min(bytesMax, UNIT_BYTES)
    if (bytesMax >= UNIT_BYTES) return [stamp, body]
    return [stamp.subarray(0, bytesMax), body.subarray(0, Math.max(0, bytesMax - STAMP_BYTES))]
  }
}

/** What the receiver of one stream expects. */
export class ContentCheck {
  readonly #stream: number
  readonly #stamp = Buffer.alloc(STAMP_BYTES)
  #offset = 0
  /** Where the first wrong byte was, or null. */
  wrongAt: number | null = null

  constructor(stream: number) {
    this.#stream = stream
  }

  /** Bytes that came, right or wrong. */
  get bytes(): number {
    return this.#offset
  }

  take(chunk: Buffer): void {
    for (let from = 0; from < chunk.length; ) {
      const inUnit = this.#offset % UNIT_BYTES
      if (inUnit === 0) writeStamp(this.#stamp, 0, { stream: this.#stream, offset: this.#offset })
      const isStamp = inUnit < STAMP_BYTES
      const [expected, at, end] = isStamp
        ? [this.#stamp, inUnit, STAMP_BYTES]
        : [BLOCK, this.#offset % BLOCK_BYTES, UNIT_BYTES - inUnit + (this.#offset % BLOCK_BYTES)]
      const length = Math.min(chunk.length - from, end - at)
      if (chunk.compare(expected, at, at + length, from, from + length) !== 0) {
        this.wrongAt ??= this.#offset + sameBytes(chunk.subarray(from), expected.subarray(at))
      }
      this.#offset += length
      from += length
    }
  }
}

/** How many bytes at the beginning are the same. */
function sameBytes(a: Buffer, b: Buffer): number {
  let same = 0
  while (a[same] === b[same]) same += 1
  return same
}
