// test/manager/catalog/catalog.test.ts — do both hosts of the catalog keep its promises?
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sql } from 'kysely'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openCatalog, openCatalogHere } from '../../../src/manager/catalog/open.ts'
import { openSqlite } from '../../../src/manager/catalog/sqlite.ts'
import { conformance } from './conformance.ts'

for (const [name, open] of [
  ['in this thread', openCatalogHere],
  ['in a thread of its own', openCatalog],
] as const) {
  conformance(name, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-catalog-'))
    const path = join(folder, 'catalog.sqlite')
    let catalog = open(path)
    return {
      catalog,
      reopen: async () => {
        catalog = open(path)
        return catalog
      },
      pins: () => {
        const db = new DatabaseSync(path, { readOnly: true })
        const rows = db
          .prepare('select lower(hex(session_id)) session, lower(hex(chunk_id)) chunk from pins')
          .all()
        db.close()
        return rows.map(({ session, chunk }) => ({
          session: String(session),
          chunk: String(chunk),
        }))
      },
      end: async () => {
        await catalog.close()
        await rm(folder, { recursive: true, force: true })
      },
    }
  })
}

const test = suite('catalog: on the disk')

test('a commit is synced before it is answered, or a power cut would take back a "stored"', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-catalog-'))
  const db = openSqlite(join(folder, 'catalog.sqlite'))
  const { rows: mode } = await sql<{ journal_mode: string }>`pragma journal_mode`.execute(db)
  const { rows: level } = await sql<{ synchronous: number }>`pragma synchronous`.execute(db)
  await db.destroy()
  await rm(folder, { recursive: true, force: true })
  assert.equal([mode[0]?.journal_mode, level[0]?.synchronous], ['wal', 2])
})

test.run()
