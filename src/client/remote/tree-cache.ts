// src/client/remote/tree-cache.ts — how are the nodes of a stored tree read without a round trip each?
import { HoldfastError } from '../../errors.ts'
import type { ChunkReader } from './chunk-reader.ts'
import type { Context } from './context.ts'

/**
 * Tree nodes by id: asked for one by one, fetched in batches. Whoever reads a folder tells the
 * nodes of its subfolders with `prefetch`, so that they come while the folder is dealt with.
 * Holds `limits.treeCacheBytes` of nodes, oldest out first.
 */
export class TreeCache {
  readonly #context: Context
  readonly #reader: ChunkReader
  readonly #nodes = new Map<string, Promise<Uint8Array>>()
  readonly #sizes = new Map<string, number>()
  #pending: Map<string, { resolve: (node: Uint8Array) => void; reject: (e: Error) => void }> =
    new Map()
  #bytes = 0

  constructor(context: Context, reader: ChunkReader) {
    this.#context = context
    this.#reader = reader
  }

  /** The plaintext of one node. Rejects as ChunkReader.load does. */
  load(id: string): Promise<Uint8Array> {
    const known = this.#nodes.get(id)
    if (known) return known
    const loading = new Promise<Uint8Array>((resolve, reject) => {
      if (this.#pending.size === 0) this.#context.clock.defer(() => void this.#flush())
      this.#pending.set(id, { resolve, reject })
    })
    this.#nodes.set(id, loading)
    loading.then(
      (node) => this.#account(id, node.length),
      () => this.#nodes.delete(id), // The next one may try again.
    )
    return loading
  }

  prefetch(ids: Iterable<string>): void {
    for (const id of ids) {
      // Half the cache: the rest is for what is in use.
      if (this.#bytes > this.#context.limits.treeCacheBytes / 2 || this.#pending.size >= 512) return
      this.load(id).catch(() => undefined) // Whoever needs the node sees the error.
    }
  }

  async #flush(): Promise<void> {
    const pending = this.#pending
    this.#pending = new Map()
    try {
      await this.#reader.read(
        'tree',
        pending.keys(),
        (id, node) => pending.get(id)!.resolve(node),
        (id, error) => pending.get(id)!.reject(error),
      )
    } catch (cause) {
      const error =
        cause instanceof Error ? cause : new HoldfastError('INTERNAL', String(cause), { cause })
      for (const { reject } of pending.values()) reject(error)
    }
  }

  #account(id: string, sizeBytes: number): void {
    this.#sizes.set(id, sizeBytes)
    this.#bytes += sizeBytes
    for (const [oldest, bytes] of this.#sizes) {
      if (this.#bytes <= this.#context.limits.treeCacheBytes) return
      this.#sizes.delete(oldest)
      this.#nodes.delete(oldest)
      this.#bytes -= bytes
    }
  }
}
