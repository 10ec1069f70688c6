// src/server/verified-read.ts — are the bytes that we are about to send still what was stored?
import { findBadSegment, type IndexSummary, SEGMENT_BYTES } from '../chunk/index.ts'
import { HoldfastError } from '../errors.ts'
import type { BlobReader } from './store/blob-store.ts'

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

/** The ranges' bytes in the order asked, each segment that holds them checked. Without a summary
 * (the trailer is damaged) nothing is checked here, and the reader, who checks every chunk, may
 * still get at good bytes. Rejects with CORRUPT, and as BlobReader.read does. */
export async function readVerified(
  reader: BlobReader,
  ranges: readonly Range[],
  summary: Pick<IndexSummary, 'segmentCrcs' | 'coveredBytes'> | null,
): Promise<Uint8Array[]> {
  const read: { start: number; bytes: Uint8Array }[] = []
  for (const { start, end } of spansOf(ranges, reader.sizeBytes)) {
    const bytes = await reader.read(start, end - start)
    const bad = summary && findBadSegment(bytes, start, summary)
    if (bad !== null) {
      const problem = `the copy of blob ${reader.blobId} is damaged in segment ${bad}`
      throw new HoldfastError('CORRUPT', problem)
    }
    read.push({ start, bytes })
  }
  return ranges.map(({ offset, length }) => {
    const span = read.findLast(({ start }) => start <= offset)
    if (!span) throw new Error('a range outside all spans')
    return span.bytes.subarray(offset - span.start, offset - span.start + length)
  })
}
