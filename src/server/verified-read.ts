// src/server/verified-read.ts — are the bytes that we are about to send still what was stored?
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../errors.ts'
import type { BlobReader } from './store/blob-store.ts'

/** One CRC-32 for each so many bytes before the trailer (docs/storage-format.md). */
export const SEGMENT_BYTES = 64 * 1024

export interface SegmentCrcs {
  readonly crcs: ArrayLike<number>
  /** Where the trailer begins: the CRCs cover what is before. */
  readonly coveredBytes: number
}

export interface Range {
  readonly offset: number
  readonly length: number
}

interface Span {
  readonly start: number
  readonly end: number
}

/** Whole segments that hold the ranges, joined where they touch, in order. */
export function spansOf(ranges: readonly Range[], sizeBytes: number): Span[] {
  const spans: { start: number; end: number }[] = []
  const sorted = ranges.toSorted((left, right) => left.offset - right.offset)
  for (const { offset, length } of sorted) {
    const start = offset - (offset % SEGMENT_BYTES)
    const endWanted = Math.ceil((offset + length) / SEGMENT_BYTES) * SEGMENT_BYTES
    const end = Math.min(endWanted, sizeBytes)
    const last = spans.at(-1)
    if (last && start <= last.end) last.end = Math.max(last.end, end)
    else spans.push({ start, end })
  }
  return spans
}

/** The ranges' bytes in the order asked. Without CRCs (a damaged trailer) nothing is checked here,
 * and the reader, who checks every chunk, may still get at good bytes. Rejects with CORRUPT when
 * one segment is not what was stored, and as BlobReader.read does. */
export async function readVerified(
  reader: BlobReader,
  ranges: readonly Range[],
  segments: SegmentCrcs | null,
): Promise<Uint8Array[]> {
  const spans = spansOf(ranges, reader.sizeBytes)
  const read: { start: number; bytes: Uint8Array }[] = []
  for (const { start, end } of spans) {
    const bytes = await reader.read(start, end - start)
    if (segments) verify(reader.blobId, bytes, start, segments)
    read.push({ start, bytes })
  }
  return ranges.map(({ offset, length }) => {
    const span = read.findLast(({ start }) => start <= offset)
    if (!span) throw new Error('a range outside all spans')
    return span.bytes.subarray(offset - span.start, offset - span.start + length)
  })
}

function verify(blobId: string, bytes: Uint8Array, start: number, segments: SegmentCrcs): void {
  const { crcs, coveredBytes } = segments
  const end = Math.min(start + bytes.length, coveredBytes)
  for (let offset = start; offset < end; offset += SEGMENT_BYTES) {
    const segmentEnd = Math.min(offset + SEGMENT_BYTES, coveredBytes)
    const segment = bytes.subarray(offset - start, segmentEnd - start)
    if (crc32(segment) === crcs[offset / SEGMENT_BYTES]) continue
    const place = `bytes ${offset} to ${segmentEnd}`
    throw new HoldfastError('CORRUPT', `the copy of blob ${blobId} is damaged in ${place}`)
  }
}
