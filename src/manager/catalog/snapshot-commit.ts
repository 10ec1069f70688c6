// src/manager/catalog/snapshot-commit.ts — is all that a snapshot reaches on two good disks?
//
// The walk goes over the edges from the record down. A chunk marked whole had everything below it
// complete at an earlier commit; while no blob of the catalog is thin that still holds, so the walk
// stops there and costs what has changed. With thin blobs about, it visits everything.
import { sql, type Transaction } from 'kysely'
import { batches, toBytes, toHex, unpackEdges } from './bytes.ts'
import type { SnapshotCommit, SnapshotVerdict } from './catalog.ts'
import type { Tables } from './schema.ts'
import { endSession, mustBeOpen } from './sessions.ts'

const IDS_PER_STATEMENT = 1_000

export async function commitSnapshot(
  tx: Transaction<Tables>,
  commit: SnapshotCommit,
  isNothingThin: () => Promise<boolean>,
): Promise<SnapshotVerdict> {
  const repositoryId = toBytes(commit.repositoryId)
  const snapshotId = toBytes(commit.snapshotId)
  const earlier = await tx
    .selectFrom('snapshots')
    .select('committed_ms')
    .where('repository_id', '=', repositoryId)
    .where('snapshot_id', '=', snapshotId)
    .executeTakeFirst()
  if (earlier) return { state: 'committed', timeMs: earlier.committed_ms, visited: 0 }
  await mustBeOpen(tx, commit.sessionId)
  const record = await tx
    .selectFrom('records')
    .select('chunk_id')
    .where('repository_id', '=', repositoryId)
    .where('chunk_id', '=', snapshotId)
    .executeTakeFirst()
  if (!record) return { state: 'not-a-record' }
  const reach = await walk(tx, commit, await isNothingThin())
  if (reach.unknown !== null) return { state: 'unknown-edge', chunkId: reach.unknown }
  if (reach.thin > 0) return { state: 'under-replicated', count: reach.thin }
  for (const batch of batches(reach.fresh, IDS_PER_STATEMENT)) {
    await tx
      .updateTable('chunks')
      .set({ whole: 1 })
      .where('repository_id', '=', repositoryId)
      .where('chunk_id', 'in', batch.map(toBytes))
      .execute()
  }
  await tx
    .insertInto('snapshots')
    .values({ repository_id: repositoryId, snapshot_id: snapshotId, committed_ms: commit.nowMs })
    .execute()
  // From here on the snapshot holds what the session pinned.
  await endSession(tx, commit.sessionId)
  return { state: 'committed', timeMs: commit.nowMs, visited: reach.visited }
}

interface Reach {
  readonly unknown: string | null
  readonly thin: number
  readonly visited: number
  /** Visited and not marked whole yet. */
  readonly fresh: string[]
}

async function walk(
  tx: Transaction<Tables>,
  commit: SnapshotCommit,
  stopsAtWhole: boolean,
): Promise<Reach> {
  const seen = new Set<string>([commit.snapshotId])
  const fresh: string[] = []
  let frontier = [commit.snapshotId]
  let thin = 0
  while (frontier.length > 0) {
    const next: string[] = []
    for (const batch of batches(frontier, IDS_PER_STATEMENT)) {
      const rows = await readChunks(tx, commit, batch)
      for (const id of batch) {
        const row = rows.get(id)
        if (!row) return { unknown: id, thin, visited: seen.size, fresh }
        if (row.copies < commit.wanted) thin += 1
        if (!row.whole) fresh.push(id)
        if (row.whole && stopsAtWhole) continue
        for (const edge of row.edges) {
          if (seen.has(edge)) continue
          seen.add(edge)
          next.push(edge)
        }
      }
    }
    frontier = next
  }
  return { unknown: null, thin, visited: seen.size, fresh }
}

async function readChunks(
  tx: Transaction<Tables>,
  commit: SnapshotCommit,
  ids: readonly string[],
): Promise<Map<string, { whole: boolean; edges: string[]; copies: number }>> {
  const live = commit.live.length > 0 ? sql.join([...commit.live]) : sql`-1`
  const rows = await tx
    .selectFrom('chunks as c')
    .select([
      'c.chunk_id',
      'c.whole',
      'c.edges',
      sql<number>`(select count(*) from replicas r where r.blob_id = c.blob_id and r.good = 1
        and r.server in (${live}))`.as('copies'),
    ])
    .where('c.repository_id', '=', toBytes(commit.repositoryId))
    .where('c.chunk_id', 'in', ids.map(toBytes))
    .execute()
  return new Map(
    rows.map((row) => [
      toHex(row.chunk_id),
      { whole: row.whole === 1, edges: unpackEdges(row.edges), copies: Number(row.copies) },
    ]),
  )
}
