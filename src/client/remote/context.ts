// src/client/remote/context.ts — what does every part of the engine work with?
import { HoldfastError } from '../../errors.ts'
import type { Clock, PeerAddress, Peers } from '../../rpc/index.ts'
import type { OnEvent } from '../events.ts'
import type { ClientLimits, ClientTiming } from '../limits.ts'

/** One command's surroundings. Time and the network come in from outside. */
export interface Context {
  readonly peers: Pick<Peers, 'call'>
  readonly manager: PeerAddress
  readonly clock: Clock
  readonly limits: ClientLimits
  readonly timing: ClientTiming
  readonly onEvent: OnEvent
  /** Fires when the user gives up. */
  readonly signal: AbortSignal
}

export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new HoldfastError('CANCELLED', 'interrupted before it was done')
}

/** Resolves after `delayMs`; rejects with CANCELLED as soon as the signal fires. */
export function sleep(context: Pick<Context, 'clock' | 'signal'>, delayMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const { signal, clock } = context
    const onAbort = (): void => {
      timer.cancel()
      reject(new HoldfastError('CANCELLED', 'interrupted before it was done'))
    }
    const timer = clock.setTimer(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, delayMs)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** Lets input that waits be handled. Long stretches of synchronous work call it now and then. */
export const breathe = (clock: Clock): Promise<void> =>
  new Promise((resolve) => clock.defer(resolve))
