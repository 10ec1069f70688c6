// src/client/backup/missing-query.ts — when is the manager asked, and about how many chunks at once?
import { LIMITS, type ResponseOf } from '../../messages.ts'
import type { Timer } from '../../rpc/index.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import type { Context } from '../remote/context.ts'

export type Answer = ResponseOf<'chunks.missing'>['answers'][number]

export interface QueryHandlers {
  onAnswer(id: string, answer: Answer): void
  /** After the answers of one question. */
  onSettled(): void
  onFailure(error: unknown): void
}

// Each question is a commit at the manager, with an fsync: ids wait for company, unless somebody
// stands still for the answers.
const COMPANY_IDS = 2048
const COMPANY_BYTES = 4 * 2 ** 20
const COMPANY_MS = 50

/** Collects ids and asks `chunks.missing`: several questions under way, none over the cap. */
export class MissingQuery {
  readonly #context: Context
  readonly #session: BackupSession
  readonly #handlers: QueryHandlers
  #ids: string[] = []
  #bytes = 0
  #inFlight = 0
  #timer: Timer | null = null
  /** What is collected waits for nothing but an answer. */
  #isDue = false
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
    if (this.#hasCompany) this.#send()
    else this.#timer ??= this.#context.clock.setTimer(() => this.flush(), COMPANY_MS)
  }

  /** Somebody waits: what was collected so far leaves as soon as it may. */
  flush(): void {
    this.#isDue = this.#ids.length > 0
    this.#send()
  }

  get isIdle(): boolean {
    return this.#ids.length === 0 && this.#inFlight === 0
  }

  stop(): void {
    this.#stopped = true
    this.#ids = []
    this.#timer?.cancel()
  }

  get #hasCompany(): boolean {
    return this.#ids.length >= COMPANY_IDS || this.#bytes >= COMPANY_BYTES
  }

  #send(): void {
    const { queriesInFlight } = this.#context.limits
    while (this.#ids.length > 0 && (this.#isDue || this.#hasCompany) && !this.#stopped) {
      if (this.#inFlight >= queriesInFlight) return
      const ids = this.#ids.splice(0, LIMITS.chunksPerQuery)
      this.#bytes = 0
      void this.#ask(ids)
    }
    if (this.#ids.length > 0) return
    this.#isDue = false
    this.#timer?.cancel()
    this.#timer = null
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
      this.#send()
      this.#handlers.onSettled()
    }
  }
}
