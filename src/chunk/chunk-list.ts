// src/chunk/chunk-list.ts — how does a file of any size name its chunks?
//
//   list    [3, [[id, length], …]]        index of lists    [4, [id, …]]
//
// Lengths are those of the plaintext, so that a reader knows where each chunk belongs without
// fetching those before it. Few chunks stand in the entry itself.
import { CborWriter } from './cbor.ts'
import {
  type EmitNode,
  encodeNode,
  hashOfId,
  indexOver,
  isCutAfter,
  type LoadNode,
  NODE_EDGES_MAX,
  NODE_KIND,
  readNodes,
} from './nodes.ts'
import { PLAINTEXT_BYTES_MAX } from './seal.ts'

export interface ChunkRef {
  readonly id: string
  /** Of the plaintext, bytes. */
  readonly length: number
}

/** So many chunks stand in the entry; with more the entry names a list. */
export const CHUNKS_INLINE_MAX = 16
const KINDS = { leaf: NODE_KIND.chunkList, index: NODE_KIND.chunkListIndex }
const ID_BYTES = 32
/** Array head, id with its head, length. */
const REF_BYTES_MAX = 1 + 2 + ID_BYTES + 5

/** Either the chunks themselves, or the id of their list. */
export type ChunkNames =
  | { readonly chunks: readonly ChunkRef[]; readonly list: null }
  | { readonly chunks: readonly []; readonly list: string }

/** Takes a file's chunks in order. Holds one node's worth, and the id of each node that is full. */
export class ChunkListWriter {
  readonly #emit: EmitNode
  #refs: ChunkRef[] = []
  #nodes: string[] = []

  constructor(emit: EmitNode) {
    this.#emit = emit
  }

  /** Throws RangeError for a length that no chunk has. */
  add(ref: ChunkRef): void {
    const { id, length } = ref
    if (!Number.isSafeInteger(length) || length < 1 || length > PLAINTEXT_BYTES_MAX) {
      throw new RangeError(`a chunk of ${length} bytes`)
    }
    this.#refs.push(ref)
    const items = this.#refs.length
    if (items === NODE_EDGES_MAX || isCutAfter(items, hashOfId(id))) this.#flush()
  }

  finish(): ChunkNames {
    if (this.#nodes.length === 0 && this.#refs.length <= CHUNKS_INLINE_MAX) {
      return { chunks: this.#refs, list: null }
    }
    if (this.#refs.length > 0) this.#flush()
    return { chunks: [], list: indexOver(this.#nodes, NODE_KIND.chunkListIndex, this.#emit) }
  }

  #flush(): void {
    const items = new CborWriter(this.#refs.length * REF_BYTES_MAX)
    for (const { id, length } of this.#refs) {
      items.array(2)
      items.hex(id)
      items.int(length)
    }
    const node = encodeNode(NODE_KIND.chunkList, this.#refs.length, items.view())
    const edges = new Set(this.#refs.map((ref) => ref.id))
    this.#nodes.push(this.#emit(node, [...edges]))
    this.#refs = []
  }
}

/** The chunks of a list in order. Throws CORRUPT. */
export async function* readChunkList(load: LoadNode, root: string): AsyncGenerator<ChunkRef> {
  for await (const { reader, count } of readNodes(load, root, KINDS)) {
    for (let i = 0; i < count; i += 1) {
      reader.array(2, 2, 'chunk')
      const id = reader.hex(ID_BYTES, 'chunk id')
      const length = reader.uint(PLAINTEXT_BYTES_MAX, 'chunk length')
      if (length === 0) reader.fail('a chunk without bytes')
      yield { id, length }
    }
    reader.end()
  }
}
