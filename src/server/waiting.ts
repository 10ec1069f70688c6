// src/server/waiting.ts — how do we wait, and try again, in a time that tests can own?
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { Clock } from '../rpc/index.ts'

/** Resolves after `delayMs`; rejects with CANCELLED as soon as `signal` fires. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(cancelled(signal))
    const stop = (): void => {
      timer.cancel()
      reject(cancelled(signal))
    }
    const timer = clock.setTimer(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, delayMs)
    signal.addEventListener('abort', stop, { once: true })
  })
}

export interface RetryOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** No attempt begins after this, on the clock. */
  readonly untilMs: number
  readonly retryMsMin: number
  readonly retryMsMax: number
}

/** Codes that end by themselves: the manager restarts, waits for its servers, or is slow. */
const PASSING = new Set(['UNREACHABLE', 'DEADLINE_EXCEEDED', 'SAFE_MODE', 'SHUTTING_DOWN'])

/** Repeats `attempt` while it fails for a reason that may pass. Rejects with its last error. */
export async function retryWhilePassing<T>(
  attempt: () => Promise<T>,
  { clock, signal, untilMs, retryMsMin, retryMsMax }: RetryOptions,
): Promise<T> {
  for (let delayMs = retryMsMin; ; delayMs = Math.min(delayMs * 2, retryMsMax)) {
    try {
      return await attempt()
    } catch (error) {
      const passing = isHoldfastError(error) && PASSING.has(error.code)
      if (!passing || signal.aborted || clock.nowMs() + delayMs >= untilMs) throw error
      await sleep(clock, delayMs, signal)
    }
  }
}

/** Fires when `signal` does, or by abort(). */
export function childController(signal: AbortSignal): AbortController & Disposable {
  const controller = new AbortController()
  const follow = (): void => controller.abort(signal.reason)
  if (signal.aborted) follow()
  else signal.addEventListener('abort', follow, { once: true })
  const free = (): void => signal.removeEventListener('abort', follow)
  return Object.assign(controller, { [Symbol.dispose]: free })
}

/** Calls `check` every `periodMs` until disposed. */
export function every(clock: Clock, periodMs: number, check: () => void): Disposable {
  let timer = clock.setTimer(fire, periodMs)
  let stopped = false
  function fire(): void {
    if (stopped) return
    timer = clock.setTimer(fire, periodMs)
    check()
  }
  return {
    [Symbol.dispose]() {
      stopped = true
      timer.cancel()
    },
  }
}

const cancelled = (signal: AbortSignal): Error =>
  isHoldfastError(signal.reason) ? signal.reason : new HoldfastError('CANCELLED', 'given up')
