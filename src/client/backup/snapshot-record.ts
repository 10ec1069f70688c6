// src/client/backup/snapshot-record.ts — what does a snapshot say about itself, sealed and in plain?
import { chunkId, encodeSnapshot, groupId, type RepositoryKeys, tagId } from '../../chunk/index.ts'
import type { NewChunk } from './chunk-sink.ts'
import type { Counts } from './counts.ts'

/** What stays the same however many passes a backup takes. */
export interface SnapshotOrigin {
  readonly clientName: string
  readonly host: string
  /** Absolute, in byte order, as asked for. */
  readonly paths: readonly Buffer[]
  readonly tags: readonly string[]
  readonly excludes: readonly string[]
  /** When the backup began. */
  readonly timeMs: number
  readonly parent: string | null
}

/** Backups of the same host and paths are compared with each other. */
export const groupOf = (
  keys: RepositoryKeys,
  { host, paths }: Pick<SnapshotOrigin, 'host' | 'paths'>,
): string => groupId(keys, host, paths)

export function snapshotChunk(
  keys: RepositoryKeys,
  origin: SnapshotOrigin,
  { root, counts }: { root: string; counts: Counts },
): NewChunk {
  const { clientName, timeMs, tags } = origin
  const { files, folders, others, sizes } = counts
  const plaintext = encodeSnapshot({
    version: 1,
    root,
    ...origin,
    statistics: { files, folders, others, bytes: sizes },
  })
  return {
    id: chunkId(keys, plaintext, 'snapshot'),
    kind: 'snapshot',
    plaintext,
    edges: [root],
    snapshot: {
      clientName,
      timeMs,
      groupId: groupOf(keys, origin),
      tagIds: tags.map((tag) => tagId(keys, tag)),
    },
  }
}
