// src/manager/catalog/worker.ts — what runs in the catalog's thread? Only a host: the code is the same.
import { parentPort, workerData } from 'node:worker_threads'
import { isHoldfastError } from '../../errors.ts'
import { KyselyCatalog } from './kysely-catalog.ts'
import type { CatalogAnswer, CatalogCall } from './open.ts'
import { openSqlite } from './sqlite.ts'

const port = parentPort
if (!port) throw new Error('this file runs in a worker thread')
const { path } = workerData as { path: string }
const catalog = new KyselyCatalog(openSqlite(path))

port.on('message', async (call: CatalogCall) => {
  const answer = (message: CatalogAnswer): void => port.postMessage(message)
  try {
    const method = catalog[call.method] as (...args: readonly unknown[]) => Promise<unknown>
    answer({ id: call.id, value: await method.apply(catalog, [...call.args]) })
  } catch (error) {
    const code = isHoldfastError(error) ? error.code : null
    const message = isHoldfastError(error) ? error.detail : String(error)
    answer({ id: call.id, error: { message, code } })
  }
})
