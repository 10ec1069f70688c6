// src/rpc/frames.ts — where does one header end and the next begin?
//
// A frame is a length (u32 little-endian) and so many bytes of CBOR.
import { decodeCbor, encodeCbor } from './cbor.ts'
import type { StreamReader } from './stream-reader.ts'

export const FRAME_BYTES_MAX = 4 * 2 ** 20
const LENGTH_BYTES = 4

export type Frame = { ok: true; value: unknown } | { ok: false; defect: string }

/** Throws RangeError when the value is larger than a peer accepts. */
export function encodeFrame(value: unknown): Uint8Array {
  const body = encodeCbor(value)
  if (body.length > FRAME_BYTES_MAX) {
    throw new RangeError(`${body.length} bytes, more than ${FRAME_BYTES_MAX}`)
  }
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + body.length)
  frame.writeUInt32LE(body.length, 0)
  frame.set(body, LENGTH_BYTES)
  return frame
}

/** One frame; null when the stream ended before it. Memory: what has arrived of it, and nothing
 * before `admit` resolves. Rejects with the stream's error or admit's: bad bytes are a defect. */
export async function readFrame(
  reader: StreamReader,
  admit?: (lengthBytes: number) => Promise<void>,
): Promise<Frame | null> {
  const head = await readUpTo(reader, LENGTH_BYTES)
  if (head.length === 0) return null
  if (head.length < LENGTH_BYTES) return { ok: false, defect: 'the length is cut off' }
  const lengthBytes = head.readUInt32LE(0)
  if (lengthBytes > FRAME_BYTES_MAX) {
    return { ok: false, defect: `a header of ${lengthBytes} bytes, more than ${FRAME_BYTES_MAX}` }
  }
  await admit?.(lengthBytes)
  const body = await readUpTo(reader, lengthBytes)
  if (body.length < lengthBytes) return { ok: false, defect: 'the header is cut off' }
  return decodeCbor(body)
}

/** A copy: values decoded from it don't keep the pieces alive, and a peer that sends them byte by
 * byte does not cost an object for each. At most twice what has arrived. */
async function readUpTo(reader: StreamReader, lengthBytes: number): Promise<Buffer> {
  let bytes: Buffer = Buffer.alloc(0)
  let filled = 0
  while (filled < lengthBytes) {
    const piece = await reader.next()
    if (piece === null) break
    const used = Math.min(piece.length, lengthBytes - filled)
    if (filled + used > bytes.length) bytes = grown(bytes, filled + used, lengthBytes)
    bytes.set(piece.subarray(0, used), filled)
    filled += used
    reader.unread(piece.subarray(used))
  }
  return bytes.subarray(0, filled)
}

function grown(bytes: Buffer, neededBytes: number, mostBytes: number): Buffer {
  const capacity = Math.min(mostBytes, Math.max(neededBytes, 2 * bytes.length))
  const larger = Buffer.allocUnsafeSlow(capacity) // not of the pool: it may be kept for long
  larger.set(bytes)
  return larger
}
