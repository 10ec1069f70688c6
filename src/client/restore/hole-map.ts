// src/client/restore/hole-map.ts — where in the file do the bytes of its chunks belong?
import type { Hole } from '../backup/file-reader.ts'

export interface Segment {
  /** In the file. */
  readonly position: number
  /** In the content, which is the file without its holes. */
  readonly offset: number
  readonly length: number
}

/** The stretches of the file that `length` bytes of content from `offset` on fill. Holes are in
 * order and do not overlap. */
export function segmentsOf(holes: readonly Hole[], offset: number, length: number): Segment[] {
  const segments: Segment[] = []
  const end = offset + length
  let skipped = 0 // bytes of holes before the content at hand
  let at = offset
  for (const hole of holes) {
    const until = hole.offset - skipped // content that comes before this hole ends here
    if (until > at) {
      const count = Math.min(until, end) - at
      segments.push({ position: at + skipped, offset: at, length: count })
      at += count
      if (at === end) return segments
    }
    skipped += hole.length
  }
  if (at < end) segments.push({ position: at + skipped, offset: at, length: end - at })
  return segments
}
