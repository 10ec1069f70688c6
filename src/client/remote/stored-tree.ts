// src/client/remote/stored-tree.ts — what is in a snapshot that is already stored?
import {
  type ChunkRef,
  decodeSnapshot,
  readContent,
  readTree,
  type SnapshotRecord,
  type TreeEntry,
} from '../../chunk/index.ts'
import { keptBytes } from '../path.ts'
import type { TreeCache } from './tree-cache.ts'

/** An entry whose bytes are Buffers of their own. */
export interface StoredEntry extends TreeEntry {
  readonly name: Buffer
  readonly user: Buffer
  readonly group: Buffer
  readonly target: Buffer | null
}

/** Entries looked at ahead, so that the nodes of subfolders are on their way when they are needed. */
const AHEAD = 256

export class StoredTree {
  readonly #cache: TreeCache

  constructor(cache: TreeCache) {
    this.#cache = cache
  }

  readonly #load = (id: string): Promise<Uint8Array> => this.#cache.load(id)

  /** Rejects with NOT_FOUND or CORRUPT. */
  async snapshot(id: string): Promise<SnapshotRecord> {
    return decodeSnapshot(await this.#load(id))
  }

  prefetch(ids: Iterable<string>): void {
    this.#cache.prefetch(ids)
  }

  /** A walk through all of it, in the order of the tree, is about to begin. */
  readAhead(root: string): void {
    this.#cache.readAhead(root)
  }

  /** The entries of one folder, in byte order of the names. */
  async *entries(node: string): AsyncGenerator<StoredEntry> {
    let ahead: StoredEntry[] = []
    let last: StoredEntry | undefined
    for await (const entry of readTree(this.#load, node)) {
      last = owned(entry, last)
      ahead.push(last)
      if (ahead.length < AHEAD) continue
      yield* this.#announced(ahead)
      ahead = []
    }
    yield* this.#announced(ahead)
  }

  *#announced(entries: StoredEntry[]): Generator<StoredEntry> {
    this.prefetch(entries.flatMap((entry) => entry.subtree ?? []))
    yield* entries
  }

  /** A file's chunks, in order. */
  content(entry: TreeEntry): AsyncGenerator<ChunkRef> {
    return readContent(this.#load, entry)
  }

  /** All ids that a file's content depends on: its chunks, and the nodes that list them. */
  async *contentIds(entry: TreeEntry): AsyncGenerator<string> {
    const nodes: string[] = []
    const load = (id: string): Promise<Uint8Array> => {
      nodes.push(id)
      return this.#load(id)
    }
    for await (const { id } of readContent(load, entry)) {
      yield* nodes.splice(0)
      yield id
    }
    yield* nodes
  }
}

/** The reader hands out views of a node; an entry outlives it. */
function owned(entry: TreeEntry, before: StoredEntry | undefined): StoredEntry {
  return {
    ...entry,
    name: keptBytes(entry.name),
    user: sameOr(before?.user, entry.user),
    group: sameOr(before?.group, entry.group),
    target: entry.target && keptBytes(entry.target),
  }
}

/** Neighbours mostly have one owner. */
const sameOr = (before: Buffer | undefined, bytes: Uint8Array): Buffer =>
  before?.equals(bytes) ? before : keptBytes(bytes)
