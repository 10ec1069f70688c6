// test/sim/content.ts — what travels, so that the receiver knows each byte without being told?
import { Random } from './random.ts'

/** A prime, so that no power of two in buffers or windows hides a slipped offset. */
const PERIOD_BYTES = 65_521
const SLICE_BYTES_MAX = 1024 * 1024

const block = makeBlock()

function makeBlock(): Uint8Array {
  const period = new Random(1, 'content').bytes(PERIOD_BYTES)
  const bytes = Buffer.alloc(PERIOD_BYTES + SLICE_BYTES_MAX)
  for (let at = 0; at < bytes.length; at += PERIOD_BYTES)
    bytes.set(period.subarray(0, bytes.length - at), at)
  return bytes
}

/** Bytes [offset, offset + length) of what `key` (a stream and a direction) carries. */
export function contentSlice(key: number, offset: number, lengthBytes: number): Uint8Array {
  const start = (key * 7_919 + offset) % PERIOD_BYTES
  return block.subarray(start, start + Math.min(lengthBytes, SLICE_BYTES_MAX))
}

export function isContent(key: number, offset: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES_MAX) {
    const part = bytes.subarray(at, at + SLICE_BYTES_MAX)
    if (Buffer.compare(part, contentSlice(key, offset + at, part.length)) !== 0) return false
  }
  return true
}
