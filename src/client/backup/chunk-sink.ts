// src/client/backup/chunk-sink.ts — what happens to each chunk until two servers have it?
//
//   offer ──► asked ──present──────────────────────────────► settled
//               │ ├──send──► sealed ──► in a blob ──► sent ──► settled
//               │ └──wait──► aside ──(poll)──► asked again
//   ask ───► asked, without the bytes: `send` tells the watcher, who reads the file and offers
//
// Nothing here waits for another client while it holds back chunks of its own: what was claimed
// goes on to a blob and to a server by itself, also while the reader stands still.
import type { ChunkKind, SnapshotPlain } from '../../chunk/index.ts'
import type { Timer } from '../../rpc/index.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import type { Context } from '../remote/context.ts'
import { type Answer, MissingQuery } from './missing-query.ts'
import { RecentIds } from './recent-ids.ts'
import { SendLine, type SendLineOptions, type SinkTotals } from './send-line.ts'

export interface NewChunk {
  readonly id: string
  readonly kind: ChunkKind
  /** Kept until it is sealed: the caller must not write to it again. */
  readonly plaintext: Uint8Array
  readonly edges: readonly string[]
  readonly snapshot?: SnapshotPlain
}

/** Who asked about a chunk without having its bytes at hand. */
export interface Watcher {
  /** Two servers have it, or this backup is sending it. */
  handlePresent(id: string): void
  /** It must be sent, and is claimed for us: read it and offer it. */
  handleMissing(id: string): void
}

interface ChunkState {
  readonly id: string
  /** wanted: claimed for us, and nobody has offered its bytes yet. */
  status: 'asked' | 'aside' | 'wanted' | 'sending'
  chunk: NewChunk | null
  watchers: Watcher[]
}

/** A blob that is only half full leaves after this long when another client may wait for it. */
const BLOB_AGE_MS = 1_000

export class ChunkSink {
  readonly #context: Context
  readonly #query: MissingQuery
  readonly #line: SendLine
  readonly #states = new Map<string, ChunkState>()
  readonly #settled = new RecentIds()
  readonly #aside = new Set<ChunkState>()
  #pendingBytes = 0
  #asideBytes = 0
  #pollTimer: Timer | null = null
  #changed: (() => void)[] = []
  #failure: unknown = null
  readonly totals: SinkTotals

  constructor(context: Context, session: BackupSession, options: SendLineOptions) {
    this.#context = context
    this.totals = options.totals
    this.#query = new MissingQuery(context, session, {
      onAnswer: (id, answer) => this.#handleAnswer(id, answer),
      onSettled: () => this.#announce(),
      onFailure: (error) => this.fail(error),
    })
    this.#line = new SendLine(context, options, {
      onSealed: (plainBytes) => {
        this.#pendingBytes -= plainBytes
      },
      onStored: (id) => this.#settle(id),
      onFailure: (error) => this.fail(error),
      onProgress: () => this.#announce(),
    })
  }

  /** Sees that the chunk gets stored. Costs nothing when it is known or under way already. */
  offer(chunk: NewChunk): void {
    if (this.#settled.has(chunk.id)) return
    const state = this.#states.get(chunk.id)
    if (state && state.chunk !== null) return
    const bytes = chunk.plaintext.length
    if (!state) {
      this.#states.set(chunk.id, { id: chunk.id, status: 'asked', chunk, watchers: [] })
      this.#pendingBytes += bytes
      this.#query.add(chunk.id, bytes)
      return
    }
    state.chunk = chunk
    if (state.status === 'aside') this.#asideBytes += bytes
    else this.#pendingBytes += bytes
    if (state.status === 'wanted') this.#send(state)
    else this.#tellPresent(state)
  }

  /** known: nothing to do. pending: the watcher will hear. missing: read and offer it. */
  ask(id: string, watcher: Watcher): 'known' | 'pending' | 'missing' {
    if (this.#settled.has(id)) return 'known'
    const state = this.#states.get(id)
    if (!state) {
      this.#states.set(id, { id, status: 'asked', chunk: null, watchers: [watcher] })
      this.#query.add(id, 0)
      return 'pending'
    }
    if (state.chunk !== null) return 'known'
    if (state.status === 'wanted') return 'missing'
    state.watchers.push(watcher)
    return 'pending'
  }

  /** The file turned out not to hold this chunk any more: the claim is left to lapse. */
  forget(id: string): void {
    const state = this.#states.get(id)
    if (state?.status === 'wanted' && state.chunk === null) this.#states.delete(id)
  }

  /** False: read no further until something has left. Throws what made the backup fail. */
  get hasRoom(): boolean {
    if (this.#failure !== null) throw this.#failure
    const { pendingBytes, asideBytes } = this.#context.limits
    return this.#pendingBytes < pendingBytes && this.#asideBytes < asideBytes
  }

  /** Resolves at the next change. While somebody waits here, half-filled blobs are sent: the ones
   * that wait are woken first, and flush only when they must wait on. */
  async change(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    const changed = new Promise<void>((resolve) => this.#changed.push(resolve))
    if (this.#query.isIdle) this.#line.flush()
    else this.#query.flush()
    await changed
    if (this.#failure !== null) throw this.#failure
  }

  /** Resolves when everything offered so far is on two servers. What is `wanted` and was not
   * offered is nobody's: its reader is done. */
  async finish(): Promise<void> {
    while (!this.#query.isIdle || this.#aside.size > 0 || !this.#line.isIdle) await this.change()
    if (this.#failure !== null) throw this.#failure
  }

  /** Stops everything; whoever waits hears why. */
  fail(error: unknown): void {
    this.#failure ??= error
    this.#pollTimer?.cancel()
    this.#query.stop()
    this.#line.stop()
    this.#announce()
  }

  #handleAnswer(id: string, answer: Answer): void {
    const state = this.#states.get(id)
    if (!state || this.#failure !== null) return
    if (answer === 'present') {
      this.#pendingBytes -= state.chunk?.plaintext.length ?? 0
      this.#settle(id)
    } else if (answer === 'wait') {
      state.status = 'aside'
      this.#aside.add(state)
      const bytes = state.chunk?.plaintext.length ?? 0
      this.#pendingBytes -= bytes
      this.#asideBytes += bytes
      this.#schedulePoll()
    } else if (state.chunk) {
      this.#send(state)
    } else {
      state.status = 'wanted'
      for (const watcher of state.watchers.splice(0)) watcher.handleMissing(id)
    }
  }

  #send(state: ChunkState): void {
    const chunk = state.chunk!
    state.status = 'sending'
    // The line has the bytes now; what stays says only that somebody does.
    state.chunk = { ...chunk, plaintext: EMPTY, edges: [] }
    this.#tellPresent(state)
    this.#line.add(chunk)
  }

  #settle(id: string): void {
    const state = this.#states.get(id)
    this.#states.delete(id)
    this.#settled.add(id)
    if (state) this.#tellPresent(state)
  }

  #tellPresent(state: ChunkState): void {
    for (const watcher of state.watchers.splice(0)) watcher.handlePresent(state.id)
  }

  #schedulePoll(): void {
    if (this.#pollTimer !== null) return
    const { clock, timing } = this.#context
    this.#pollTimer = clock.setTimer(() => {
      this.#pollTimer = null
      for (const state of this.#aside) {
        state.status = 'asked'
        const bytes = state.chunk?.plaintext.length ?? 0
        this.#asideBytes -= bytes
        this.#pendingBytes += bytes
        this.#query.add(state.id, 0)
      }
      this.#aside.clear()
      this.#line.flush(clock.nowMs() - BLOB_AGE_MS)
      this.#announce()
    }, timing.pollMs)
  }

  #announce(): void {
    const changed = this.#changed
    this.#changed = []
    for (const resolve of changed) resolve()
  }
}

const EMPTY = new Uint8Array()
