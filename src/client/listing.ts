// src/client/listing.ts — which snapshots are there, and what is in one?
import type { Compressor, RepositoryKeys } from '../chunk/index.ts'
import { isHoldfastError } from '../errors.ts'
import { joinPath, ROOT } from './path.ts'
import { ChunkReader } from './remote/chunk-reader.ts'
import type { Context } from './remote/context.ts'
import type { ManagerLink } from './remote/manager-link.ts'
import { findSnapshot } from './remote/snapshots.ts'
import { type StoredEntry, StoredTree } from './remote/stored-tree.ts'
import { TreeCache } from './remote/tree-cache.ts'

export interface ListingDeps {
  readonly link: ManagerLink
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
}

export interface SnapshotInfo {
  readonly snapshot: string
  readonly timeMs: number
  readonly clientName: string
  /** Empty, as are paths and tags, when the record can't be read: see `problem`. */
  readonly host: string
  readonly paths: Buffer[]
  readonly tags: string[]
  readonly files: number
  readonly bytes: number
  readonly parent: string | null
  readonly problem: string | null
}

export interface ListedFile {
  readonly path: Buffer
  readonly type: StoredEntry['type']
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly user: Buffer
  readonly group: Buffer
  readonly mtimeNs: bigint
  readonly size: number
  readonly target: Buffer | null
}

/** Newest last. A record that no server can give is listed with what the manager knows of it. */
export async function listSnapshots(context: Context, deps: ListingDeps): Promise<SnapshotInfo[]> {
  const { repositoryId } = deps.keys
  const { snapshots } = await deps.link.call('snapshots.list', { repositoryId })
  const tree = openTree(context, deps)
  tree.prefetch(snapshots.map(({ snapshotId }) => snapshotId))
  const list: SnapshotInfo[] = []
  for (const { snapshotId, timeMs, clientName } of snapshots) {
    const known = { snapshot: snapshotId, timeMs, clientName }
    try {
      const record = await tree.snapshot(snapshotId)
      const { host, tags, statistics, parent } = record
      const paths = record.paths.map((path) => Buffer.from(path))
      const { files, bytes } = statistics
      list.push({ ...known, host, paths, tags: [...tags], files, bytes, parent, problem: null })
    } catch (error) {
      if (!isHoldfastError(error) || error.code === 'CANCELLED') throw error
      const nothing = { host: '', paths: [], tags: [], files: 0, bytes: 0, parent: null }
      list.push({ ...known, ...nothing, problem: error.detail })
    }
  }
  return list
}

/** Streams; holds the folders on the current path and a bounded cache. */
export async function* listFiles(
  context: Context,
  deps: ListingDeps,
  snapshot: string,
): AsyncGenerator<ListedFile> {
  const id = await findSnapshot(deps.link, deps.keys.repositoryId, snapshot)
  const tree = openTree(context, deps)
  const record = await tree.snapshot(id)
  tree.readAhead(record.root)
  yield* listFolder(tree, record.root, ROOT)
}

async function* listFolder(
  tree: StoredTree,
  node: string,
  folder: Buffer,
): AsyncGenerator<ListedFile> {
  for await (const entry of tree.entries(node)) {
    const { type, mode, uid, gid, user, group, mtimeNs, size, target } = entry
    const path = joinPath(folder, entry.name)
    yield { path, type, mode, uid, gid, user, group, mtimeNs, size, target }
    if (type === 'dir') yield* listFolder(tree, entry.subtree!, path)
  }
}

const openTree = (context: Context, deps: ListingDeps): StoredTree =>
  new StoredTree(new TreeCache(context, new ChunkReader(context, deps.link, deps)))
