// src/manager/catalog/replication.ts — which chunks rest on enough good disks right now?
import { type Kysely, sql, type Transaction } from 'kysely'
import { batches, toBytes, toHex } from './bytes.ts'
import type { Quorum } from './catalog.ts'
import type { Tables } from './schema.ts'

type Reader = Kysely<Tables> | Transaction<Tables>

const IDS_PER_STATEMENT = 1_000

/** Those of `chunkIds` whose current blob has `wanted` good replicas on live servers. */
export async function wellReplicated(
  db: Reader,
  query: Quorum & { repositoryId: string; chunkIds: readonly string[] },
): Promise<Set<string>> {
  const well = new Set<string>()
  if (query.live.length === 0) return well
  for (const batch of batches(query.chunkIds, IDS_PER_STATEMENT)) {
    const rows = await db
      .selectFrom('chunks as c')
      .innerJoin('replicas as r', 'r.blob_id', 'c.blob_id')
      .select('c.chunk_id')
      .where('c.repository_id', '=', toBytes(query.repositoryId))
      .where('c.chunk_id', 'in', batch.map(toBytes))
      .where('r.good', '=', 1)
      .where('r.server', 'in', [...query.live])
      .groupBy('c.chunk_id')
      .having(sql`count(*)`, '>=', query.wanted)
      .execute()
    for (const row of rows) well.add(toHex(row.chunk_id))
  }
  return well
}

/** Blobs that a current chunk points to and that have fewer good live replicas than wanted. */
export function thinBlobs(db: Reader, { live, wanted }: Quorum) {
  const servers = live.length > 0 ? sql.join([...live]) : sql`-1`
  return db
    .selectFrom('blobs as b')
    .select([
      'b.blob_id',
      sql<number>`(select count(*) from replicas r where r.blob_id = b.blob_id and r.good = 1
        and r.server in (${servers}))`.as('copies'),
    ])
    .where(sql<boolean>`exists (select 1 from chunks c where c.blob_id = b.blob_id)`)
    .where(
      sql<boolean>`(select count(*) from replicas r where r.blob_id = b.blob_id and r.good = 1
        and r.server in (${servers})) < ${wanted}`,
    )
}
