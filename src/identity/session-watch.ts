// src/identity/session-watch.ts — who ends a connection when its peer is revoked?
import { type Peer, revoked, type Trust } from './trust.ts'

/** What is needed of a transport session. */
export interface GuardedSession {
  readonly peer: Peer
  readonly isOpen: boolean
  readonly closed: Promise<unknown>
  /** It is no stranger any more. */
  admit(): void
  close(options?: { reason?: string; drainMs?: number }): Promise<void>
  destroy(error?: Error): void
}

export interface WatchLog {
  warn(message: string, fields?: Record<string, unknown>): void
}

export class SessionWatch {
  readonly #trust: Trust
  readonly #log: WatchLog
  readonly #sessions = new Set<GuardedSession>()

  constructor(trust: Trust, log: WatchLog) {
    this.#trust = trust
    this.#log = log
    trust.onChange(() => this.#endRevoked())
  }

  /** Whoever dialled it, it ends as soon as its peer is revoked. */
  add(session: GuardedSession): void {
    this.#sessions.add(session)
    void session.closed.then(() => this.#sessions.delete(session))
  }

  isRevoked(session: GuardedSession): boolean {
    return this.#trust.isRevoked(keyOf(session))
  }

  #endRevoked(): void {
    for (const session of this.#sessions) {
      if (!this.isRevoked(session)) continue
      const publicKey = keyOf(session)
      this.#log.warn('ended the connection of a revoked node', { publicKey })
      session.destroy(revoked(publicKey))
    }
  }
}

export const keyOf = (session: GuardedSession): string =>
  Buffer.from(session.peer.publicKey).toString('hex')
