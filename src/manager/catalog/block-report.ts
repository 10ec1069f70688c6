// src/manager/catalog/block-report.ts — what does a server's full report change?
import { sql, type Transaction } from 'kysely'
import { batches, toBytes, toHex } from './bytes.ts'
import type { BlockReport } from './catalog.ts'
import type { Tables } from './schema.ts'

const IDS_PER_STATEMENT = 1_000

/** A replica that is listed with the right size is good, one that is not listed is not. Blobs that
 * the catalog does not know are counted and left alone: they may belong to a commit under way. */
export async function applyReport(
  tx: Transaction<Tables>,
  report: BlockReport,
): Promise<{ unknown: number; missing: number }> {
  const reported = new Map(report.blobs.map((blob) => [blob.blobId, blob.sizeBytes]))
  const known = await tx
    .selectFrom('replicas as r')
    .innerJoin('blobs as b', 'b.blob_id', 'r.blob_id')
    .select(['r.blob_id', 'r.good', 'b.size_bytes', 'b.created_ms'])
    .where('r.server', '=', report.server)
    .execute()
  const bad: string[] = []
  const good: string[] = []
  for (const row of known) {
    const id = toHex(row.blob_id)
    const isHere = reported.get(id) === row.size_bytes
    reported.delete(id)
    if (isHere && row.good === 0) good.push(id)
    const isYoung = row.created_ms >= report.beforeMs
    if (!isHere && row.good === 1 && !isYoung) bad.push(id)
  }
  await mark(tx, report.server, good, 1)
  await mark(tx, report.server, bad, 0)
  const added = await adopt(tx, report.server, reported)
  return { unknown: reported.size - added, missing: bad.length }
}

async function mark(
  tx: Transaction<Tables>,
  server: number,
  ids: readonly string[],
  good: 0 | 1,
): Promise<void> {
  for (const batch of batches(ids, IDS_PER_STATEMENT)) {
    await tx
      .updateTable('replicas')
      .set({ good })
      .where('server', '=', server)
      .where('blob_id', 'in', batch.map(toBytes))
      .execute()
  }
}

/** Committed blobs of which this server has a copy that nobody had told us of: more is better. */
async function adopt(
  tx: Transaction<Tables>,
  server: number,
  reported: ReadonlyMap<string, number>,
): Promise<number> {
  let added = 0
  for (const batch of batches([...reported], IDS_PER_STATEMENT)) {
    const sizes = new Map(batch)
    const rows = await tx
      .selectFrom('blobs')
      .select(['blob_id', 'size_bytes'])
      .where(
        'blob_id',
        'in',
        batch.map(([id]) => toBytes(id)),
      )
      .execute()
    const extra = rows.filter((row) => sizes.get(toHex(row.blob_id)) === row.size_bytes)
    if (extra.length === 0) continue
    await tx
      .insertInto('replicas')
      .values(extra.map((row) => ({ blob_id: row.blob_id, server, good: 1 })))
      .onConflict((conflict) =>
        conflict.columns(['blob_id', 'server']).doUpdateSet({ good: sql`1` }),
      )
      .execute()
    added += extra.length
  }
  return added
}
