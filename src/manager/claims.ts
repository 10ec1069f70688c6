// src/manager/claims.ts — when two backups miss the same chunk, who sends it?

interface Claim {
  readonly sessionId: string
  readonly sinceMs: number
}

/** A session that lives on may still never send what it claimed: its file has changed meanwhile, or
 * it waits for somebody who waits for this chunk. So many times the wait for a silent one. */
const CLAIM_LIVES = 6

/** In memory only: a manager that restarts lets the first that asks again send. */
export class Claims {
  readonly #byChunk = new Map<string, Claim>()
  readonly #bySession = new Map<string, Set<string>>()
  /** When something last came from a session. */
  readonly #activeMs = new Map<string, number>()
  readonly #claimMs: number

  constructor(claimMs: number) {
    this.#claimMs = claimMs
  }

  handleActivity(sessionId: string, nowMs: number): void {
    this.#activeMs.set(sessionId, nowMs)
  }

  /** `send`: the chunk is this session's to send. `wait`: another's, which is still active and has
   * not had it for too long. */
  claim(repositoryId: string, chunkId: string, sessionId: string, nowMs: number): 'send' | 'wait' {
    const key = repositoryId + chunkId
    const holder = this.#byChunk.get(key)
    if (holder && holder.sessionId !== sessionId) {
      const activeMs = this.#activeMs.get(holder.sessionId) ?? Number.NEGATIVE_INFINITY
      const isActive = nowMs - activeMs < this.#claimMs
      if (isActive && nowMs - holder.sinceMs < CLAIM_LIVES * this.#claimMs) return 'wait'
      this.#bySession.get(holder.sessionId)?.delete(key)
    }
    this.#byChunk.set(key, { sessionId, sinceMs: nowMs })
    const owned = this.#bySession.get(sessionId) ?? new Set()
    owned.add(key)
    this.#bySession.set(sessionId, owned)
    return 'send'
  }

  /** The chunk is committed: nobody needs to send it. */
  settle(repositoryId: string, chunkId: string): void {
    const key = repositoryId + chunkId
    const holder = this.#byChunk.get(key)
    if (!holder) return
    this.#byChunk.delete(key)
    this.#bySession.get(holder.sessionId)?.delete(key)
  }

  /** The session ended: what it claimed is free. */
  release(sessionId: string): void {
    for (const key of this.#bySession.get(sessionId) ?? []) this.#byChunk.delete(key)
    this.#bySession.delete(sessionId)
    this.#activeMs.delete(sessionId)
  }

  get size(): number {
    return this.#byChunk.size
  }
}
