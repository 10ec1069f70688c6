// src/server/store/memory-store.ts — the same promises without a disk, for tests and simulations
import { HoldfastError } from '../../errors.ts'
import type { BlobDraft, BlobEntry, BlobReader, BlobStore, StoreUsage } from './blob-store.ts'
import { BlobVerifier, mustBeInside } from './verify.ts'

export interface MemoryStoreOptions {
  /** What the pretended disk can hold. */
  readonly capacityBytes: number
  readonly reserveBytes: number
}

export class MemoryStore implements BlobStore {
  readonly #options: MemoryStoreOptions
  /** There was no room for a blob of this size. */
  #refusedBytes = 0
  readonly #held = new Map<string, Uint8Array>()
  readonly #owedBytes = new Map<BlobDraft, number>()
  /** What quarantine() took out, for tests to look at. */
  readonly quarantined = new Map<string, Uint8Array>()

  constructor(options: MemoryStoreOptions) {
    this.#options = options
  }

  sizeBytes(blobId: string): number | null {
    return this.#held.get(blobId)?.length ?? null
  }

  async create(blobId: string, sizeBytes: number): Promise<BlobDraft> {
    let owedBytes = sizeBytes
    for (const bytes of this.#owedBytes.values()) owedBytes += bytes
    if (this.#freeBytes() - owedBytes < this.#options.reserveBytes) {
      this.#refusedBytes = sizeBytes
      throw new HoldfastError('STORAGE_FULL', 'no room above the reserve: read-only now')
    }
    const draft = memoryDraft(blobId, sizeBytes, {
      publish: (bytes) => {
        if (!this.#held.has(blobId)) this.#held.set(blobId, bytes)
      },
      released: () => this.#owedBytes.delete(draft),
    })
    this.#owedBytes.set(draft, sizeBytes)
    return draft
  }

  async open(blobId: string): Promise<BlobReader> {
    const bytes = this.#held.get(blobId)
    if (!bytes) throw notHeld(blobId)
    return {
      blobId,
      sizeBytes: bytes.length,
      async read(offset, lengthBytes) {
        mustBeInside(bytes.length, offset, lengthBytes)
        return bytes.slice(offset, offset + lengthBytes)
      },
      close: async () => {},
    }
  }

  *list(): Iterable<BlobEntry> {
    for (const [blobId, bytes] of this.#held) yield { blobId, sizeBytes: bytes.length }
  }

  async usage(): Promise<StoreUsage> {
    const freeBytes = this.#freeBytes()
    return {
      usedBytes: this.#usedBytes(),
      freeBytes,
      blobs: this.#held.size,
      readOnly: freeBytes - this.#options.reserveBytes < this.#refusedBytes,
    }
  }

  async quarantine(blobId: string): Promise<void> {
    const bytes = this.#held.get(blobId)
    if (!bytes) throw notHeld(blobId)
    this.quarantined.set(blobId, bytes)
    this.#held.delete(blobId)
  }

  /** Flips one bit of a held blob, as a decaying disk does. For tests. */
  decay(blobId: string, offset: number): void {
    const bytes = this.#held.get(blobId)
    if (!bytes) throw notHeld(blobId)
    bytes[offset] = (bytes[offset] ?? 0) ^ 1
  }

  #usedBytes(): number {
    let sum = 0
    for (const bytes of this.#held.values()) sum += bytes.length
    return sum
  }

  #freeBytes(): number {
    return Math.max(0, this.#options.capacityBytes - this.#usedBytes())
  }
}

function memoryDraft(
  blobId: string,
  sizeBytes: number,
  { publish, released }: { publish: (bytes: Uint8Array) => void; released: () => void },
): BlobDraft {
  const verifier = new BlobVerifier(blobId, sizeBytes)
  const whole = new Uint8Array(sizeBytes)
  let writtenBytes = 0
  let state: 'open' | 'failed' | 'closed' = 'open'
  const mustBeOpen = (): void => {
    if (state !== 'open') throw new HoldfastError('CANCELLED', 'the blob is no longer taken in')
  }
  return {
    blobId,
    sizeBytes,
    async append(pieces) {
      mustBeOpen()
      try {
        verifier.update(pieces)
      } catch (error) {
        state = 'failed'
        throw error
      }
      for (const piece of pieces) {
        whole.set(piece, writtenBytes)
        writtenBytes += piece.length
      }
    },
    async read(offset, lengthBytes) {
      if (state === 'closed') mustBeOpen()
      return whole.slice(offset, offset + lengthBytes)
    },
    async commit() {
      mustBeOpen()
      state = 'failed' // after a commit, good or not, only read() and close() are left
      const index = verifier.finish()
      publish(whole)
      return { index }
    },
    async close() {
      state = 'closed'
      released()
    },
  }
}

const notHeld = (blobId: string): HoldfastError =>
  new HoldfastError('NOT_FOUND', `blob ${blobId} is not on this server`)
