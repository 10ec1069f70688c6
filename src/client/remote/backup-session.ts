// src/client/remote/backup-session.ts — how does one backup keep its place at the manager?
import { isHoldfastError } from '../../errors.ts'
import type { Method, RequestOf, ResponseOf } from '../../messages.ts'
import type { Timer } from '../../rpc/index.ts'
import type { Context } from './context.ts'
import type { ManagerCallOptions, ManagerLink } from './manager-link.ts'

type InSession = {
  [M in Method]: RequestOf<M> extends { sessionId: string } ? M : never
}[Method]

export interface SessionOwner {
  readonly repositoryId: string
  readonly clientName: string
}

/**
 * A backup session: pins what the manager calls present, and claims what we are told to send. It
 * is touched in the background. When it is lost (the manager was away for longer than its lease)
 * a new one begins by itself and the call is repeated; what the old one pinned is then no longer
 * certain, so `renewals` counts up and the backup must ask about everything once more.
 */
export class BackupSession {
  readonly #context: Context
  readonly #link: ManagerLink
  readonly #owner: SessionOwner
  #sessionId = ''
  #leaseMs = 0
  #renewal: Promise<void> | null = null
  #timer: Timer | null = null
  #ended = false
  renewals = 0

  private constructor(context: Context, link: ManagerLink, owner: SessionOwner) {
    this.#context = context
    this.#link = link
    this.#owner = owner
  }

  static async begin(
    context: Context,
    link: ManagerLink,
    owner: SessionOwner,
  ): Promise<BackupSession> {
    const session = new BackupSession(context, link, owner)
    await session.#begin()
    return session
  }

  /** The id in use now; it changes with a renewal. */
  get sessionId(): string {
    return this.#sessionId
  }

  async call<M extends InSession>(
    method: M,
    request: Omit<RequestOf<M>, 'sessionId'>,
    options?: ManagerCallOptions,
  ): Promise<ResponseOf<M>> {
    for (;;) {
      const sessionId = this.#sessionId
      try {
        const full = { ...request, sessionId } as unknown as RequestOf<M>
        return await this.#link.call(method, full, options)
      } catch (error) {
        if (!isHoldfastError(error, 'SESSION_EXPIRED') || this.#ended) throw error
        await this.renew(sessionId)
      }
    }
  }

  /** Begins anew unless another caller did already. `lost`: the id that was refused. */
  async renew(lost: string): Promise<void> {
    if (lost !== this.#sessionId) return
    this.#renewal ??= this.#begin()
      .then(() => {
        this.renewals += 1
        this.#context.onEvent({
          type: 'notice',
          code: 'SESSION_RENEWED',
          message: 'the manager had given up this backup; it goes on in a new session',
        })
      })
      .finally(() => {
        this.#renewal = null
      })
    await this.#renewal
  }

  /** Stops touching; after a commit the session is over at the manager too. */
  end(): void {
    this.#ended = true
    this.#timer?.cancel()
  }

  /** Says goodbye, so that claims and pins go at once. Never rejects; takes 2 s at most. */
  async abort(): Promise<void> {
    this.end()
    const request = { sessionId: this.#sessionId }
    const signal = new AbortController().signal
    const options = { signal, deadlineMs: 2_000, waitMs: 0 }
    await this.#link.call('backup.abort', request, options).catch(() => undefined)
  }

  async #begin(): Promise<void> {
    const { repositoryId, clientName } = this.#owner
    const begun = await this.#link.call('backup.begin', { repositoryId, clientName })
    this.#sessionId = begun.sessionId
    this.#leaseMs = begun.leaseMs
    this.#timer?.cancel()
    this.#scheduleTouch()
  }

  #scheduleTouch(): void {
    if (this.#ended) return
    const { clock, timing } = this.#context
    const delayMs = Math.min(timing.touchMs, this.#leaseMs / 4)
    this.#timer = clock.setTimer(() => {
      const sessionId = this.#sessionId
      this.#link
        .call('backup.touch', { sessionId }, { waitMs: 0, deadlineMs: 3_000 })
        // Lost or late: the next real call finds out and waits or renews.
        .then(
          () => undefined,
          () => undefined,
        )
        .then(() => {
          if (sessionId === this.#sessionId) this.#scheduleTouch() // else its successor has one
        })
    }, delayMs)
  }
}
