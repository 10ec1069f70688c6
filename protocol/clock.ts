// protocol/clock.ts — what time is it, and where does chance come from, in a real process?
import { randomFillSync } from 'node:crypto'
import type { Clock, RandomBytes } from './types.ts'

/** setTimeout fires at once beyond this (2^31 - 1 ms, 24.8 days). */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(fire, delayMs) {
    const dueMs = performance.now() + Math.max(0, delayMs)
    let handle: NodeJS.Timeout
    // Node counts from the start of the loop's turn, so it may fire up to 1 ms early: look again.
    const check = (): void => {
      const restMs = dueMs - performance.now()
      if (restMs <= 0) fire()
      else arm(restMs)
    }
    const arm = (restMs: number): void => {
      handle = setTimeout(check, Math.min(Math.ceil(restMs), TIMEOUT_MS_MAX))
    }
    arm(delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  defer: (fire) => void setImmediate(fire),
}

export const systemRandom: RandomBytes = (lengthBytes) =>
  randomFillSync(new Uint8Array(lengthBytes))
