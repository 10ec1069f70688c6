// src/client/backup/missing-query.ts — when is the manager asked, and about how many chunks at once?
import { LIMITS, type ResponseOf } from '../../messages.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import type { Context } from '../remote/context.ts'

export type Answer = ResponseOf<'chunks.missing'>['answers'][number]

export interface QueryHandlers {
  onAnswer(id: string, answer: Answer): void
  /** After the answers of one question. */
  onSettled(): void
  onFailure(error: unknown): void
}

// A question leaves at once when none is under way; otherwise it waits for company, at most until
// the next answer comes.
const COMPANY_IDS = 1024
const COMPANY_BYTES = 4 * 2 ** 20

/** Collects ids and asks `chunks.missing`: several questions under way, none over the cap. */
export class MissingQuery {
  readonly #context: Context
  readonly #session: BackupSession
  readonly #handlers: QueryHandlers
  #ids: string[] = []
  #bytes = 0
  #inFlight = 0
  #scheduled = false
  #stopped = false

  constructor(context: Context, session: BackupSession, handlers: QueryHandlers) {
    this.#context = context
    this.#session = session
    this.#handlers = handlers
  }

  /** `bytes`: what is held in memory until the answer comes. */
  add(id: string, bytes: number): void {
    this.#ids.push(id)
    this.#bytes += bytes
    if (this.#ids.length >= LIMITS.chunksPerQuery) this.#flush()
    if (this.#scheduled) return
    this.#scheduled = true
    this.#context.clock.defer(() => {
      this.#scheduled = false
      const company = this.#ids.length >= COMPANY_IDS || this.#bytes >= COMPANY_BYTES
      if (this.#inFlight === 0 || company) this.#flush()
    })
  }

  get isIdle(): boolean {
    return this.#ids.length === 0 && this.#inFlight === 0
  }

  stop(): void {
    this.#stopped = true
    this.#ids = []
  }

  #flush(): void {
    while (
      this.#ids.length > 0 &&
      this.#inFlight < this.#context.limits.queriesInFlight &&
      !this.#stopped
    ) {
      const ids = this.#ids.splice(0, LIMITS.chunksPerQuery)
      this.#bytes = 0
      void this.#ask(ids)
    }
  }

  async #ask(chunkIds: string[]): Promise<void> {
    this.#inFlight += 1
    try {
      const { answers } = await this.#session.call('chunks.missing', { chunkIds })
      for (const [index, id] of chunkIds.entries()) {
        if (!this.#stopped) this.#handlers.onAnswer(id, answers[index] ?? 'send')
      }
    } catch (error) {
      this.#handlers.onFailure(error)
    } finally {
      this.#inFlight -= 1
      this.#flush()
      this.#handlers.onSettled()
    }
  }
}
