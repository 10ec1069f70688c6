// src/client/backup/file-reader.ts — how does a file become chunks, and did it hold still?
import { Chunker, chunkId, type RepositoryKeys } from '../../chunk/index.ts'
import { EntryProblem } from '../restore/entry-problem.ts'
import type { SourceFile, SourceFiles, SourceStat } from '../source/files.ts'
import { typeOf } from '../source/files.ts'

export interface ChunkRef {
  readonly id: string
  /** Of the plaintext, bytes. */
  readonly length: number
}

export interface Hole {
  readonly offset: number
  readonly length: number
}

/** What one reading of a file found. The chunks hold its bytes without the holes. */
export interface FileContent {
  /** As it was before the first byte was read: a change since then shows in the next backup. */
  readonly stat: SourceStat
  readonly sizeBytes: number
  readonly holes: readonly Hole[]
  /** Size, mtime or ctime moved while it was read: what was stored may be a mixture. */
  readonly changed: boolean
}

export interface ReadOptions {
  readonly files: SourceFiles
  readonly keys: RepositoryKeys
  /** Each chunk in order; its bytes belong to the callee. */
  readonly onChunk: (ref: ChunkRef, plaintext: Uint8Array) => void
  /** Awaited between pieces of a large file: where backpressure comes in. */
  readonly room: () => Promise<void>
  /** Progress; may count a byte twice when a file is read again. */
  readonly onBytes: (bytes: number) => void
}

/** FastCDC's minimum: up to here a file is one chunk, and needs no chunker. */
export const SMALL_FILE_BYTES = 256 * 2 ** 10
const PIECE_BYTES = 2 ** 20
/** A smaller hole is read as zeros: it would cost more to describe than it saves. */
const HOLE_BYTES_MIN = 64 * 2 ** 10
/** As many holes as an entry may list; what follows is read as zeros. */
const HOLES_MAX = 1024

/** Reads a file at once: sync open, read and close cost a tenth of their promises. Null when it is
 * not small any more. Throws system errors. */
export function readSmallFile(path: Buffer, options: ReadOptions): FileContent | null {
  const file = options.files.open(path)
  try {
    const before = regular(file.stat())
    if (before.size > BigInt(SMALL_FILE_BYTES)) return null
    const expected = Number(before.size)
    // One byte more than expected: a file that grew says so.
    const bytes = Buffer.allocUnsafeSlow(expected + 1)
    let filled = 0
    while (filled < bytes.length) {
      const count = file.readNow(bytes.subarray(filled), filled)
      if (count === 0) break
      filled += count
    }
    const sizeBytes = Math.min(filled, expected)
    if (sizeBytes > 0) {
      const plaintext = bytes.subarray(0, sizeBytes)
      options.onChunk({ id: chunkId(options.keys, plaintext), length: sizeBytes }, plaintext)
    }
    options.onBytes(sizeBytes)
    const changed = filled !== expected || moved(before, file.stat())
    return { stat: before, sizeBytes, holes: [], changed }
  } finally {
    file.close()
  }
}

/** Reads a file of any size in pieces of 1 MiB, one ahead. Throws system errors. */
export async function readLargeFile(path: Buffer, options: ReadOptions): Promise<FileContent> {
  const file = options.files.open(path)
  try {
    const before = regular(file.stat())
    const expected = Number(before.size)
    const chunker = new Chunker(options.keys.gearKey)
    const emit = (chunks: readonly Uint8Array[]): void => {
      for (const bytes of chunks) {
        options.onChunk({ id: chunkId(options.keys, bytes), length: bytes.length }, bytes)
      }
    }
    const holes: Hole[] = []
    const isSparse = Number(before.blocks) * 512 + HOLE_BYTES_MIN < expected
    let end = 0
    for (const extent of isSparse ? extents(file, expected) : [{ start: 0, end: expected }]) {
      if (extent.start > end) holes.push({ offset: end, length: extent.start - end })
      end = extent.start
      for await (const piece of pieces(file, extent.start, extent.end)) {
        await options.room()
        emit(chunker.push(piece))
        options.onBytes(piece.length)
        end += piece.length
      }
      if (end < extent.end) break // It shrank.
    }
    emit(chunker.finish())
    // A hole at the end: nothing was read there.
    if (isSparse && end < expected && file.nextData(end, expected) === null) {
      holes.push({ offset: end, length: expected - end })
      end = expected
    }
    const grew = (await file.read(Buffer.alloc(1), expected)) > 0
    const changed = grew || end !== expected || moved(before, file.stat())
    return { stat: before, sizeBytes: end, holes, changed }
  } finally {
    file.close()
  }
}

/** The stretches of data, with small holes filled. */
function* extents(file: SourceFile, sizeBytes: number): Generator<{ start: number; end: number }> {
  let open: { start: number; end: number } | null = null
  let count = 0
  for (let at = 0; ; ) {
    const next: { start: number; end: number } | null = file.nextData(at, sizeBytes)
    if (next === null) break
    at = next.end
    if (open && next.start - open.end < HOLE_BYTES_MIN) open.end = next.end
    else {
      if (open) yield open
      count += 1
      // A hole at the very start counts too, hence the 2.
      open = count > HOLES_MAX - 2 ? { start: next.start, end: sizeBytes } : { ...next }
      if (count > HOLES_MAX - 2) break
    }
  }
  if (open) yield open
}

/** The next piece is on its way while one is dealt with. Ends early when the file does. */
async function* pieces(file: SourceFile, start: number, end: number): AsyncGenerator<Uint8Array> {
  const read = (at: number): Promise<Uint8Array> => {
    const into = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, end - at))
    const reading = file.read(into, at).then((count) => into.subarray(0, count))
    reading.catch(() => undefined) // Seen by whoever awaits it, if anybody still does.
    return reading
  }
  let at = start
  let ahead = at < end ? read(at) : null
  try {
    while (ahead !== null) {
      const piece = await ahead
      if (piece.length === 0) return
      at += piece.length
      ahead = at < end ? read(at) : null
      yield piece
    }
  } finally {
    await ahead?.catch(() => undefined) // The file must not be closed under a read.
  }
}

function regular(stat: SourceStat): SourceStat {
  if (typeOf(stat) === 'file') return stat
  throw new EntryProblem('CHANGED', 'is no longer a regular file')
}

const moved = (before: SourceStat, after: SourceStat): boolean =>
  before.size !== after.size || before.mtimeNs !== after.mtimeNs || before.ctimeNs !== after.ctimeNs
