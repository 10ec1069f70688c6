// src/client/backup/send-line.ts — how do claimed chunks get sealed, packed and onto two servers?
import { type Compressor, type RepositoryKeys, seal } from '../../chunk/index.ts'
import type { Context } from '../remote/context.ts'
import { BlobPacker, type PackedBlob } from './blob-packer.ts'
import type { BlobSender } from './blob-sender.ts'
import type { NewChunk } from './chunk-sink.ts'

export interface SendLineOptions {
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
  readonly sender: BlobSender
  /** Counted up as blobs get onto two servers. */
  readonly totals: SinkTotals
}

export interface SinkTotals {
  newBytes: number
  storedBytes: number
  blobs: number
}

export interface SendLineHandlers {
  /** So many bytes of plaintext are no longer held. */
  onSealed(plainBytes: number): void
  /** Two servers have it, on disk and in the catalog. */
  onStored(id: string): void
  onFailure(error: unknown): void
  /** Something moved on. */
  onProgress(): void
}

/** As many as Node has threads for compression. */
const SEALING_MAX = 4

/** Needs nothing from outside to go on, so that chunks claimed here never wait for other clients. */
export class SendLine {
  readonly #context: Context
  readonly #options: SendLineOptions
  readonly #handlers: SendLineHandlers
  readonly #packer: BlobPacker
  #sealQueue: NewChunk[] = []
  #sealing = 0
  #blobQueue: PackedBlob[] = []
  #blobsInFlight = 0
  #stopped = false

  constructor(context: Context, options: SendLineOptions, handlers: SendLineHandlers) {
    this.#context = context
    this.#options = options
    this.#handlers = handlers
    this.#packer = new BlobPacker(options.keys.repositoryId)
  }

  add(chunk: NewChunk): void {
    this.#sealQueue.push(chunk)
    this.pump()
  }

  get isIdle(): boolean {
    return !this.#isWorking && this.#packer.isEmpty && this.#blobsInFlight === 0
  }

  /** Sends what is packed so far, unless more comes by itself. `sinceMs`: only blobs begun before. */
  flush(sinceMs?: number): void {
    if (sinceMs === undefined && this.#isWorking) return
    this.#blobQueue.push(...this.#packer.flush(sinceMs))
    this.pump()
  }

  stop(): void {
    this.#stopped = true
    this.#sealQueue = []
    this.#blobQueue = []
  }

  get #isWorking(): boolean {
    return this.#sealQueue.length > 0 || this.#sealing > 0 || this.#blobQueue.length > 0
  }

  /** The one place that decides what starts next. */
  pump(): void {
    if (this.#stopped) return
    const { blobsInFlight } = this.#context.limits
    while (this.#blobQueue.length > 0 && this.#blobsInFlight < blobsInFlight) {
      void this.#send(this.#blobQueue.shift()!)
    }
    // Sealing stops while blobs queue up, so that plaintext fills its budget and the reader stops.
    while (
      this.#sealQueue.length > 0 &&
      this.#sealing < SEALING_MAX &&
      this.#blobQueue.length === 0
    ) {
      void this.#seal(this.#sealQueue.shift()!)
    }
  }

  async #seal({ id, kind, plaintext, edges, snapshot }: NewChunk): Promise<void> {
    const { keys, compressor } = this.#options
    const plainBytes = plaintext.length
    this.#sealing += 1
    try {
      const sealed = await seal(keys, id, plaintext, compressor)
      const chunk = { id, kind, sealed, edges, plainBytes, ...(snapshot && { snapshot }) }
      const full = this.#packer.add(chunk, this.#context.clock.nowMs())
      if (full && !this.#stopped) this.#blobQueue.push(full)
      this.#handlers.onSealed(plainBytes)
    } catch (error) {
      this.#handlers.onFailure(error)
    } finally {
      this.#sealing -= 1
      this.pump()
      this.#handlers.onProgress()
    }
  }

  async #send(blob: PackedBlob): Promise<void> {
    const { sender, totals } = this.#options
    this.#blobsInFlight += 1
    try {
      await sender.send(blob)
      totals.blobs += 1
      totals.storedBytes += blob.bytes.length
      for (const { id, plainBytes } of blob.chunks) {
        totals.newBytes += plainBytes
        this.#handlers.onStored(id)
      }
    } catch (error) {
      this.#handlers.onFailure(error)
    } finally {
      this.#blobsInFlight -= 1
      this.pump()
      this.#handlers.onProgress()
    }
  }
}
