// src/server/progress.ts — what does a screen see of a blob on its way?
import type { Clock, IncomingCall, Timer } from '../rpc/index.ts'

/** Notes for the client, at most one per `noteMs` and one at the end. */
export class Progress {
  readonly #call: Pick<IncomingCall<'blob.store'>, 'note' | 'signal'>
  readonly #clock: Clock
  readonly #noteMs: number
  #storedBytes = 0
  #forwardedBytes = 0
  #backupServer: number | null = null
  #notedAtMs = -Infinity
  #changed = false
  /** Sends what was held back, should nothing else happen until then. */
  #timer: Timer | null = null

  constructor(options: {
    call: Pick<IncomingCall<'blob.store'>, 'note' | 'signal'>
    clock: Clock
    noteMs: number
  }) {
    this.#call = options.call
    this.#clock = options.clock
    this.#noteMs = options.noteMs
  }

  handleStored(storedBytes: number): void {
    this.#changed ||= storedBytes !== this.#storedBytes
    this.#storedBytes = storedBytes
    this.#noteWhenDue()
  }

  handleForwarded(backupServer: number, forwardedBytes: number): void {
    this.#changed = true
    this.#backupServer = backupServer
    this.#forwardedBytes = forwardedBytes
    this.#noteWhenDue()
  }

  /** Sends what was held back. Call before the answer. */
  end(): void {
    if (this.#changed) this.#note()
    this.#timer?.cancel()
  }

  #noteWhenDue(): void {
    if (!this.#changed || this.#timer) return
    const waitMs = this.#notedAtMs + this.#noteMs - this.#clock.nowMs()
    if (waitMs <= 0) this.#note()
    else this.#timer = this.#clock.setTimer(() => this.#note(), waitMs)
  }

  #note(): void {
    this.#changed = false
    this.#timer?.cancel()
    this.#timer = null
    this.#notedAtMs = this.#clock.nowMs()
    if (this.#call.signal.aborted) return // nobody looks any more
    this.#call.note({
      storedBytes: this.#storedBytes,
      forwardedBytes: this.#forwardedBytes,
      backupServer: this.#backupServer,
    })
  }
}
