// test/server/support/virtual-clock.ts — how does a test wait for something in time that it owns?
import type { Clock } from '../../../src/rpc/index.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** A clock that a test can wait on. */
export interface TestClock extends Clock {
  /** The promise's result; time goes on meanwhile. */
  until<T>(promise: Promise<T>, msMax?: number): Promise<T>
  pass(ms: number): Promise<void>
}

const STEP_MS = 20

/** Time passes only while a test waits, and only when nothing is left to do at the moment. */
export class VirtualClock extends ManualClock implements TestClock {
  /** Throws after `msMax` of virtual time. */
  async until<T>(promise: Promise<T>, msMax = 300_000): Promise<T> {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    const endMs = this.nowMs() + msMax
    await this.settle()
    while (!isSettled) {
      if (this.nowMs() > endMs) throw new Error(`nothing came of it in ${msMax} ms`)
      await this.advance(STEP_MS)
    }
    return promise
  }

  pass = (ms: number): Promise<void> => this.advance(ms)
}

/** For tests with real disks, which no virtual time can hurry. */
export const realClock: TestClock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(fire, delayMs) {
    const timer = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (fire) => void setImmediate(fire),
  until: (promise) => promise,
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}
