// src/client/backup/blob-packer.ts — which chunks travel in which blob?
import { BLOB_TARGET_BYTES, BlobBuilder, blobBytesOf, type SealedChunk } from '../../chunk/index.ts'
import type { Blob } from './blob-sender.ts'

/** With the length of its plaintext, for the summary. */
export type PackedChunk = SealedChunk & { readonly plainBytes: number }

export interface PackedBlob extends Blob {
  readonly chunks: readonly { readonly id: string; readonly plainBytes: number }[]
}

interface Group {
  chunks: PackedChunk[]
  bytes: number
  /** When its first chunk came. */
  sinceMs: number
}

// The manager commits a blob in one transaction: it should not take long.
const CHUNKS_MAX = 4096

/** Fills one blob with file data and one with trees, so that a tree is read in few requests. */
export class BlobPacker {
  readonly #repositoryId: string
  #data: Group = emptyGroup()
  #tree: Group = emptyGroup()

  constructor(repositoryId: string) {
    this.#repositoryId = repositoryId
  }

  /** The blob that this chunk filled, if it did. */
  add(chunk: PackedChunk, nowMs: number): PackedBlob | null {
    const group = chunk.kind === 'data' ? this.#data : this.#tree
    if (group.chunks.length === 0) group.sinceMs = nowMs
    group.chunks.push(chunk)
    group.bytes += blobBytesOf(chunk)
    if (group.bytes < BLOB_TARGET_BYTES && group.chunks.length < CHUNKS_MAX) return null
    if (group === this.#data) this.#data = emptyGroup()
    else this.#tree = emptyGroup()
    return this.#build(group.chunks)
  }

  /** What is left (of what came before `sinceMs`), in one blob if it fits: a small backup is one
   * blob. */
  flush(sinceMs = Number.POSITIVE_INFINITY): PackedBlob[] {
    const [data, tree] = [this.#data, this.#tree]
    const due = [data, tree].filter((group) => group.chunks.length > 0 && group.sinceMs <= sinceMs)
    if (due.includes(data)) this.#data = emptyGroup()
    if (due.includes(tree)) this.#tree = emptyGroup()
    const chunks = due.reduce((sum, group) => sum + group.chunks.length, 0)
    const bytes = due.reduce((sum, group) => sum + group.bytes, 0)
    if (due.length === 2 && bytes <= BLOB_TARGET_BYTES && chunks <= CHUNKS_MAX) {
      return [this.#build([...data.chunks, ...tree.chunks])]
    }
    return due.map((group) => this.#build(group.chunks))
  }

  get isEmpty(): boolean {
    return this.#data.chunks.length === 0 && this.#tree.chunks.length === 0
  }

  #build(chunks: readonly PackedChunk[]): PackedBlob {
    const builder = new BlobBuilder(this.#repositoryId)
    for (const { plainBytes, ...chunk } of chunks) builder.add(chunk)
    const { blobId, bytes } = builder.finish()
    return { blobId, bytes, chunks: chunks.map(({ id, plainBytes }) => ({ id, plainBytes })) }
  }
}

const emptyGroup = (): Group => ({ chunks: [], bytes: 0, sinceMs: 0 })
