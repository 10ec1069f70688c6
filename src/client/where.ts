// src/client/where.ts — on which servers does a snapshot rest?
import type { Compressor, RepositoryKeys } from '../chunk/index.ts'
import { LIMITS } from '../messages.ts'
import { ChunkReader } from './remote/chunk-reader.ts'
import type { Context } from './remote/context.ts'
import type { ManagerLink } from './remote/manager-link.ts'
import { StoredTree } from './remote/stored-tree.ts'
import { TreeCache } from './remote/tree-cache.ts'

/** What a look at the first chunks of a snapshot tells; enough for a list, no proof. */
export interface Whereabouts {
  /** Numbers of the servers that hold some of it, ascending. */
  readonly servers: number[]
  /** The fewest replicas of any chunk that was looked at. */
  readonly replicasMin: number
  /** False: there are more chunks than were looked at. */
  readonly isComplete: boolean
}

/** Looks at one request's worth of chunks, folders first. */
export async function whereIs(
  context: Context,
  deps: { link: ManagerLink; keys: RepositoryKeys; compressor: Compressor },
  snapshotId: string,
): Promise<Whereabouts> {
  const { link, keys } = deps
  const tree = new StoredTree(new TreeCache(context, new ChunkReader(context, link, deps)))
  const { root } = await tree.snapshot(snapshotId)
  const ids = new Set([snapshotId, root])
  let isComplete = true
  const folders = [root]
  for (let folder = folders.shift(); folder !== undefined && isComplete; folder = folders.shift()) {
    for await (const entry of tree.entries(folder)) {
      if (entry.subtree) {
        ids.add(entry.subtree)
        folders.push(entry.subtree)
      }
      for await (const id of tree.contentIds(entry)) {
        if (ids.size < LIMITS.chunksPerQuery) ids.add(id)
      }
      if (ids.size < LIMITS.chunksPerQuery) continue
      isComplete = false
      break
    }
  }
  const chunkIds = [...ids].slice(0, LIMITS.chunksPerQuery)
  const { repositoryId } = keys
  const { places } = await link.call('chunks.locate', { repositoryId, chunkIds })
  const servers = new Set(places.flatMap((place) => place?.servers ?? []))
  const replicasMin = Math.min(...places.map((place) => place?.servers.length ?? 0))
  return { servers: [...servers].sort((a, b) => a - b), replicasMin, isComplete }
}
