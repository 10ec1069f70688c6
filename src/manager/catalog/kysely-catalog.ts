// src/manager/catalog/kysely-catalog.ts — how does the catalog keep its promises in SQL?
import { type Kysely, sql } from 'kysely'
import type { SnapshotFields } from '../../messages.ts'
import { commitBlob } from './blob-commit.ts'
import { applyReport } from './block-report.ts'
import { batches, toBytes, toHex } from './bytes.ts'
import type {
  BlobCommit,
  BlockReport,
  Catalog,
  CatalogCounts,
  CatalogMeta,
  MemberRow,
  PinQuery,
  Place,
  ServerRow,
  SessionRow,
  SnapshotCommit,
  SnapshotVerdict,
  TokenUse,
} from './catalog.ts'
import { countBlobs } from './counts.ts'
import { member, members, putMember, revokeMembers, useToken } from './members.ts'
import { wellReplicated } from './replication.ts'
import { migrate, type Tables } from './schema.ts'
import { endSession, mustBeOpen } from './sessions.ts'
import { commitSnapshot } from './snapshot-commit.ts'
import { ThinScan } from './thin-scan.ts'
import { WriteQueue } from './write-queue.ts'

const IDS_PER_STATEMENT = 1_000

export class KyselyCatalog implements Catalog {
  readonly #db: Kysely<Tables>
  readonly #writes: WriteQueue
  readonly #thinScan = new ThinScan()

  constructor(db: Kysely<Tables>) {
    this.#db = db
    this.#writes = new WriteQueue(db)
  }

  async open(clusterId: string): Promise<CatalogMeta> {
    await migrate(this.#db)
    return await this.#db.transaction().execute(async (tx) => {
      const rows = await tx.selectFrom('meta').selectAll().execute()
      const had = new Map(rows.map((row) => [row.name, row.value]))
      const epoch = Number(had.get('epoch') ?? 0) + 1
      const values = {
        cluster_id: had.get('cluster_id') ?? clusterId,
        epoch: String(epoch),
        operation: had.get('operation') ?? '0',
      }
      for (const [name, value] of Object.entries(values)) {
        await tx
          .insertInto('meta')
          .values({ name, value })
          .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
          .execute()
      }
      const blob = await tx.selectFrom('blobs').select('blob_id').limit(1).executeTakeFirst()
      const operation = Number(values.operation)
      return { clusterId: values.cluster_id, epoch, operation, isEmpty: blob === undefined }
    })
  }

  async operation(): Promise<number> {
    const row = await this.#db
      .selectFrom('meta')
      .select('value')
      .where('name', '=', 'operation')
      .executeTakeFirst()
    return Number(row?.value ?? 0)
  }

  async repositories(): Promise<{ repositoryId: string; checkValue: string }[]> {
    const rows = await this.#db
      .selectFrom('repositories')
      .selectAll()
      .orderBy('created_ms')
      .execute()
    return rows.map((row) => ({
      repositoryId: toHex(row.repository_id),
      checkValue: toHex(row.check_value),
    }))
  }

  async addRepository(row: { repositoryId: string; checkValue: string; nowMs: number }) {
    const values = {
      repository_id: toBytes(row.repositoryId),
      check_value: toBytes(row.checkValue),
      created_ms: row.nowMs,
    }
    await this.#writes.run((tx) =>
      tx
        .insertInto('repositories')
        .values(values)
        .onConflict((conflict) => conflict.doNothing())
        .execute(),
    )
  }

  async servers(): Promise<ServerRow[]> {
    const rows = await this.#db.selectFrom('servers').selectAll().orderBy('number').execute()
    return rows.map((row) => ({
      number: row.number,
      name: row.name,
      host: row.host,
      port: row.port,
      publicKey: toHex(row.public_key),
      lastSeenMs: row.last_seen_ms,
    }))
  }

  async putServer(row: ServerRow): Promise<void> {
    const values = {
      number: row.number,
      name: row.name,
      host: row.host,
      port: row.port,
      public_key: toBytes(row.publicKey),
      last_seen_ms: row.lastSeenMs,
    }
    const { number: _, ...changes } = values
    await this.#writes.run((tx) =>
      tx
        .insertInto('servers')
        .values(values)
        .onConflict((conflict) => conflict.column('number').doUpdateSet(changes))
        .execute(),
    )
  }

  members(): Promise<MemberRow[]> {
    return members(this.#db)
  }

  member(publicKey: string): Promise<MemberRow | null> {
    return member(this.#db, publicKey)
  }

  putMember(row: Omit<MemberRow, 'revokedMs'>): Promise<boolean> {
    return this.#writes.run((tx) => putMember(tx, row))
  }

  async revokeMembers(revocation: { publicKeys: readonly string[]; nowMs: number }) {
    await this.#writes.run((tx) => revokeMembers(tx, revocation))
  }

  useToken(use: TokenUse): Promise<boolean> {
    return this.#writes.run((tx) => useToken(tx, use))
  }

  async addSession(row: SessionRow): Promise<void> {
    const values = {
      session_id: toBytes(row.sessionId),
      repository_id: toBytes(row.repositoryId),
      client_name: row.clientName,
      public_key: toBytes(row.publicKey),
      touched_ms: row.touchedMs,
    }
    await this.#writes.run((tx) => tx.insertInto('sessions').values(values).execute())
  }

  async session(sessionId: string): Promise<SessionRow | null> {
    const row = await this.#db
      .selectFrom('sessions')
      .selectAll()
      .where('session_id', '=', toBytes(sessionId))
      .executeTakeFirst()
    if (!row) return null
    return {
      sessionId,
      repositoryId: toHex(row.repository_id),
      clientName: row.client_name,
      publicKey: toHex(row.public_key),
      touchedMs: row.touched_ms,
    }
  }

  async touchSessions(sessionIds: readonly string[], nowMs: number): Promise<void> {
    if (sessionIds.length === 0) return
    await this.#writes.run((tx) =>
      tx
        .updateTable('sessions')
        .set({ touched_ms: nowMs })
        .where('session_id', 'in', sessionIds.map(toBytes))
        .execute(),
    )
  }

  async endSession(sessionId: string): Promise<void> {
    await this.#writes.run((tx) => endSession(tx, sessionId))
  }

  async lapseSessions(touchedBeforeMs: number): Promise<string[]> {
    const rows = await this.#db
      .selectFrom('sessions')
      .select('session_id')
      .where('touched_ms', '<', touchedBeforeMs)
      .execute()
    const ids = rows.map((row) => toHex(row.session_id))
    for (const id of ids) await this.endSession(id)
    return ids
  }

  async sessionCount(): Promise<number> {
    const row = await this.#db
      .selectFrom('sessions')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirst()
    return Number(row?.count ?? 0)
  }

  async pinPresent(query: PinQuery): Promise<boolean[]> {
    const sessionId = toBytes(query.sessionId)
    return await this.#writes.run(async (tx) => {
      await mustBeOpen(tx, query.sessionId)
      const present = await wellReplicated(tx, query)
      for (const batch of batches([...present], IDS_PER_STATEMENT)) {
        const rows = batch.map((id) => ({ session_id: sessionId, chunk_id: toBytes(id) }))
        await tx
          .insertInto('pins')
          .values(rows)
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      }
      return query.chunkIds.map((id) => present.has(id))
    })
  }

  commitBlob(commit: BlobCommit): Promise<void> {
    return this.#writes.run((tx) => {
      const { live, servers, wanted } = commit
      if (servers.filter((server) => live.includes(server)).length < wanted) this.#thinScan.doubt()
      return commitBlob(tx, commit)
    })
  }

  async blob(blobId: string): Promise<{ sizeBytes: number; servers: number[] } | null> {
    const id = toBytes(blobId)
    const blob = await this.#db
      .selectFrom('blobs')
      .select('size_bytes')
      .where('blob_id', '=', id)
      .executeTakeFirst()
    if (!blob) return null
    const rows = await this.#db
      .selectFrom('replicas')
      .select('server')
      .where('blob_id', '=', id)
      .where('good', '=', 1)
      .orderBy('server')
      .execute()
    return { sizeBytes: blob.size_bytes, servers: rows.map((row) => row.server) }
  }

  async locate(repositoryId: string, chunkIds: readonly string[]): Promise<(Place | null)[]> {
    const places = new Map<string, Place>()
    for (const batch of batches(chunkIds, IDS_PER_STATEMENT)) {
      const rows = await this.#db
        .selectFrom('chunks as c')
        .leftJoin('replicas as r', (join) =>
          join.onRef('r.blob_id', '=', 'c.blob_id').on('r.good', '=', 1),
        )
        .select(['c.chunk_id', 'c.blob_id', 'c.offset_bytes', 'c.length_bytes', 'r.server'])
        .where('c.repository_id', '=', toBytes(repositoryId))
        .where('c.chunk_id', 'in', batch.map(toBytes))
        .execute()
      for (const row of rows) {
        const id = toHex(row.chunk_id)
        const place = places.get(id) ?? {
          blobId: toHex(row.blob_id),
          offset: row.offset_bytes,
          length: row.length_bytes,
          servers: [],
        }
        if (row.server !== null) place.servers.push(row.server)
        places.set(id, place)
      }
    }
    return chunkIds.map((id) => places.get(id) ?? null)
  }

  async commitSnapshot(commit: SnapshotCommit): Promise<SnapshotVerdict> {
    let confirm = (): void => undefined
    const verdict = await this.#writes.run((tx) =>
      commitSnapshot(tx, commit, async () => {
        const found = await this.#thinScan.look(tx, commit)
        confirm = found.confirm
        return found.isWhole
      }),
    )
    confirm()
    return verdict
  }

  async snapshots(repositoryId: string): Promise<(SnapshotFields & { snapshotId: string })[]> {
    const rows = await this.#db
      .selectFrom('snapshots as s')
      .innerJoin('records as r', (join) =>
        join
          .onRef('r.repository_id', '=', 's.repository_id')
          .onRef('r.chunk_id', '=', 's.snapshot_id'),
      )
      .select(['s.snapshot_id', 'r.fields'])
      .where('s.repository_id', '=', toBytes(repositoryId))
      .orderBy('s.sequence')
      .execute()
    return rows.map((row) => ({
      ...(JSON.parse(row.fields) as SnapshotFields),
      snapshotId: toHex(row.snapshot_id),
    }))
  }

  applyReport(report: BlockReport): Promise<{ unknown: number; missing: number }> {
    return this.#writes.run(async (tx) => {
      const result = await applyReport(tx, report)
      if (result.missing > 0) this.#thinScan.doubt()
      return result
    })
  }

  counts(live: readonly number[], wanted: number): Promise<CatalogCounts> {
    return countBlobs(this.#db, { live, wanted })
  }

  async replicaCounts(): Promise<Map<number, { blobs: number; bytes: number }>> {
    const rows = await this.#db
      .selectFrom('replicas as r')
      .innerJoin('blobs as b', 'b.blob_id', 'r.blob_id')
      .select(['r.server', sql<number>`count(*)`.as('count')])
      .select(sql<number>`sum(b.size_bytes)`.as('bytes'))
      .where('r.good', '=', 1)
      .groupBy('r.server')
      .execute()
    return new Map(
      rows.map((row) => [row.server, { blobs: Number(row.count), bytes: Number(row.bytes) }]),
    )
  }

  async close(): Promise<void> {
    await this.#writes.idle()
    await this.#db.destroy()
  }
}
