// src/server/confirmation.ts — when may the client hear that its blob is replicated?
//
// When the manager says "committed", and only then. Meanwhile: a manager that restarts is asked
// again; a backup server that failed is replaced (see replicator.ts); and where the backup server
// has answered but the manager still waits for its report (it died with the manager, or the
// manager forgot it in a restart), the backup server is asked again, and reports again.
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { RequestOf } from '../messages.ts'
import { reportReplica, type ServerNode } from './node.ts'
import type { Replicator } from './replicator.ts'
import { childController, sleep } from './waiting.ts'

export class Confirmation {
  readonly #node: ServerNode
  readonly #request: RequestOf<'blob.store'>
  readonly #replicator: Replicator
  readonly #controller: ReturnType<typeof childController>
  #replicating: Promise<void> | null = null
  /** When the backup server answered, on the clock; null while it has not. */
  #answeredAtMs: number | null = null
  #failure: unknown = null
  readonly #failed = Promise.withResolvers<void>()
  /** Known once all bytes are here; until then the sender sets the pace. */
  #untilMs = Infinity

  constructor(options: {
    node: ServerNode
    request: RequestOf<'blob.store'>
    replicator: Replicator
  }) {
    this.#node = options.node
    this.#request = options.request
    this.#replicator = options.replicator
    this.#controller = childController(this.#node.stopping)
  }

  /** Safe to call again while it runs, or after it has ended well. */
  startReplicating(): void {
    if (this.#replicating || this.#controller.signal.aborted) return
    this.#answeredAtMs = null
    this.#replicating = this.#replicator
      .run(this.#controller.signal, () => this.#untilMs)
      .then(
        () => {
          this.#answeredAtMs = this.#node.clock.nowMs()
        },
        (error: unknown) => {
          this.#failure = error
          this.#failed.resolve()
        },
      )
  }

  /** Our own copy is durable: reports it until the manager has committed. Resolves with the
   * servers that hold the blob. Rejects with what kept the second copy away, or the manager. */
  async confirm(index: Uint8Array): Promise<number[]> {
    const { clock, timing } = this.#node
    this.#untilMs = clock.nowMs() + timing.confirmMs
    for (;;) {
      const { state, servers } = await this.#report(index)
      if (state === 'committed') return servers
      if (this.#failure) throw this.#failure
      if (clock.nowMs() >= this.#untilMs) throw this.#tooLate()
      if (this.#answeredAtMs !== null && this.#isOverdue(this.#answeredAtMs)) {
        this.#replicating = null
        this.startReplicating()
      }
      await this.#pause(timing.retryMsMin)
    }
  }

  /** Ends what is still under way. Never rejects. */
  async stop(): Promise<void> {
    this.#controller.abort()
    this.#controller[Symbol.dispose]()
    await this.#replicating
  }

  #report(index: Uint8Array): Promise<{ state: 'pending' | 'committed'; servers: number[] }> {
    const { blobId, sizeBytes, grant } = this.#request
    const options = { signal: this.#controller.signal, untilMs: this.#untilMs }
    return reportReplica(this.#node, { blobId, sizeBytes, grant, index }, options)
  }

  #isOverdue(answeredAtMs: number): boolean {
    return this.#node.clock.nowMs() - answeredAtMs >= this.#node.timing.pendingMs
  }

  /** The manager waits before it says "pending"; in case it does not, we do. */
  async #pause(delayMs: number): Promise<void> {
    using waiting = childController(this.#controller.signal)
    const slept = sleep(this.#node.clock, delayMs, waiting.signal)
    await Promise.race([slept, this.#failed.promise])
    slept.catch(() => {})
    waiting.abort()
  }

  #tooLate(): HoldfastError {
    const waiting = isHoldfastError(this.#failure) ? `; ${this.#failure.detail}` : ''
    const detail = `the manager did not commit the blob in time${waiting}`
    return new HoldfastError('DEADLINE_EXCEEDED', detail)
  }
}
