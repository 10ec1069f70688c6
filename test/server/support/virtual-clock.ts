// test/server/support/virtual-clock.ts — time that passes only when nothing is left to do
import type { Clock, Timer } from '../../../src/rpc/index.ts'

/** Turns of the event loop that must pass quietly before time may jump. Everything in these tests
 * is in memory, so that a handful of turns carries each message to its end. */
const QUIET_TURNS = 12
const START_WALL_MS = Date.UTC(2026, 0, 1)

/** A clock that a test can wait on. */
export interface TestClock extends Clock {
  /** The promise's result; time goes on meanwhile. */
  until<T>(promise: Promise<T>, msMax?: number): Promise<T>
  pass(ms: number): Promise<void>
}

export class VirtualClock implements TestClock {
  #nowMs = 0
  #serial = 0
  #timers: { atMs: number; serial: number; fire: () => void }[] = []

  nowMs = (): number => this.#nowMs
  wallMs = (): number => START_WALL_MS + this.#nowMs

  setTimer(fire: () => void, delayMs: number): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), serial: this.#serial++, fire }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  defer(fire: () => void): void {
    setImmediate(fire)
  }

  /** Lets time pass until the promise settles; throws after `msMax` of it. */
  async until<T>(promise: Promise<T>, msMax = 300_000): Promise<T> {
    let settled = false
    const done = (): void => {
      settled = true
    }
    promise.then(done, done)
    const endMs = this.#nowMs + msMax
    for (;;) {
      for (let turn = 0; turn < QUIET_TURNS && !settled; turn += 1) await turnOfTheLoop()
      if (settled) return promise
      if (this.#nowMs > endMs) throw new Error(`nothing came of it in ${msMax} ms`)
      this.#jump(endMs + 1)
    }
  }

  /** Lets that much time pass. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      for (let turn = 0; turn < QUIET_TURNS; turn += 1) await turnOfTheLoop()
      if (!this.#jump(endMs)) return
    }
  }

  /** To the next timer, at most to `endMs`; false when none is due until then. */
  #jump(endMs: number): boolean {
    const next = this.#timers.toSorted((a, b) => a.atMs - b.atMs || a.serial - b.serial)[0]
    if (!next || next.atMs > endMs) {
      this.#nowMs = endMs
      return false
    }
    this.#timers = this.#timers.filter((timer) => timer !== next)
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.fire()
    return true
  }
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

const turnOfTheLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
