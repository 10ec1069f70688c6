// src/client/restore/existing.ts — is the file in the target right already?
import { fstatSync, lstatSync, read, readSync } from 'node:fs'
import { chunkId, type RepositoryKeys } from '../../chunk/index.ts'
import type { ChunkRef } from '../backup/file-reader.ts'
import { closeQuietly, openForReading } from '../os/native.ts'
import type { StoredEntry } from '../remote/stored-tree.ts'
import { segmentsOf } from './hole-map.ts'

/** Up to here a read goes without the thread pool. */
const SYNC_BYTES_MAX = 256 * 2 ** 10

/** True when size and mtime are those of the entry: worth a look at the content. Not when it has
 * names that the entry lacks: what is set of one is set of all, wherever they are. */
export function looksRight(at: Buffer, entry: StoredEntry): boolean {
  const there = lstatSync(at, { bigint: true, throwIfNoEntry: false })
  if (there?.isFile() !== true || there.nlink > BigInt(entry.hardlink?.links ?? 1)) return false
  return there.size === BigInt(entry.size) && sameTime(there, entry)
}

const sameTime = (there: { mtimeNs: bigint }, entry: StoredEntry): boolean =>
  there.mtimeNs === entry.mtimeNs

/** Compares every chunk by its id, one in memory at a time. A hole must read as zeros only in so
 * far as its neighbours' chunks fit: what lies in it is compared too. */
export async function holdsContent(
  at: Buffer,
  entry: StoredEntry,
  refs: AsyncIterable<ChunkRef>,
  keys: RepositoryKeys,
): Promise<boolean> {
  let fd: number
  try {
    fd = openForReading(at)
  } catch {
    return false // Unreadable: it is written anew.
  }
  try {
    if (!fstatSync(fd).isFile()) return false
    for (const hole of entry.holes) {
      if (!(await isZero(fd, hole.offset, hole.length))) return false
    }
    let offset = 0
    for await (const { id, length } of refs) {
      const plaintext = Buffer.allocUnsafeSlow(length)
      for (const segment of segmentsOf(entry.holes, offset, length)) {
        const from = segment.offset - offset
        const into = plaintext.subarray(from, from + segment.length)
        if (!(await readFully(fd, into, segment.position))) return false
      }
      if (chunkId(keys, plaintext) !== id) return false
      offset += length
    }
    return true
  } finally {
    closeQuietly(fd)
  }
}

async function isZero(fd: number, position: number, length: number): Promise<boolean> {
  const into = Buffer.allocUnsafeSlow(Math.min(length, 2 ** 20))
  for (let at = 0; at < length; at += into.length) {
    const piece = into.subarray(0, Math.min(into.length, length - at))
    if (!(await readFully(fd, piece, position + at))) return false
    if (piece.some((byte) => byte !== 0)) return false
  }
  return true
}

async function readFully(fd: number, into: Uint8Array, position: number): Promise<boolean> {
  for (let filled = 0; filled < into.length; ) {
    const rest = into.subarray(filled)
    const count =
      rest.length <= SYNC_BYTES_MAX
        ? readSync(fd, rest, 0, rest.length, position + filled)
        : await readAsync(fd, rest, position + filled)
    if (count === 0) return false
    filled += count
  }
  return true
}

const readAsync = (fd: number, into: Uint8Array, position: number): Promise<number> =>
  new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, count) =>
      error ? reject(error) : resolve(count),
    )
  })
