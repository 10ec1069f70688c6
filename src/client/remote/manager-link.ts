// src/client/remote/manager-link.ts — how does a command survive a manager that goes and comes back?
import { type HoldfastError, isHoldfastError } from '../../errors.ts'
import type { Method, RequestOf, ResponseOf } from '../../messages.ts'
import { type Context, sleep, throwIfAborted } from './context.ts'

export interface ManagerCallOptions {
  /** For one try. Default 10 s. */
  readonly deadlineMs?: number
  /** In all; default timing.managerWaitMs. 0: one try. */
  readonly waitMs?: number
  /** Instead of the command's own: for the goodbye after it was interrupted. */
  readonly signal?: AbortSignal
}

const DEADLINE_MS = 10_000

/** Calls of the manager, repeated while it is away, restarting or in safe mode. Every request of
 * the catalogue may be sent twice. */
export class ManagerLink {
  readonly #context: Context
  #waiting = 0
  constructor(context: Context) {
    this.#context = context
  }

  /** Rejects with what the manager answered; UNREACHABLE, DEADLINE_EXCEEDED, SAFE_MODE and
   * SHUTTING_DOWN only when they lasted for `waitMs`. */
  async call<M extends Method>(
    method: M,
    request: RequestOf<M>,
    options: ManagerCallOptions = {},
  ): Promise<ResponseOf<M>> {
    const { peers, manager, clock, timing } = this.#context
    const signal = options.signal ?? this.#context.signal
    const giveUpAtMs = clock.nowMs() + (options.waitMs ?? timing.managerWaitMs)
    let waited = false
    try {
      for (let delayMs = timing.backoffMs; ; delayMs = Math.min(delayMs * 2, timing.backoffMsMax)) {
        throwIfAborted(signal)
        try {
          const result = await peers.call(manager, method, request, {
            signal,
            deadlineMs: options.deadlineMs ?? DEADLINE_MS,
          })
          result.discard()
          return result.response
        } catch (error) {
          throwIfAborted(signal)
          if (!isAway(error) || clock.nowMs() + delayMs > giveUpAtMs) throw error
          if (!waited) this.#sayWaiting(error)
          waited = true
          await sleep({ clock, signal }, delayMs)
        }
      }
    } finally {
      if (waited && --this.#waiting === 0) this.#context.onEvent({ type: 'resumed' })
    }
  }

  #sayWaiting(error: HoldfastError): void {
    this.#waiting += 1
    if (this.#waiting > 1) return
    const message =
      error.code === 'SAFE_MODE'
        ? 'the manager has just started and waits for its servers'
        : `the manager does not answer (${error.detail}); trying again`
    this.#context.onEvent({ type: 'waiting', code: error.code, message })
  }
}

const AWAY = new Set(['UNREACHABLE', 'DEADLINE_EXCEEDED', 'SAFE_MODE', 'SHUTTING_DOWN'])

const isAway = (error: unknown): error is HoldfastError =>
  isHoldfastError(error) && AWAY.has(error.code)
