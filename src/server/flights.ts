// src/server/flights.ts — what if the same blob is asked for twice at once?
//
// A client that lost its connection repeats its request while the first is still under way. The
// second shares the first's answer while that one moves, and takes over when it does not: the
// first may wait for bytes of a peer that has gone.

import { HoldfastError } from '../errors.ts'
import type { Clock } from '../rpc/index.ts'
import { childController, every, sleep } from './waiting.ts'

export interface Flight {
  /** Call whenever bytes arrive. */
  touch(): void
  /** All bytes are here: nobody takes over any more. */
  complete(): void
  /** Fires when another request takes over, or the server stops. */
  readonly signal: AbortSignal
}

interface Entry {
  readonly controller: AbortController
  readonly result: Promise<unknown>
  movedAtMs: number
  isComplete: boolean
}

export class Flights<T> {
  readonly #clock: Clock
  readonly #takeOverMs: number
  readonly #entries = new Map<string, Entry>()
  readonly #stopping: AbortSignal

  constructor(
    clock: Clock,
    { takeOverMs, stopping }: { takeOverMs: number; stopping: AbortSignal },
  ) {
    this.#clock = clock
    this.#takeOverMs = takeOverMs
    this.#stopping = stopping
  }

  get size(): number {
    return this.#entries.size
  }

  /** Runs `start` for the key, or shares the result of the run that is under way. A run that fails
   * fails only its own request: the next in line starts its own. Rejects as `start` does, or with
   * CANCELLED when `signal` fires while waiting for another's. */
  async run(key: string, signal: AbortSignal, start: (f: Flight) => Promise<T>): Promise<T> {
    for (;;) {
      const entry = this.#entries.get(key)
      if (!entry) return this.#start(key, start)
      const shared = await this.#share(entry, signal)
      if (shared) return shared.value
    }
  }

  async #start(key: string, start: (flight: Flight) => Promise<T>): Promise<T> {
    using controller = childController(this.#stopping)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    promise.catch(() => {}) // there may be nobody who shares it
    const entry: Entry = {
      controller,
      result: promise,
      movedAtMs: this.#clock.nowMs(),
      isComplete: false,
    }
    this.#entries.set(key, entry)
    const touch = (): void => {
      entry.movedAtMs = this.#clock.nowMs()
    }
    const complete = (): void => {
      entry.isComplete = true
    }
    try {
      const value = await start({ touch, complete, signal: controller.signal })
      resolve(value)
      return value
    } catch (error) {
      reject(error)
      throw error
    } finally {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
    }
  }

  /** Null when the entry has ended without a result, by itself or because we take over. */
  async #share(entry: Entry, signal: AbortSignal): Promise<{ value: T } | null> {
    using ended = childController(signal)
    using _watch = every(this.#clock, this.#takeOverMs / 4, () => {
      const stalledMs = this.#clock.nowMs() - entry.movedAtMs
      if (entry.isComplete || stalledMs < this.#takeOverMs) return
      entry.controller.abort(new HoldfastError('CANCELLED', 'the blob is sent again by another'))
    })
    const gaveUp = new Promise<never>((_resolve, reject) => {
      const refuse = (): void => reject(new HoldfastError('CANCELLED', 'the caller gave up'))
      if (signal.aborted) refuse()
      ended.signal.addEventListener('abort', refuse, { once: true })
    })
    try {
      const value = await Promise.race([entry.result.catch(() => FAILED), gaveUp])
      return value === FAILED ? null : { value: value as T }
    } finally {
      gaveUp.catch(() => {})
      // The entry leaves the table in a later turn than its result settles.
      await sleep(this.#clock, 0, NEVER)
    }
  }
}

const FAILED = Symbol('failed')
const NEVER = new AbortController().signal
