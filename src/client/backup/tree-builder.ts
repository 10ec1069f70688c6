// src/client/backup/tree-builder.ts — how do entries become the nodes of a tree?
import {
  ChunkListWriter,
  type ChunkNames,
  type ChunkRef,
  chunkId,
  type EmitNode,
  type EntryType,
  type RepositoryKeys,
  type TreeEntry,
  TreeWriter,
} from '../../chunk/index.ts'
import type { StoredEntry } from '../remote/stored-tree.ts'
import type { SourceStat } from '../source/files.ts'
import type { ChunkSink } from './chunk-sink.ts'
import type { Content } from './content-reader.ts'
import type { EntryHead } from './entry-head.ts'
import type { Hole } from './file-reader.ts'

/** How an entry refers to a file's content. */
export type StoredContent = ChunkNames & { readonly size: number; readonly holes: readonly Hole[] }

/** Takes a file's chunks as they are found. */
export interface ContentBuilder {
  add(ref: ChunkRef): void
  finish(sizeBytes: number, holes: readonly Hole[]): StoredContent
}

interface OpenFolder {
  /** Null: the root, which has no name. */
  readonly head: EntryHead | null
  readonly writer: TreeWriter
}

/** Nodes go to the sink as soon as they are full. Holds one node for each folder on the current
 * path. Entries of a folder come in byte order of their names. */
export class TreeBuilder {
  readonly #emit: EmitNode
  readonly #open: OpenFolder[]

  constructor(keys: RepositoryKeys, sink: ChunkSink) {
    this.#emit = (plaintext, edges) => {
      const id = chunkId(keys, plaintext, 'tree')
      sink.offer({ id, kind: 'tree', plaintext, edges })
      return id
    }
    this.#open = [{ head: null, writer: new TreeWriter(this.#emit) }]
  }

  openFolder(head: EntryHead): void {
    this.#open.push({ head, writer: new TreeWriter(this.#emit) })
  }

  closeFolder(): void {
    const { head, writer } = this.#open.pop()!
    if (head === null) throw new Error('a folder was closed that is not open')
    this.#add(head, 'dir', { subtree: writer.finish() })
  }

  addFile(head: EntryHead, { stored }: Content): void {
    this.#add(head, 'file', stored)
  }

  addOther(head: EntryHead, type: Exclude<EntryType, 'dir'>, target: Buffer | null): void {
    const isDevice = type === 'chardev' || type === 'blockdev'
    this.#add(head, type, { target, device: isDevice ? head.device : null })
  }

  newContent(): ContentBuilder {
    const list = new ChunkListWriter(this.#emit)
    return {
      add: (ref) => list.add(ref),
      finish: (size, holes) => ({ ...list.finish(), size, holes }),
    }
  }

  /** The content of an entry that is taken over from the parent. */
  contentOf(known: StoredEntry, stat: SourceStat): Content {
    const { size, holes, chunks, list } = known
    const names = list === null ? { chunks, list } : { chunks: [] as const, list }
    return { stat, sizeBytes: size, changed: false, stored: { ...names, size, holes } }
  }

  /** The id of the root node. */
  finish(): string {
    if (this.#open.length !== 1) throw new Error('a folder is still open')
    return this.#open[0]!.writer.finish()
  }

  #add(head: EntryHead, type: EntryType, own: Partial<TreeEntry>): void {
    this.#open.at(-1)!.writer.add({ ...NOTHING, ...head, device: null, type, ...own })
  }
}

const NOTHING = {
  size: 0,
  target: null,
  holes: [],
  chunks: [],
  list: null,
  subtree: null,
  xattrs: [],
} as const
