// src/manager/catalog/counts.ts — how many blobs are there, and how many are thin or lost?
import { type Kysely, sql } from 'kysely'
import type { CatalogCounts, Quorum } from './catalog.ts'
import { thinBlobs } from './replication.ts'
import type { Tables } from './schema.ts'

/** Over committed blobs to which a current chunk points: what a snapshot may lean on. */
export async function countBlobs(db: Kysely<Tables>, quorum: Quorum): Promise<CatalogCounts> {
  const total = await db
    .selectFrom('blobs as b')
    .select(sql<number>`count(*)`.as('count'))
    .where(sql<boolean>`exists (select 1 from chunks c where c.blob_id = b.blob_id)`)
    .executeTakeFirst()
  const thin = await db
    .selectFrom(thinBlobs(db, quorum).as('t'))
    .select([
      sql<number>`count(*)`.as('count'),
      sql<number>`coalesce(sum(case when t.copies = 0 then 1 else 0 end), 0)`.as('lost'),
    ])
    .executeTakeFirst()
  const snapshots = await db
    .selectFrom('snapshots')
    .select(sql<number>`count(*)`.as('count'))
    .executeTakeFirst()
  return {
    total: Number(total?.count ?? 0),
    underReplicated: Number(thin?.count ?? 0),
    lost: Number(thin?.lost ?? 0),
    snapshots: Number(snapshots?.count ?? 0),
  }
}
