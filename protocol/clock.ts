// protocol/clock.ts — what time is it, and where does chance come from, in a real process?
import { randomFillSync } from 'node:crypto'
import type { Clock, RandomBytes } from './types.ts'

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(fire, delayMs) {
    // Rounded up: a timer must not fire before its time (TRANSPORT: granularity 1 ms).
    const handle = setTimeout(fire, Math.ceil(Math.max(0, delayMs)))
    return { cancel: () => clearTimeout(handle) }
  },
  defer: (fire) => void setImmediate(fire),
}

export const systemRandom: RandomBytes = (lengthBytes) =>
  randomFillSync(new Uint8Array(lengthBytes))
