// src/chunk/nodes.ts — how are lists too long for one node cut into several, and read again?
//
// Where a list is cut depends on its items, as the cuts of a file depend on its bytes: an item more
// or less changes the node that it is in, and the index above, and no other node.
import { CborReader, CborWriter } from './cbor.ts'

export const NODE_SIZE_BYTES_MAX = 2 ** 20
export const NODE_EDGES_MAX = 4096
/** No cut before so many items: what is shorter is one node. */
const NODE_ITEMS_MIN = 512
/** After that one item in 1,024 ends its node. */
const CUT_MASK = 1023
/** Index nodes above each other: 512⁴ nodes are enough for any list. */
const INDEX_DEPTH_MAX = 4
const ID_BYTES = 32
/** Array head, kind and inner head. */
export const NODE_HEAD_BYTES = 16

/** The first field of every node. */
export const NODE_KIND = { folder: 1, folderIndex: 2, chunkList: 3, chunkListIndex: 4 } as const

/** Stores one node as a chunk of kind tree and returns its id. */
export type EmitNode = (plaintext: Uint8Array, edges: readonly string[]) => string
/** The plaintext of a node, verified against its id. */
export type LoadNode = (id: string) => Promise<Uint8Array>

/** Whether a node of `items` items ends with the item of that hash (uniform, at least 10 bits). */
export const isCutAfter = (items: number, hash: number): boolean =>
  items >= NODE_ITEMS_MIN && (hash & CUT_MASK) === 0

/** An id is a hash already. */
export const hashOfId = (id: string): number => Number.parseInt(id.slice(0, 4), 16)

/** A node of that kind around items that are encoded already. */
export function encodeNode(kind: number, count: number, items: Uint8Array): Buffer {
  const node = new CborWriter(NODE_HEAD_BYTES + items.length)
  node.array(2)
  node.int(kind)
  node.array(count)
  node.raw(items)
  return node.take()
}

/** Index nodes over a list of nodes until one is left. */
export function indexOver(nodes: readonly string[], kind: number, emit: EmitNode): string {
  let level = nodes
  while (level.length > 1) {
    const above: string[] = []
    let ids: string[] = []
    const flush = (): void => {
      const items = new CborWriter(ids.length * (ID_BYTES + 2))
      for (const id of ids) items.hex(id)
      above.push(emit(encodeNode(kind, ids.length, items.view()), [...new Set(ids)]))
      ids = []
    }
    for (const id of level) {
      ids.push(id)
      if (ids.length === NODE_EDGES_MAX || isCutAfter(ids.length, hashOfId(id))) flush()
    }
    if (ids.length > 0) flush()
    level = above
  }
  return level[0] as string
}

/** What a node is, whatever it is, and for an index the nodes below it; for others the reader stands
 * before the items. Throws CORRUPT. */
export function nodeKindOf(
  id: string,
  plaintext: Uint8Array,
): { kind: 'folder' | 'chunk-list' | 'index'; below: string[]; reader: CborReader } {
  const { reader, kind } = openNode(id, plaintext)
  if (kind === NODE_KIND.folder) return { kind: 'folder', below: [], reader }
  if (kind === NODE_KIND.chunkList) return { kind: 'chunk-list', below: [], reader }
  if (kind !== NODE_KIND.folderIndex && kind !== NODE_KIND.chunkListIndex) {
    return reader.fail(`unknown kind of node ${kind}`)
  }
  return { kind: 'index', below: readIndex(reader), reader }
}

/** The leaf nodes below `id`, each with its items still to be read. A leaf below an index has items,
 * so a reader that bounds the items bounds the nodes. */
export async function* readNodes(
  load: LoadNode,
  id: string,
  kinds: { leaf: number; index: number },
  depth = 0,
): AsyncGenerator<{ reader: CborReader; count: number }> {
  const plaintext = await load(id)
  const { reader, kind } = openNode(id, plaintext)
  if (kind === kinds.leaf) {
    yield { reader, count: reader.array(depth === 0 ? 0 : 1, plaintext.length, 'items') }
    return
  }
  if (kind !== kinds.index) reader.fail(`a node of kind ${kind} where ${kinds.leaf} belongs`)
  if (depth >= INDEX_DEPTH_MAX) reader.fail('nodes nested too deep')
  for (const below of readIndex(reader)) yield* readNodes(load, below, kinds, depth + 1)
}

function openNode(id: string, plaintext: Uint8Array): { reader: CborReader; kind: number } {
  const reader = new CborReader(plaintext, `tree node ${id.slice(0, 8)}`)
  if (plaintext.length > NODE_SIZE_BYTES_MAX) reader.fail('larger than a node may be')
  reader.array(2, 2, 'node')
  return { reader, kind: reader.uint(255, 'kind of node') }
}

function readIndex(reader: CborReader): string[] {
  const count = reader.array(1, NODE_EDGES_MAX, 'index')
  const ids = Array.from({ length: count }, () => reader.hex(ID_BYTES, 'node id'))
  reader.end()
  return ids
}
