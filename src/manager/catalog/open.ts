// src/manager/catalog/open.ts — where does the catalog run: here, or in a thread of its own?
import { Worker } from 'node:worker_threads'
import { type ErrorCode, HoldfastError } from '../../errors.ts'
import type { Catalog } from './catalog.ts'
import { KyselyCatalog } from './kysely-catalog.ts'
import { openSqlite } from './sqlite.ts'

export interface CatalogCall {
  readonly id: number
  readonly method: keyof Catalog
  readonly args: readonly unknown[]
}

export type CatalogAnswer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { message: string; code: ErrorCode | null } }

/** In the calling thread: for tests and the simulator. `:memory:` keeps it off the disk. */
export const openCatalogHere = (path: string): Catalog => new KyselyCatalog(openSqlite(path))

/** The same code in a worker thread, so that a long query never delays a heartbeat. */
export function openCatalog(path: string): Catalog {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: { path } })
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let nextId = 1
  let failure: Error | null = null
  const failAll = (error: Error): void => {
    failure = error
    for (const call of waiting.values()) call.reject(error)
    waiting.clear()
  }
  worker.on('message', (answer: CatalogAnswer) => {
    const call = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('error' in answer) call?.reject(errorFrom(answer.error))
    else call?.resolve(answer.value)
    if (waiting.size === 0) worker.unref()
  })
  worker.on('error', (cause) => {
    failAll(
      new HoldfastError('INTERNAL', `the catalog's thread ended: ${String(cause)}`, { cause }),
    )
  })
  worker.on('exit', () => failAll(new HoldfastError('SHUTTING_DOWN', 'the catalog is closed')))
  const ask = (method: keyof Catalog, args: readonly unknown[]): Promise<unknown> => {
    if (failure) return Promise.reject(failure)
    const call = Promise.withResolvers<unknown>()
    const id = nextId++
    waiting.set(id, call)
    worker.ref()
    worker.postMessage({ id, method, args } satisfies CatalogCall)
    return call.promise
  }
  return remote(ask, async () => {
    await ask('close', [])
    await worker.terminate()
  })
}

/** A Catalog whose every method is a message. */
function remote(
  ask: (method: keyof Catalog, args: readonly unknown[]) => Promise<unknown>,
  close: () => Promise<void>,
): Catalog {
  return new Proxy({} as Catalog, {
    get: (_target, method: keyof Catalog | 'then') => {
      if (method === 'then') return undefined // Not a promise, whatever `await` thinks.
      return method === 'close' ? close : (...args: unknown[]) => ask(method, args)
    },
  })
}

const errorFrom = (error: { message: string; code: ErrorCode | null }): Error =>
  error.code ? new HoldfastError(error.code, error.message) : new Error(error.message)
