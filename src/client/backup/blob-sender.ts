// src/client/backup/blob-sender.ts — how does one blob get onto two servers, whatever fails?
import { type ErrorCode, type HoldfastError, isHoldfastError } from '../../errors.ts'
import type { NoteOf, ResponseOf, ServerAddress } from '../../messages.ts'
import type { ServerRef } from '../events.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import { type Context, sleep, throwIfAborted } from '../remote/context.ts'
import { peerOf } from '../remote/server-choice.ts'

export interface Blob {
  readonly blobId: string
  readonly bytes: Uint8Array
}

export interface SenderOptions {
  readonly repositoryId: string
  /** Wait for servers without an end. */
  readonly waitForServers: boolean
}

// Sends of one blob that failed at a server before the backup gives up. With four servers each
// gets several chances, also when all of them restart meanwhile.
const TRIES = 12

/** Failures after which the same server is not asked again for this blob. */
const ELSEWHERE = new Set<ErrorCode>([
  'UNREACHABLE',
  'DEADLINE_EXCEEDED',
  'STORAGE_FULL',
  'STORAGE_FAILED',
  'SHUTTING_DOWN',
  'CORRUPT',
  'INTERNAL',
  'UNKNOWN_METHOD',
])

/** Failures that pass when the same is asked again: a new grant, a session, servers coming up. */
const AGAIN = new Set<ErrorCode>([
  'NOT_ENOUGH_SERVERS',
  'GRANT_REFUSED',
  'SESSION_EXPIRED',
  'SAFE_MODE',
  'NOT_FOUND',
  'UNDER_REPLICATED',
])

export class BlobSender {
  readonly #context: Context
  readonly #session: BackupSession
  readonly #options: SenderOptions
  /** Names seen in assignments: the backup server comes as a number only. */
  readonly #names = new Map<number, string>()
  #waiting = 0

  constructor(context: Context, session: BackupSession, options: SenderOptions) {
    this.#context = context
    this.#session = session
    this.#options = options
  }

  /** Resolves when two servers have the blob on disk and the manager has committed both. Rejects
   * with NOT_ENOUGH_SERVERS after a short wait, or with the last failure after many. */
  async send(blob: Blob): Promise<void> {
    const exclude = new Set<number>()
    const { clock, timing, signal } = this.#context
    let delayMs = timing.backoffMs
    let failures = 0
    let lackingSinceMs: number | null = null
    let waited = false
    try {
      for (;;) {
        throwIfAborted(signal)
        let server: ServerAddress | null = null
        try {
          const answer = await this.#assign(blob, exclude)
          if (answer.state === 'replicated') return this.#say(blob, 'replicated', answer.servers)
          server = answer.server
          lackingSinceMs = null
          const servers = await this.#store(blob, server, answer.grant)
          return this.#say(blob, 'replicated', servers)
        } catch (cause) {
          throwIfAborted(signal)
          const error = this.#judge(cause, server)
          if (server !== null) this.#sayFailed(blob, server, error)
          if (error.code === 'NOT_ENOUGH_SERVERS') {
            exclude.clear() // Whoever failed before may be back, and is better than nobody.
            lackingSinceMs ??= clock.nowMs()
            const lackedMs = clock.nowMs() - lackingSinceMs
            if (!this.#options.waitForServers && lackedMs > timing.serversWaitMs) throw error
            if (!waited) this.#sayWaiting(error)
            waited = true
          } else {
            failures += 1
            if (failures >= TRIES) throw error
            if (server && ELSEWHERE.has(error.code)) exclude.add(server.number)
            if (exclude.size > 32) exclude.clear()
          }
          await sleep(this.#context, delayMs)
          delayMs = Math.min(delayMs * 2, timing.backoffMsMax)
        }
      }
    } finally {
      if (waited && --this.#waiting === 0) this.#context.onEvent({ type: 'resumed' })
    }
  }

  #assign(blob: Blob, exclude: Set<number>): Promise<ResponseOf<'server.assign'>> {
    const { blobId, bytes } = blob
    const request = { blobId, sizeBytes: bytes.length, exclude: [...exclude] }
    return this.#session.call('server.assign', request)
  }

  async #store(blob: Blob, server: ServerAddress, grant: Uint8Array): Promise<readonly number[]> {
    const { peers, signal, timing } = this.#context
    this.#names.set(server.number, server.name)
    this.#say(blob, 'assigned', [server.number])
    const result = await peers.call(
      peerOf(server),
      'blob.store',
      {
        repositoryId: this.#options.repositoryId,
        blobId: blob.blobId,
        sizeBytes: blob.bytes.length,
        grant,
      },
      {
        signal,
        deadlineMs: null,
        stallMs: timing.stallMs,
        urgency: 5, // bulk
        body: slices(blob.bytes),
        onNote: (note) => this.#sayProgress(blob, server, note),
      },
    )
    result.discard()
    return result.response.servers
  }

  /** Throws what no further try can mend; else says what happened. A session lost between the
   * grant and the store shows as a refusal by the server: the next assignment finds out. */
  #judge(cause: unknown, server: ServerAddress | null): HoldfastError {
    if (!isHoldfastError(cause)) throw cause
    const known = ELSEWHERE.has(cause.code) || AGAIN.has(cause.code)
    if (!known || (server === null && cause.code !== 'NOT_ENOUGH_SERVERS')) throw cause
    return cause
  }

  #reference(number: number | null | undefined): ServerRef | null {
    if (number === null || number === undefined) return null
    return { number, name: this.#names.get(number) ?? '' }
  }

  #say(blob: Blob, state: 'assigned' | 'replicated', servers: readonly number[]): void {
    const done = state === 'replicated' ? blob.bytes.length : 0
    this.#context.onEvent({
      type: 'blob',
      state,
      blobId: blob.blobId,
      sizeBytes: blob.bytes.length,
      primary: this.#reference(servers[0]),
      backupServer: this.#reference(servers[1]),
      storedBytes: done,
      forwardedBytes: done,
      message: '',
    })
  }

  #sayProgress(blob: Blob, server: ServerAddress, note: NoteOf<'blob.store'>): void {
    this.#context.onEvent({
      type: 'blob',
      state: 'sending',
      blobId: blob.blobId,
      sizeBytes: blob.bytes.length,
      primary: this.#reference(server.number),
      backupServer: this.#reference(note.backupServer),
      storedBytes: note.storedBytes,
      forwardedBytes: note.forwardedBytes,
      message: '',
    })
  }

  #sayFailed(blob: Blob, server: ServerAddress, error: HoldfastError): void {
    this.#context.onEvent({
      type: 'blob',
      state: 'failed',
      blobId: blob.blobId,
      sizeBytes: blob.bytes.length,
      primary: this.#reference(server.number),
      backupServer: null,
      storedBytes: 0,
      forwardedBytes: 0,
      message: `server ${server.number} (${server.name}): ${error.message}`,
    })
  }

  #sayWaiting(error: HoldfastError): void {
    this.#waiting += 1
    if (this.#waiting > 1) return
    this.#context.onEvent({ type: 'waiting', code: error.code, message: error.detail })
  }
}

const SLICE_BYTES = 64 * 2 ** 10

/** In pieces, so that a send buffer holds one and progress shows. */
async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    yield bytes.subarray(at, at + SLICE_BYTES)
  }
}
