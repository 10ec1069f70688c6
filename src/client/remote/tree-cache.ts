// src/client/remote/tree-cache.ts — how are the nodes of a stored tree read without a round trip each?
import { HoldfastError } from '../../errors.ts'
import type { ChunkReader } from './chunk-reader.ts'
import type { Context } from './context.ts'
import { ReadAhead } from './read-ahead.ts'

/**
 * Tree nodes by id: asked for one by one, fetched in batches. Whoever walks a whole tree says so with
 * `readAhead`; whoever wants some nodes soon, with `prefetch`. Holds `limits.treeCacheBytes` of nodes,
 * half of them read ahead; oldest out first.
 */
export class TreeCache {
  readonly #context: Context
  readonly #reader: ChunkReader
  readonly #nodes = new Map<string, Promise<Uint8Array>>()
  readonly #sizes = new Map<string, number>()
  #pending = new Map<string, PromiseWithResolvers<Uint8Array>>()
  #bytes = 0
  #ahead: ReadAhead | null = null

  constructor(context: Context, reader: ChunkReader) {
    this.#context = context
    this.#reader = reader
  }

  /** The plaintext of one node. Rejects as ChunkReader.load does. */
  load(id: string): Promise<Uint8Array> {
    const known = this.#nodes.get(id)
    const ahead = this.#ahead?.take(id) ?? null
    if (known) return known
    const loading = ahead ?? this.#fetch(id)
    this.#nodes.set(id, loading)
    loading.then(
      (node) => this.#account(id, node.length),
      () => this.#nodes.delete(id), // The next one may try again.
    )
    return loading
  }

  /** All nodes from this one down are about to be loaded, one after the other, in the order of the
   * tree; some may be left out. */
  readAhead(root: string): void {
    this.#ahead = new ReadAhead(root, {
      bytesMax: this.#context.limits.treeCacheBytes / 2,
      load: (id) => this.#nodes.get(id) ?? this.#fetch(id),
      defer: (run) => this.#context.clock.defer(run),
    })
  }

  #fetch(id: string): Promise<Uint8Array> {
    const waiting = this.#pending.get(id)
    if (waiting) return waiting.promise
    if (this.#pending.size === 0) this.#context.clock.defer(() => void this.#flush())
    const pending = Promise.withResolvers<Uint8Array>()
    this.#pending.set(id, pending)
    return pending.promise
  }

  prefetch(ids: Iterable<string>): void {
    if (this.#ahead !== null) return
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
    const { treeCacheBytes } = this.#context.limits
    const bytesMax = this.#ahead === null ? treeCacheBytes : treeCacheBytes / 2
    for (const [oldest, bytes] of this.#sizes) {
      if (this.#bytes <= bytesMax) return
      this.#sizes.delete(oldest)
      this.#nodes.delete(oldest)
      this.#bytes -= bytes
    }
  }
}
