// test/support/manual-clock.ts — how does a test own the time?
import type { Clock, Timer } from '../../protocol/types.ts'

interface Pending {
  readonly dueMs: number
  readonly order: number
  readonly fire: () => void
}

/** Time stands still but for `advance`. `defer` is a real setImmediate: it takes no time. */
export class ManualClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #wallStartMs: number
  readonly #pending = new Set<Pending>()

  constructor(wallStartMs = Date.UTC(2026, 0, 1)) {
    this.#wallStartMs = wallStartMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowMs
  }

  setTimer(fire: () => void, delayMs: number): Timer {
    this.#order += 1
    const entry = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, fire }
    this.#pending.add(entry)
    return { cancel: () => void this.#pending.delete(entry) }
  }

  defer(fire: () => void): void {
    setImmediate(fire)
  }

  /** How many timers wait: a leak shows here. */
  get timerCount(): number {
    return this.#pending.size
  }

  /** Fires what falls due, in order, and lets all that follows from each settle. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs
    await this.settle()
    for (;;) {
      const next = this.#earliest()
      if (!next || next.dueMs > endMs) break
      this.#pending.delete(next)
      this.#nowMs = next.dueMs
      next.fire()
      await this.settle()
    }
    this.#nowMs = endMs
  }

  /** Lets promises, stream ticks and deferred work run, without any time passing. */
  async settle(turns = 12): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) {
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
  }

  #earliest(): Pending | null {
    let best: Pending | null = null
    for (const entry of this.#pending) {
      const sooner =
        !best ||
        entry.dueMs < best.dueMs ||
        (entry.dueMs === best.dueMs && entry.order < best.order)
      if (sooner) best = entry
    }
    return best
  }
}
