// src/server/replicator.ts — who gets the second copy of a blob, and what if that one fails?
//
// Ask the manager for a backup server, send it the blob while it still arrives, wait for its
// answer ("on disk and reported"). One that fails, stalls or is unreachable is excluded and the
// manager is asked for another, within a bounded number of attempts.
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { RequestOf, ResponseOf } from '../messages.ts'
import type { Clock, Peers } from '../rpc/index.ts'
import type { BlobSource } from './arriving-blob.ts'
import type { Log } from './log.ts'
import type { ServerLimits, ServerTiming } from './timing.ts'
import { childController, every, retryWhilePassing, sleep } from './waiting.ts'

const BULK_URGENCY = 5
const WATCH_MS = 250

type Assignment = ResponseOf<'backup-server.assign'>

export interface ReplicatorOptions {
  readonly request: RequestOf<'blob.store'>
  readonly source: BlobSource
  readonly peers: Peers
  readonly askManager: (
    request: RequestOf<'backup-server.assign'>,
    signal: AbortSignal,
  ) => Promise<Assignment>
  /** When this server was last registered, on the clock. */
  readonly managerKnownSinceMs: () => number
  readonly clock: Clock
  readonly timing: ServerTiming
  readonly limits: ServerLimits
  readonly log: Log
  /** Bytes handed to the transport for the backup server of the attempt under way. */
  readonly onProgress: (backupServer: number, forwardedBytes: number) => void
}

export class Replicator {
  readonly #options: ReplicatorOptions
  readonly #failed = new Set<number>()
  #attempts = 0
  /** We have nothing to send: no other backup server can help. */
  #sourceFailed = false
  /** The backup server that has answered, to ask again when its report got lost. */
  #done: Assignment | null = null

  constructor(options: ReplicatorOptions) {
    this.#options = options
  }

  /** Resolves with the number of a server that says it has the blob on disk and has reported it.
   * Called again, it asks the same server first. Rejects with what ended the last attempt, or
   * CANCELLED; never retries for ever. */
  async run(signal: AbortSignal, untilMs: () => number): Promise<number> {
    const { backupAttemptsMax } = this.#options.limits
    for (;;) {
      const assignment = this.#done ?? (await this.#assign(signal, untilMs))
      const { number } = assignment.server
      this.#done = null
      this.#attempts += 1
      try {
        await this.#send(assignment, signal)
        this.#done = assignment
        return number
      } catch (error) {
        if (signal.aborted || this.#sourceFailed) throw error
        this.#failed.add(number)
        const fields = { blobId: this.#blobId, server: number, error: String(error) }
        this.#options.log.warn('backup server failed; asking for another', fields)
        const late = this.#options.clock.nowMs() >= untilMs()
        if (this.#attempts >= backupAttemptsMax || late) throw this.#exhausted(error)
      }
    }
  }

  async #assign(signal: AbortSignal, untilMs: () => number): Promise<Assignment> {
    const { clock, request, timing, askManager, managerKnownSinceMs } = this.#options
    const { blobId, sizeBytes, grant } = request
    const ask = (): Promise<Assignment> =>
      askManager({ blobId, sizeBytes, grant, exclude: [...this.#failed].slice(0, 64) }, signal)
    const { retryMsMin, retryMsMax } = timing
    const patiently = () =>
      retryWhilePassing(ask, { clock, signal, untilMs: untilMs(), retryMsMin, retryMsMax })
    for (;;) {
      try {
        return await patiently()
      } catch (error) {
        if (!isHoldfastError(error, 'NOT_ENOUGH_SERVERS') || signal.aborted) throw error
        // Nobody is left but those that failed: a moment's trouble may be over. Or the manager has
        // just restarted, and the others have not registered yet.
        const early = clock.nowMs() < managerKnownSinceMs() + timing.gatheringMs
        if (this.#failed.size === 0 && !early) throw error
        this.#failed.clear()
        if (early) await sleep(clock, retryMsMax, signal)
      }
    }
  }

  async #send({ server, grant }: Assignment, signal: AbortSignal): Promise<void> {
    const { clock, peers, request, source } = this.#options
    const { repositoryId, blobId, sizeBytes } = request
    using attempt = childController(signal)
    const sending = new Sending(clock)
    using _watch = every(clock, WATCH_MS, () => {
      const stall = sending.stall(this.#options.timing, this.#attempts)
      if (stall) attempt.abort(new HoldfastError('DEADLINE_EXCEEDED', stall))
    })
    const body = sending.watch(source.tail(), (forwardedBytes) =>
      this.#options.onProgress(server.number, forwardedBytes),
    )
    const address = {
      host: server.host,
      port: server.port,
      publicKey: Buffer.from(server.publicKey, 'hex'),
    }
    const replicate = { repositoryId, blobId, sizeBytes, grant }
    try {
      const result = await peers.call(address, 'blob.replicate', replicate, {
        body,
        signal: attempt.signal,
        deadlineMs: null,
        urgency: BULK_URGENCY,
      })
      result.discard()
    } catch (error) {
      if (sending.sourceFailure) {
        this.#sourceFailed = true
        throw sending.sourceFailure
      }
      // The caller's own word for it is "cancelled"; why we cancelled says more.
      throw isHoldfastError(attempt.signal.reason) ? attempt.signal.reason : error
    }
  }

  #exhausted(error: unknown): unknown {
    if (this.#attempts === 1 || !isHoldfastError(error)) return error
    const detail = `no backup server took the blob in ${this.#attempts} attempts; ${error.detail}`
    return new HoldfastError(error.code, detail, { cause: error })
  }

  get #blobId(): string {
    return this.#options.request.blobId
  }
}

/** Tells waiting for the backup server from waiting for our own sender: only the first counts. */
class Sending {
  readonly #clock: Clock
  /** Since when it is the other's turn; null while we have nothing to give. Begins with the dial. */
  #theirTurnSinceMs: number | null
  #allGiven = false
  #givenBytes = 0
  /** Why our own bytes came to an end too early. */
  sourceFailure: unknown = null

  constructor(clock: Clock) {
    this.#clock = clock
    this.#theirTurnSinceMs = clock.nowMs()
  }

  async *watch(
    source: AsyncIterable<Uint8Array>,
    onGiven: (givenBytes: number) => void,
  ): AsyncGenerator<Uint8Array, void, void> {
    this.#theirTurnSinceMs = null
    try {
      for await (const bytes of source) {
        this.#theirTurnSinceMs = this.#clock.nowMs()
        yield bytes
        this.#theirTurnSinceMs = null
        this.#givenBytes += bytes.length
        onGiven(this.#givenBytes)
      }
    } catch (error) {
      this.sourceFailure = error
      throw error
    }
    this.#allGiven = true
    this.#theirTurnSinceMs = this.#clock.nowMs()
  }

  /** What is wrong, or null. */
  stall(timing: ServerTiming, attempt: number): string | null {
    if (this.#theirTurnSinceMs === null) return null
    const waitedMs = this.#clock.nowMs() - this.#theirTurnSinceMs
    const allowedMs = this.#allGiven ? timing.backupAnswerMs * attempt : timing.backupStallMs
    if (waitedMs < allowedMs) return null
    const doing = this.#allGiven ? 'does not answer' : 'takes no bytes'
    return `the backup server ${doing} for ${Math.round(waitedMs)} ms`
  }
}
