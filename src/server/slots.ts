// src/server/slots.ts — how much may run at once, and who waits?
import { HoldfastError } from '../errors.ts'

/** Counts units of anything (requests, bytes) against a cap. Those who wait are served in order;
 * a peer that waits does not get its body read, so its own flow control holds it back. */
export class Slots {
  readonly #units: number
  readonly #waitersMax: number
  readonly #what: string
  readonly #waiters: { units: number; grant: () => void; refuse: (error: Error) => void }[] = []
  #usedUnits = 0

  constructor({ units, waitersMax, what }: { units: number; waitersMax: number; what: string }) {
    this.#units = units
    this.#waitersMax = waitersMax
    this.#what = what
  }

  get usedUnits(): number {
    return this.#usedUnits
  }

  /** Resolves with what must be called, once, to give the units back. More units than there are
   * at all count as all of them. Rejects with DEADLINE_EXCEEDED (busy) when too many wait, and
   * CANCELLED when `signal` fires first. */
  async take(units: number, signal: AbortSignal): Promise<() => void> {
    const wanted = Math.min(units, this.#units)
    if (signal.aborted) throw gaveUp()
    if (this.#waiters.length > 0 || this.#usedUnits + wanted > this.#units) {
      await this.#wait(wanted, signal)
    } else this.#usedUnits += wanted
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#usedUnits -= wanted
      this.#admit()
    }
  }

  #wait(units: number, signal: AbortSignal): Promise<void> {
    if (this.#waiters.length >= this.#waitersMax) {
      throw new HoldfastError('DEADLINE_EXCEEDED', `the server is busy: too many ${this.#what}`)
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        waiter.refuse(gaveUp())
        this.#admit()
      }
      const waiter = {
        units,
        grant: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
        refuse: reject,
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiters.push(waiter)
    })
  }

  /** The units are taken here, before the waiter runs: nobody can slip in between. */
  #admit(): void {
    for (;;) {
      const first = this.#waiters[0]
      if (!first || this.#usedUnits + first.units > this.#units) return
      this.#waiters.shift()
      this.#usedUnits += first.units
      first.grant()
    }
  }
}

const gaveUp = (): HoldfastError => new HoldfastError('CANCELLED', 'the caller gave up')
