// protocol/connection/limit-times.ts — for how long did what keep this end from sending more?
import type { LimitedMs } from '../types.ts'

/** Time belongs to what was the reason at its beginning; `sending` is no reason but work. */
export class LimitTimes {
  readonly #ms = { sending: 0, congestion: 0, pacing: 0, flow: 0, application: 0 }
  #state: keyof LimitedMs = 'application'
  #sinceMs: number

  constructor(nowMs: number) {
    this.#sinceMs = nowMs
  }

  enter(nowMs: number, state: keyof LimitedMs): void {
    if (state === this.#state) return
    this.#ms[this.#state] += nowMs - this.#sinceMs
    this.#state = state
    this.#sinceMs = nowMs
  }

  /** Up to now. */
  at(nowMs: number): LimitedMs {
    const sofar = { ...this.#ms }
    sofar[this.#state] += Math.max(0, nowMs - this.#sinceMs)
    return sofar
  }
}
