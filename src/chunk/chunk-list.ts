// src/chunk/chunk-list.ts — how does a file of any size name its chunks?
//
//   list    [3, [[id, length], …]]        index of lists    [4, [id, …]]
//
// Lengths are those of the plaintext, so that a reader knows where each chunk belongs without
// fetching those before it. Few chunks stand in the entry itself.
import { CborWriter } from './cbor.ts'
import { type EmitNode, indexOver, type LoadNode, NODE_EDGES_MAX, readNodes } from './nodes.ts'
import { PLAINTEXT_BYTES_MAX } from './seal.ts'

export interface ChunkRef {
  readonly id: string
  /** Of the plaintext, bytes. */
  readonly length: number
}

/** So many chunks stand in the entry; with more the entry names a list. */
export const CHUNKS_INLINE_MAX = 16
const LIST = 3
const LIST_INDEX = 4
const ID_BYTES = 32

/** Either the chunks themselves, or the id of their list. */
export type ChunkNames =
  | { readonly chunks: readonly ChunkRef[]; readonly list: null }
  | { readonly chunks: readonly []; readonly list: string }

/** Takes a file's chunks in order. Holds at most one node's worth, and 32 bytes per full node. */
export class ChunkListWriter {
  readonly #emit: EmitNode
  #refs: ChunkRef[] = []
  #nodes: string[] = []

  constructor(emit: EmitNode) {
    this.#emit = emit
  }

  add(ref: ChunkRef): void {
    if (this.#refs.length === NODE_EDGES_MAX) this.#flush()
    this.#refs.push(ref)
  }

  finish(): ChunkNames {
    if (this.#nodes.length === 0 && this.#refs.length <= CHUNKS_INLINE_MAX) {
      return { chunks: this.#refs, list: null }
    }
    if (this.#refs.length > 0) this.#flush()
    return { chunks: [], list: indexOver(this.#nodes, LIST_INDEX, this.#emit) }
  }

  #flush(): void {
    const node = new CborWriter()
    node.array(2)
    node.int(LIST)
    node.array(this.#refs.length)
    for (const { id, length } of this.#refs) {
      node.array(2)
      node.hex(id)
      node.int(length)
    }
    const edges = new Set(this.#refs.map((ref) => ref.id))
    this.#nodes.push(this.#emit(node.take(), [...edges]))
    this.#refs = []
  }
}

/** The chunks of a list in order. Throws CORRUPT. */
export async function* readChunkList(load: LoadNode, root: string): AsyncGenerator<ChunkRef> {
  for await (const { reader, count } of readNodes(load, root, { leaf: LIST, index: LIST_INDEX })) {
    for (let i = 0; i < count; i += 1) {
      reader.array(2, 2, 'chunk')
      const id = reader.hex(ID_BYTES, 'chunk id')
      yield { id, length: reader.uint(PLAINTEXT_BYTES_MAX, 'chunk length') }
    }
    reader.end()
  }
}
