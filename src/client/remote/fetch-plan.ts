// src/client/remote/fetch-plan.ts — which requests bring a set of chunks?
import { LIMITS } from '../../messages.ts'

/** Where one chunk rests. */
export interface Place {
  readonly id: string
  readonly blobId: string
  readonly offset: number
  readonly length: number
  readonly servers: readonly number[]
}

export interface Range {
  readonly offset: number
  readonly length: number
}

/** One request to one replica of one blob. */
export interface FetchTask {
  readonly blobId: string
  readonly servers: readonly number[]
  /** By offset. */
  readonly places: readonly Place[]
}

// Small enough that the two replicas of one blob share the work, large enough to fill a link.
const TASK_BYTES = 2 * 2 ** 20

export function planFetches(places: readonly Place[]): FetchTask[] {
  const byBlob = new Map<string, Place[]>()
  for (const place of places) {
    const list = byBlob.get(place.blobId)
    if (list) list.push(place)
    else byBlob.set(place.blobId, [place])
  }
  const tasks: FetchTask[] = []
  for (const [blobId, list] of byBlob) {
    list.sort((a, b) => a.offset - b.offset)
    let part: Place[] = []
    let bytes = 0
    for (const place of list) {
      if (part.length > 0 && (bytes >= TASK_BYTES || part.length === LIMITS.rangesPerFetch)) {
        tasks.push({ blobId, servers: part[0]!.servers, places: part })
        part = []
        bytes = 0
      }
      part.push(place)
      bytes += place.length
    }
    tasks.push({ blobId, servers: part[0]!.servers, places: part })
  }
  return tasks
}

/** Joins neighbours. Chunks of a blob do not overlap; should a manager say so, each stays alone. */
export function joinRanges(places: readonly Place[]): Range[] {
  const ranges: { offset: number; length: number }[] = []
  for (const { offset, length } of places) {
    const last = ranges.at(-1)
    const joins = last !== undefined && last.offset + last.length === offset
    if (joins && last.length + length <= LIMITS.blobSizeBytesMax) last.length += length
    else ranges.push({ offset, length })
  }
  return ranges
}
