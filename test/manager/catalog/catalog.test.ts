// test/manager/catalog/catalog.test.ts — do both hosts of the catalog keep its promises?
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openCatalog, openCatalogHere } from '../../../src/manager/catalog/open.ts'
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
