// src/server/trailer-cache.ts — what do the trailers of our blobs say, without reading them again?
import {
  decodeIndexSummary,
  INDEX_TAIL_BYTES,
  type IndexSummary,
  indexLength,
} from '../chunk/index.ts'
import { isHoldfastError } from '../errors.ts'
import type { BlobReader, BlobStore } from './store/blob-store.ts'

/** About 400 bytes each: a CRC-32 for every 64 KiB of a blob of 4 MiB. Readers come back for many
 * chunks of one blob, so even a small cache catches nearly all. */
const SUMMARIES_MAX = 1024
/** Mostly the whole trailer, in one read. */
const GUESS_BYTES = 16 * 1024

export class TrailerCache {
  readonly #store: BlobStore
  readonly #summaries = new Map<string, IndexSummary>() // the oldest first

  constructor(store: BlobStore) {
    this.#store = store
  }

  /** What ranges of this blob are checked with; null when the trailer itself is damaged. Rejects
   * with STORAGE_FAILED. */
  async summary(reader: BlobReader): Promise<IndexSummary | null> {
    const known = this.#summaries.get(reader.blobId)
    if (known) return known
    try {
      const summary = decodeIndexSummary(await readTrailer(reader), reader.sizeBytes)
      if (this.#summaries.size >= SUMMARIES_MAX) {
        const [oldest] = this.#summaries.keys()
        if (oldest !== undefined) this.#summaries.delete(oldest)
      }
      this.#summaries.set(reader.blobId, summary)
      return summary
    } catch (error) {
      if (isHoldfastError(error, 'CORRUPT')) return null
      throw error
    }
  }

  /** The trailer's bytes, checked. Rejects with NOT_FOUND, CORRUPT, STORAGE_FAILED. */
  async read(blobId: string): Promise<Uint8Array> {
    const reader = await this.#store.open(blobId)
    try {
      const trailer = await readTrailer(reader)
      decodeIndexSummary(trailer, reader.sizeBytes)
      return trailer
    } finally {
      await reader.close()
    }
  }
}

async function readTrailer(reader: BlobReader): Promise<Uint8Array> {
  const { sizeBytes } = reader
  const guessBytes = Math.min(sizeBytes, GUESS_BYTES)
  const end = await reader.read(sizeBytes - guessBytes, guessBytes)
  const lengthBytes = indexLength(end.subarray(end.length - INDEX_TAIL_BYTES), sizeBytes)
  if (lengthBytes <= guessBytes) return end.subarray(guessBytes - lengthBytes)
  return reader.read(sizeBytes - lengthBytes, lengthBytes)
}
