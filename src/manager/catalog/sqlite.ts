// src/manager/catalog/sqlite.ts — how does Kysely speak to node:sqlite?
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { Kysely } from 'kysely'
import { GenericSqliteDialect, type IGenericSqlite } from 'kysely-generic-sqlite'
import type { Tables } from './schema.ts'

const STATEMENTS_KEPT = 256
const BUSY_MS = 5_000

/** WAL with synchronous=FULL: a commit is on the disk when it returns. `:memory:` for tests. */
export function openSqlite(path: string): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new GenericSqliteDialect(() => executor(path)) })
}

function executor(path: string): IGenericSqlite<DatabaseSync> {
  const db = new DatabaseSync(path, { timeout: BUSY_MS })
  db.exec('pragma journal_mode = wal; pragma synchronous = full; pragma temp_store = memory')
  db.exec('pragma cache_size = -65536')
  const prepare = statementCache(db)
  return {
    db,
    query: (_isSelect, query, parameters) => {
      const statement = prepare(query)
      const values = (parameters ?? []) as SQLInputValue[]
      if (statement.columns().length > 0) return { rows: statement.all(...values) as never[] }
      const { changes } = statement.run(...values)
      return { rows: [], numAffectedRows: BigInt(changes) }
    },
    close: () => db.close(),
  }
}

/** Preparing costs more than running a small statement: the last ones used are kept. */
function statementCache(db: DatabaseSync): (query: string) => StatementSync {
  const kept = new Map<string, StatementSync>()
  return (query) => {
    const known = kept.get(query)
    if (known) {
      kept.delete(query)
      kept.set(query, known)
      return known
    }
    const statement = db.prepare(query)
    kept.set(query, statement)
    if (kept.size > STATEMENTS_KEPT) kept.delete(kept.keys().next().value as string)
    return statement
  }
}
