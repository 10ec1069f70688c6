// src/manager/catalog/blob-commit.ts — how does a blob on two disks become part of the catalog?
import type { Transaction } from 'kysely'
import { batches, packEdges, toBytes } from './bytes.ts'
import type { BlobCommit } from './catalog.ts'
import { wellReplicated } from './replication.ts'
import type { Tables } from './schema.ts'

const ROWS_PER_STATEMENT = 500

export async function commitBlob(tx: Transaction<Tables>, commit: BlobCommit): Promise<void> {
  const blobId = toBytes(commit.blobId)
  const repositoryId = toBytes(commit.repositoryId)
  // Asked before the new replicas count: a chunk that rests well elsewhere stays there.
  const elsewhere = await wellReplicated(tx, {
    ...commit,
    chunkIds: commit.chunks.map((chunk) => chunk.id),
  })
  await tx
    .insertInto('blobs')
    .values({
      blob_id: blobId,
      repository_id: repositoryId,
      size_bytes: commit.sizeBytes,
      created_ms: commit.nowMs,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  for (const server of commit.servers) {
    await tx
      .insertInto('replicas')
      .values({ blob_id: blobId, server, good: 1 })
      .onConflict((conflict) => conflict.columns(['blob_id', 'server']).doUpdateSet({ good: 1 }))
      .execute()
  }
  const moved = commit.chunks.filter((chunk) => !elsewhere.has(chunk.id))
  for (const batch of batches(moved, ROWS_PER_STATEMENT)) {
    await tx
      .insertInto('chunks')
      .values(
        batch.map((chunk) => ({
          repository_id: repositoryId,
          chunk_id: toBytes(chunk.id),
          blob_id: blobId,
          offset_bytes: chunk.offset,
          length_bytes: chunk.length,
          kind: chunk.kind,
          whole: 0,
          edges: packEdges(chunk.edges),
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['repository_id', 'chunk_id']).doUpdateSet((eb) => ({
          blob_id: eb.ref('excluded.blob_id'),
          offset_bytes: eb.ref('excluded.offset_bytes'),
          length_bytes: eb.ref('excluded.length_bytes'),
        })),
      )
      .execute()
  }
  for (const chunk of commit.chunks) {
    if (!chunk.snapshot) continue
    const fields = JSON.stringify(chunk.snapshot)
    await tx
      .insertInto('records')
      .values({ repository_id: repositoryId, chunk_id: toBytes(chunk.id), fields })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }
}
