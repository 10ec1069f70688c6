// src/chunk/tree.ts — how is a folder written down?
//
// One entry per name, sorted by the bytes of the name. A folder is one node, or, when it is large,
// a list of nodes with an index node above them; a file's long chunk list likewise (chunk-list.ts).
//
//   folder     [1, [entry, …]]            index of a folder      [2, [id, …]]
//   entry      {0: name, 1: type, …}      see entry.ts
import { CborWriter } from './cbor.ts'
import { type ChunkRef, readChunkList } from './chunk-list.ts'
import { edgesOf, readEntry, type TreeEntry, writeEntry } from './entry.ts'
import {
  type EmitNode,
  indexOver,
  type LoadNode,
  NODE_EDGES_MAX,
  NODE_SIZE_BYTES_MAX,
  readNodes,
} from './nodes.ts'

const ENTRIES = 1
const INDEX = 2
/** Array head, kind and inner head. */
const HEAD_BYTES = 16

/** Writes one folder, entry after entry in byte order of the names. Holds one node, and 32 bytes
 * for each node that is full: a million entries cost some 3 MB. */
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

  /** Throws RangeError when the name is no name, or not above the one before. */
  add(entry: TreeEntry): void {
    if (this.#last && Buffer.compare(this.#last, entry.name) >= 0) {
      throw new RangeError('entries must come in the order of their names')
    }
    this.#last = entry.name
    const writer = new CborWriter()
    writeEntry(writer, entry)
    const bytes = writer.take()
    const fresh = edgesOf(entry).filter((id) => !this.#edges.has(id))
    const sizeBytes = HEAD_BYTES + this.#entries.length + bytes.length
    const isFull =
      sizeBytes > NODE_SIZE_BYTES_MAX || this.#edges.size + fresh.length > NODE_EDGES_MAX
    if (isFull && this.#count > 0) this.#flush()
    this.#entries.raw(bytes)
    this.#count += 1
    for (const id of edgesOf(entry)) this.#edges.add(id)
  }

  /** The id of the folder's root node. */
  finish(): string {
    if (this.#nodes.length === 0) {
      this.#flush()
      return this.#nodes[0] as string
    }
    if (this.#count > 0) this.#flush()
    return indexOver(this.#nodes, INDEX, this.#emit)
  }

  #flush(): void {
    const node = new CborWriter()
    node.array(2)
    node.int(ENTRIES)
    node.array(this.#count)
    node.raw(this.#entries.take())
    this.#nodes.push(this.#emit(node.take(), [...this.#edges]))
    this.#entries.clear()
    this.#count = 0
    this.#edges = new Set()
  }
}

/** The entries of a folder in order. Throws CORRUPT when a node is not what a writer makes:
 * whatever comes out has a harmless name and its place in the order. */
export async function* readTree(load: LoadNode, root: string): AsyncGenerator<TreeEntry> {
  let last: Uint8Array | null = null
  for await (const node of readNodes(load, root, { leaf: ENTRIES, index: INDEX })) {
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

/** The chunks of a file in order, wherever they are listed. */
export async function* readContent(load: LoadNode, entry: TreeEntry): AsyncGenerator<ChunkRef> {
  if (entry.list !== null) yield* readChunkList(load, entry.list)
  else yield* entry.chunks
}
