// src/chunk/nodes.ts — how are lists too long for one node cut into several, and read again?
import { CborReader, CborWriter } from './cbor.ts'

export const NODE_SIZE_BYTES_MAX = 2 ** 20
export const NODE_EDGES_MAX = 4096
/** Index nodes above each other: 4096⁴ nodes are enough for any list. */
const INDEX_DEPTH_MAX = 4
const ID_BYTES = 32

/** Stores one node as a chunk of kind tree and returns its id. */
export type EmitNode = (plaintext: Uint8Array, edges: readonly string[]) => string
/** The plaintext of a node, verified against its id. */
export type LoadNode = (id: string) => Promise<Uint8Array>

/** Index nodes over a list of nodes until one is left. */
export function indexOver(nodes: readonly string[], kind: number, emit: EmitNode): string {
  let level = nodes
  while (level.length > 1) {
    const above: string[] = []
    for (let at = 0; at < level.length; at += NODE_EDGES_MAX) {
      const ids = level.slice(at, at + NODE_EDGES_MAX)
      const node = new CborWriter()
      node.array(2)
      node.int(kind)
      node.array(ids.length)
      for (const id of ids) node.hex(id)
      above.push(emit(node.take(), [...new Set(ids)]))
    }
    level = above
  }
  return level[0] as string
}

/** The leaf nodes below `id`, each with its items still to be read. */
export async function* readNodes(
  load: LoadNode,
  id: string,
  kinds: { leaf: number; index: number },
  depth = 0,
): AsyncGenerator<{ reader: CborReader; count: number }> {
  const plaintext = await load(id)
  const reader = new CborReader(plaintext, `tree node ${id.slice(0, 8)}`)
  reader.array(2, 2, 'node')
  const kind = reader.uint(255, 'kind of node')
  if (kind === kinds.leaf) {
    yield { reader, count: reader.array(0, plaintext.length, 'items') }
    return
  }
  if (kind !== kinds.index) reader.fail(`a node of kind ${kind} where ${kinds.leaf} belongs`)
  if (depth >= INDEX_DEPTH_MAX) reader.fail('nodes nested too deep')
  const count = reader.array(1, NODE_EDGES_MAX, 'index')
  const ids = Array.from({ length: count }, () => reader.hex(ID_BYTES, 'node id'))
  reader.end()
  for (const below of ids) yield* readNodes(load, below, kinds, depth + 1)
}
