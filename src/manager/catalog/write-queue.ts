// src/manager/catalog/write-queue.ts — how do many small commits share one fsync?
import { type Kysely, sql, type Transaction } from 'kysely'
import type { Tables } from './schema.ts'

export type Write<T> = (tx: Transaction<Tables>) => Promise<T>

interface Waiting {
  readonly write: Write<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

const WRITES_PER_COMMIT = 256

/** Group commit: what is asked while one transaction is under way goes together into the next.
 * Each write has a savepoint of its own, so one that fails does not undo its neighbours. */
export class WriteQueue {
  readonly #db: Kysely<Tables>
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | null = null

  constructor(db: Kysely<Tables>) {
    this.#db = db
  }

  /** Resolves when the write is committed. */
  run<T>(write: Write<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ write, resolve: resolve as (value: unknown) => void, reject })
      this.#running ??= this.#drain()
    })
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #drain(): Promise<void> {
    // What arrives in this same turn joins the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#commit(this.#waiting.splice(0, WRITES_PER_COMMIT))
    this.#running = null
  }

  async #commit(batch: Waiting[]): Promise<void> {
    const done: { waiting: Waiting; value: unknown }[] = []
    try {
      await this.#db.transaction().execute(async (tx) => {
        for (const waiting of batch) {
          await sql`savepoint one`.execute(tx)
          try {
            done.push({ waiting, value: await waiting.write(tx) })
            await sql`release savepoint one`.execute(tx)
          } catch (error) {
            await sql`rollback to savepoint one`.execute(tx)
            await sql`release savepoint one`.execute(tx)
            if (done.at(-1)?.waiting === waiting) done.pop()
            waiting.reject(error)
          }
        }
        if (done.length > 0) await countOperations(tx, done.length)
      })
      for (const { waiting, value } of done) waiting.resolve(value)
    } catch (error) {
      for (const waiting of batch) waiting.reject(error)
    }
  }
}

const countOperations = (tx: Transaction<Tables>, count: number): Promise<unknown> =>
  tx
    .updateTable('meta')
    .set({ value: sql`cast(cast(value as integer) + ${count} as text)` })
    .where('name', '=', 'operation')
    .execute()
