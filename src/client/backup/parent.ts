// src/client/backup/parent.ts — which snapshot is a backup compared with?
import type { Compressor, RepositoryKeys } from '../../chunk/index.ts'
import { isHoldfastError } from '../../errors.ts'
import { ChunkReader } from '../remote/chunk-reader.ts'
import type { Context } from '../remote/context.ts'
import type { ManagerLink } from '../remote/manager-link.ts'
import { StoredTree } from '../remote/stored-tree.ts'
import { TreeCache } from '../remote/tree-cache.ts'

export interface Parent {
  /** Null: the tree of an earlier pass of the same backup. */
  readonly snapshot: string | null
  readonly root: string
  /** When its backup began. */
  readonly timeMs: number
}

export interface ParentDeps {
  readonly link: ManagerLink
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
}

/** The newest snapshot of the same host and paths. */
export async function findParent(
  context: Context,
  deps: ParentDeps,
  groupId: string,
): Promise<Parent | null> {
  const { repositoryId } = deps.keys
  const { snapshots } = await deps.link.call('snapshots.list', { repositoryId })
  const newest = snapshots.findLast((snapshot) => snapshot.groupId === groupId)
  if (!newest) return null
  try {
    const record = await openParentTree(context, deps).snapshot(newest.snapshotId)
    return { snapshot: newest.snapshotId, root: record.root, timeMs: record.timeMs }
  } catch (error) {
    if (isHoldfastError(error, 'CANCELLED')) throw error
    return null // Unreadable: everything is read and compared by chunk, that is all.
  }
}

/** A bad replica of an old tree is not this backup's business: no events. */
export function openParentTree(context: Context, deps: ParentDeps): StoredTree {
  const quiet = { ...context, onEvent: () => undefined }
  return new StoredTree(new TreeCache(quiet, new ChunkReader(quiet, deps.link, deps)))
}
