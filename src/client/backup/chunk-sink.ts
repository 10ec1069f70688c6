// src/client/backup/chunk-sink.ts — what happens to each chunk until two servers have it?
//
//   offer ──► asked ──present──────────────────────────────► settled
//               │ ├──send──► sealing ──► blob ──► sent ──────► settled
//               │ └──wait──► aside ──(poll)──► asked again
//   ask ───► asked, without the bytes: `send` tells the watcher, who reads the file and offers
//
// Nothing here waits for another client while it holds back chunks of its own: what was claimed
// goes on to a blob and to a server by itself, also while the reader stands still.
import { type ChunkKind, type Compressor, type RepositoryKeys, seal } from '../../chunk/index.ts'
import type { SnapshotPlain } from '../../chunk/index.ts'
import type { Timer } from '../../rpc/index.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import type { Context } from '../remote/context.ts'
import { BlobPacker, type PackedBlob } from './blob-packer.ts'
import type { BlobSender } from './blob-sender.ts'
import { type Answer, MissingQuery } from './missing-query.ts'
import { RecentIds } from './recent-ids.ts'

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
  status: 'asked' | 'aside' | 'wanted' | 'sending'
  chunk: NewChunk | null
  watchers: Watcher[]
}

// As many as Node has threads for compression.
const SEALING_MAX = 4
/** A blob that is only half full leaves after this long when another client may wait for it. */
const BLOB_AGE_MS = 1_000

export interface SinkOptions {
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
  readonly sender: BlobSender
}

export class ChunkSink {
  readonly #context: Context
  readonly #options: SinkOptions
  readonly #packer: BlobPacker
  readonly #query: MissingQuery
  readonly #states = new Map<string, ChunkState>()
  readonly #settled = new RecentIds()
  readonly #aside = new Set<ChunkState>()
  #sealQueue: ChunkState[] = []
  #sealing = 0
  #blobsQueued: PackedBlob[] = []
  #blobsInFlight = 0
  #pendingBytes = 0
  #asideBytes = 0
  #pollTimer: Timer | null = null
  #changed: (() => void)[] = []
  #failure: unknown = null
  readonly totals = { newBytes: 0, storedBytes: 0, blobs: 0 }

  constructor(context: Context, session: BackupSession, options: SinkOptions) {
    this.#context = context
    this.#options = options
    this.#packer = new BlobPacker(options.keys.repositoryId)
    this.#query = new MissingQuery(context, session, {
      onAnswer: (id, answer) => this.#handleAnswer(id, answer),
      onSettled: () => this.#progress(),
      onFailure: (error) => this.fail(error),
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
    this.#tellPresent(state)
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

  /** Resolves at the next change. While somebody waits here, half-filled blobs are sent. */
  async change(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    const changed = new Promise<void>((resolve) => this.#changed.push(resolve))
    this.#flushIfStalled()
    await changed
    if (this.#failure !== null) throw this.#failure
  }

  /** Resolves when everything offered so far is on two servers. */
  async finish(): Promise<void> {
    while (!this.#isIdle) await this.change()
    if (this.#failure !== null) throw this.#failure
  }

  /** Stops everything; whoever waits hears why. */
  fail(error: unknown): void {
    this.#failure ??= error
    this.#pollTimer?.cancel()
    this.#query.stop()
    this.#sealQueue = []
    this.#blobsQueued = []
    this.#announce()
  }

  get #isIdle(): boolean {
    // `wanted` without bytes: its reader is done with it, or will offer it before it finishes.
    return (
      this.#query.isIdle &&
      this.#aside.size === 0 &&
      this.#sealQueue.length === 0 &&
      this.#sealing === 0 &&
      this.#packer.isEmpty &&
      this.#blobsQueued.length === 0 &&
      this.#blobsInFlight === 0
    )
  }

  #handleAnswer(id: string, answer: Answer): void {
    const state = this.#states.get(id)
    if (!state || this.#failure !== null) return
    if (answer === 'present') {
      this.#release(state)
      this.#settle(state)
    } else if (answer === 'wait') {
      state.status = 'aside'
      this.#aside.add(state)
      if (state.chunk) {
        this.#pendingBytes -= state.chunk.plaintext.length
        this.#asideBytes += state.chunk.plaintext.length
      }
      this.#schedulePoll()
    } else if (state.chunk) {
      this.#send(state)
      this.#tellPresent(state)
    } else {
      state.status = 'wanted'
      for (const watcher of state.watchers.splice(0)) watcher.handleMissing(id)
    }
  }

  #settle(state: ChunkState): void {
    this.#states.delete(state.id)
    this.#settled.add(state.id)
    this.#tellPresent(state)
  }

  #tellPresent(state: ChunkState): void {
    for (const watcher of state.watchers.splice(0)) watcher.handlePresent(state.id)
  }

  #release(state: ChunkState): void {
    if (state.chunk) this.#pendingBytes -= state.chunk.plaintext.length
    state.chunk = null
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
      this.#queueBlobs(this.#packer.flush(clock.nowMs() - BLOB_AGE_MS))
      this.#progress()
    }, timing.pollMs)
  }

  #send(state: ChunkState): void {
    state.status = 'sending'
    this.#sealQueue.push(state)
    this.#pump()
  }

  #queueBlobs(blobs: readonly PackedBlob[]): void {
    this.#blobsQueued.push(...blobs)
  }

  /** The one place that decides what starts next. */
  #pump(): void {
    if (this.#failure !== null) return
    while (
      this.#blobsQueued.length > 0 &&
      this.#blobsInFlight < this.#context.limits.blobsInFlight
    ) {
      void this.#sendBlob(this.#blobsQueued.shift()!)
    }
    // Sealing stops while blobs queue up, so that plaintext fills its budget and the reader stops.
    while (
      this.#sealQueue.length > 0 &&
      this.#sealing < SEALING_MAX &&
      this.#blobsQueued.length === 0
    ) {
      void this.#seal(this.#sealQueue.shift()!)
    }
  }

  /** Somebody waits: chunks in half-filled blobs must not wait for more to come. */
  #flushIfStalled(): void {
    const working = this.#sealQueue.length > 0 || this.#sealing > 0 || !this.#query.isIdle
    if (working || this.#packer.isEmpty || this.#blobsQueued.length > 0) return
    this.#queueBlobs(this.#packer.flush())
    this.#pump()
  }

  /** First wakes who waits: if that is not enough for them, they wait again and flush. */
  #progress(): void {
    this.#announce()
    this.#pump()
  }

  #announce(): void {
    const changed = this.#changed
    this.#changed = []
    for (const resolve of changed) resolve()
  }

  async #seal(state: ChunkState): Promise<void> {
    const { id, kind, plaintext, edges, snapshot } = state.chunk!
    const { keys, compressor } = this.#options
    this.#sealing += 1
    try {
      const sealed = await seal(keys, id, plaintext, compressor)
      const plainBytes = plaintext.length
      const chunk = { id, kind, sealed, edges, plainBytes, ...(snapshot && { snapshot }) }
      const full = this.#packer.add(chunk, this.#context.clock.nowMs())
      if (full) this.#queueBlobs([full])
      this.#pendingBytes -= plainBytes // The state keeps its chunk: it is under way.
      state.chunk = { ...state.chunk!, plaintext: EMPTY, edges: [] }
    } catch (error) {
      this.fail(error)
    } finally {
      this.#sealing -= 1
      this.#progress()
    }
  }

  async #sendBlob(blob: PackedBlob): Promise<void> {
    this.#blobsInFlight += 1
    try {
      await this.#options.sender.send(blob)
      if (this.#failure !== null) return
      this.totals.blobs += 1
      this.totals.storedBytes += blob.bytes.length
      for (const { id, plainBytes } of blob.chunks) {
        this.totals.newBytes += plainBytes
        const state = this.#states.get(id)
        if (state) this.#settle(state)
      }
    } catch (error) {
      this.fail(error)
    } finally {
      this.#blobsInFlight -= 1
      this.#progress()
    }
  }
}

const EMPTY = new Uint8Array()
