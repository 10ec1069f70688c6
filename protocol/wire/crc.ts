// protocol/wire/crc.ts — is a packet as it was sent? CRC-32 (ISO-HDLC), over all but its own field.
import { createRequire } from 'node:module'
import { crc32 as zlibCrc } from 'node:zlib'
import crcShort from 'crc-32'

const CRC_OFFSET = 12
const CRC_END = 16
/** Up to here the JS table is faster than a call (measured: 0.02 against 0.07 µs). */
const SHORT_BYTES = 64

type Crc = (bytes: Uint8Array, seed: number) => number

/** The carry-less multiplication of the processor takes a third of zlib's time for long packets
 * (64 KiB: 4 against 13 µs), where the package has a build for this machine. */
const crcLong = loadSimdCrc() ?? zlibCrc

function loadSimdCrc(): Crc | null {
  try {
    const { crc32 } = createRequire(import.meta.url)('@node-rs/crc32') as { crc32: Crc }
    return isRight(crc32) ? crc32 : null
  } catch {
    return null
  }
}

/** The same as zlib's for all lengths up to a few blocks of it, anywhere in memory, chained. */
function isRight(crc: Crc): boolean {
  const bytes = Uint8Array.from({ length: 1_200 }, (_, i) => (i * 167) >>> 3)
  for (let start = 0; start < 1_200; start += 1) {
    const part = bytes.subarray(start % 64, 1_200 - ((start * 7) % 1_100))
    if (crc(part, start) !== zlibCrc(part, start)) return false
  }
  return true
}

/** CRC-32 of `bytes`, continued from `seed`; unsigned. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  if (bytes.length > SHORT_BYTES) return crcLong(bytes, seed >>> 0) >>> 0
  return crcShort.buf(bytes, seed | 0) >>> 0
}

/** Copied out of the packet: a view of each would cost more than the sum. */
const head = new Uint8Array(CRC_OFFSET)
const number = new Uint8Array(8)

/** What the checksum field of the packet `bytes[at, end)` must hold. In `header` mode it covers
 * bytes 0–11 and 16–23, in `full` mode all bytes but its own four. */
export function packetCrc(
  bytes: Uint8Array,
  at: number,
  end: number,
  mode: 'full' | 'header',
): number {
  for (let i = 0; i < head.length; i += 1) head[i] = bytes[at + i] as number
  const seed = crcShort.buf(head)
  if (mode === 'full') return crc32(bytes.subarray(at + CRC_END, end), seed)
  for (let i = 0; i < number.length; i += 1) number[i] = bytes[at + CRC_END + i] as number
  return crcShort.buf(number, seed) >>> 0
}
