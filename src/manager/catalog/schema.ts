// src/manager/catalog/schema.ts — which tables does the catalog have, and how did they come about?
import { type Generated, type Kysely, sql } from 'kysely'

/** Ids are 16 or 32 raw bytes; times are milliseconds since 1970 UTC. */
export interface Tables {
  meta: { name: string; value: string }
  repositories: { repository_id: Uint8Array; check_value: Uint8Array; created_ms: number }
  servers: {
    number: number
    name: string
    host: string
    port: number
    public_key: Uint8Array
    last_seen_ms: number
  }
  blobs: { blob_id: Uint8Array; repository_id: Uint8Array; size_bytes: number; created_ms: number }
  /** good 0: reported missing or damaged; kept, so that its return is noticed. */
  replicas: { blob_id: Uint8Array; server: number; good: number }
  /** blob_id is where the chunk rests now. whole 1: all that it reaches was complete at a commit. */
  chunks: {
    repository_id: Uint8Array
    chunk_id: Uint8Array
    blob_id: Uint8Array
    offset_bytes: number
    length_bytes: number
    kind: string
    whole: number
    edges: Uint8Array
  }
  /** The plain fields of snapshot records, from the blobs; JSON. */
  records: { repository_id: Uint8Array; chunk_id: Uint8Array; fields: string }
  snapshots: {
    sequence: Generated<number>
    repository_id: Uint8Array
    snapshot_id: Uint8Array
    committed_ms: number
  }
  sessions: {
    session_id: Uint8Array
    repository_id: Uint8Array
    client_name: string
    public_key: Uint8Array
    touched_ms: number
  }
  /** roles: names with commas between them. */
  members: {
    public_key: Uint8Array
    name: string
    number: number
    roles: string
    not_after_ms: number
    revoked_ms: number | null
  }
  used_tokens: { token_id: Uint8Array; public_key: Uint8Array; not_after_ms: number }
  pins: { session_id: Uint8Array; chunk_id: Uint8Array }
}

/** Each step runs once, in order, in a transaction; a catalog of a newer version is refused. */
const MIGRATIONS: readonly ((db: Kysely<Tables>) => Promise<void>)[] = [createTables, createMembers]

export const CATALOG_VERSION = MIGRATIONS.length

/** Brings the catalog to this program's version. Returns the version it had. */
export async function migrate(db: Kysely<Tables>): Promise<number> {
  await db.schema
    .createTable('meta')
    .ifNotExists()
    .addColumn('name', 'text', (column) => column.primaryKey())
    .addColumn('value', 'text', (column) => column.notNull())
    .execute()
  const row = await db
    .selectFrom('meta')
    .select('value')
    .where('name', '=', 'version')
    .executeTakeFirst()
  const had = Number(row?.value ?? 0)
  for (let version = had; version < CATALOG_VERSION; version += 1) {
    await db.transaction().execute(async (tx) => {
      await MIGRATIONS[version]?.(tx as unknown as Kysely<Tables>)
      await tx
        .insertInto('meta')
        .values({ name: 'version', value: String(version + 1) })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet({ value: String(version + 1) }),
        )
        .execute()
    })
  }
  return had
}

async function createTables(db: Kysely<Tables>): Promise<void> {
  const statements = [
    sql`create table repositories (repository_id blob primary key, check_value blob not null,
      created_ms real not null)`,
    sql`create table servers (number integer primary key, name text not null, host text not null,
      port integer not null, public_key blob not null, last_seen_ms real not null)`,
    sql`create table blobs (blob_id blob primary key, repository_id blob not null,
      size_bytes integer not null, created_ms real not null)`,
    sql`create table replicas (blob_id blob not null, server integer not null,
      good integer not null, primary key (blob_id, server))`,
    sql`create index replicas_by_server on replicas (server, good)`,
    sql`create table chunks (repository_id blob not null, chunk_id blob not null,
      blob_id blob not null, offset_bytes integer not null, length_bytes integer not null,
      kind text not null, whole integer not null, edges blob not null,
      primary key (repository_id, chunk_id))`,
    sql`create index chunks_by_blob on chunks (blob_id)`,
    sql`create table records (repository_id blob not null, chunk_id blob not null,
      fields text not null, primary key (repository_id, chunk_id))`,
    sql`create table snapshots (sequence integer primary key, repository_id blob not null,
      snapshot_id blob not null, committed_ms real not null, unique (repository_id, snapshot_id))`,
    sql`create table sessions (session_id blob primary key, repository_id blob not null,
      client_name text not null, public_key blob not null, touched_ms real not null)`,
    sql`create table pins (session_id blob not null, chunk_id blob not null,
      primary key (session_id, chunk_id))`,
  ]
  for (const statement of statements) await statement.execute(db)
}

async function createMembers(db: Kysely<Tables>): Promise<void> {
  await sql`create table members (public_key blob primary key, name text not null,
    number integer not null, roles text not null, not_after_ms real not null,
    revoked_ms real)`.execute(db)
  await sql`create table used_tokens (token_id blob primary key, public_key blob not null,
    not_after_ms real not null)`.execute(db)
}
