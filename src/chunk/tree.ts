// src/chunk/tree.ts — how is a folder written down?
//
// One entry per name, sorted by the bytes of the name. A folder is one node, or, when it is large,
// a list of nodes with an index node above them; a file's long chunk list likewise (chunk-list.ts).
//
//   folder     [1, [entry, …]]            index of a folder      [2, [id, …]]
//   entry      {0: name, 1: type, …}      see entry.ts
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../errors.ts'
import { CborWriter } from './cbor.ts'
import { type ChunkRef, readChunkList } from './chunk-list.ts'
import { edgesOf, readEntry, type TreeEntry, writeEntry } from './entry.ts'
import {
  type EmitNode,
  encodeNode,
  indexOver,
  isCutAfter,
  type LoadNode,
  NODE_EDGES_MAX,
  NODE_HEAD_BYTES,
  NODE_KIND,
  NODE_SIZE_BYTES_MAX,
  readNodes,
} from './nodes.ts'

const KINDS = { leaf: NODE_KIND.folder, index: NODE_KIND.folderIndex }

/** Writes one folder, entry after entry in byte order of the names. Holds one node, and the id of
 * each node that is full: a million entries have less than 2,000 nodes. */
export class TreeWriter {
  readonly #emit: EmitNode
  readonly #entries = new CborWriter()
  #count = 0
  #edges = new Set<string>()
  #nodes: string[] = []
  #last: Uint8Array | null = null

  constructor(emit: EmitNode) {
    this.#emit = emit
  }

  /** Throws RangeError, and adds nothing, for an entry that no reader would take and for a name
   * that is not above the one before. */
  add(entry: TreeEntry): void {
    if (this.#last && Buffer.compare(this.#last, entry.name) >= 0) {
      throw new RangeError('entries must come in the order of their names')
    }
    const start = this.#entries.length
    writeEntry(this.#entries, entry)
    this.#last = entry.name
    const edges = edgesOf(entry)
    const isTooMuch =
      NODE_HEAD_BYTES + this.#entries.length > NODE_SIZE_BYTES_MAX ||
      this.#edges.size + edges.length > NODE_EDGES_MAX
    if (isTooMuch && this.#count > 0) {
      const bytes = this.#entries.take(start)
      this.#entries.truncate(start)
      this.#flush()
      this.#entries.raw(bytes)
    }
    this.#count += 1
    for (const id of edges) this.#edges.add(id)
    if (isCutAfter(this.#count, crc32(entry.name))) this.#flush()
  }

  /** The id of the folder's root node. */
  finish(): string {
    if (this.#count > 0 || this.#nodes.length === 0) this.#flush()
    return indexOver(this.#nodes, NODE_KIND.folderIndex, this.#emit)
  }

  #flush(): void {
    const node = encodeNode(NODE_KIND.folder, this.#count, this.#entries.view())
    this.#nodes.push(this.#emit(node, [...this.#edges]))
    this.#entries.truncate(0)
    this.#count = 0
    this.#edges = new Set()
  }
}

/** The entries of a folder in order. Throws CORRUPT when a node is not what a writer makes:
 * whatever comes out has a harmless name and its place in the order. */
export async function* readTree(load: LoadNode, root: string): AsyncGenerator<TreeEntry> {
  let last: Uint8Array | null = null
  for await (const node of readNodes(load, root, KINDS)) {
    const { reader, count } = node
    for (let i = 0; i < count; i += 1) {
      const entry = readEntry(reader)
      if (last && Buffer.compare(last, entry.name) >= 0) reader.fail('names are not in order')
      last = entry.name
      yield entry
    }
    reader.end()
  }
}

/** The chunks of a file in order, wherever they are listed. CORRUPT when a node is not what a
 * writer makes, and when the chunks do not make up the file. */
export async function* readContent(load: LoadNode, entry: TreeEntry): AsyncGenerator<ChunkRef> {
  if (entry.list === null) {
    yield* entry.chunks
    return
  }
  let left = entry.holes.reduce((bytes, hole) => bytes - hole.length, entry.size)
  for await (const ref of readChunkList(load, entry.list)) {
    left -= ref.length
    if (left < 0) break
    yield ref
  }
  if (left === 0) return
  const problem = 'its chunks do not make up the size of the file'
  throw new HoldfastError('CORRUPT', `chunk list ${entry.list}: ${problem}`)
}
