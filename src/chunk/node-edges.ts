// src/chunk/node-edges.ts — to what does a stored tree node refer?

import { readChunkList } from './chunk-list.ts'
import { readEntry } from './entry.ts'
import { type LoadNode, nodeKindOf } from './nodes.ts'
import { readTree } from './tree.ts'

export interface NodeEdges {
  /** Tree nodes: subfolders, chunk lists, parts of either. */
  readonly nodes: string[]
  /** Chunks of files. */
  readonly data: string[]
}

/** Of one node alone, whatever its kind; an index node refers to nodes only. Throws CORRUPT. */
export async function nodeEdges(id: string, plaintext: Uint8Array): Promise<NodeEdges> {
  const nodes = new Set<string>()
  const data = new Set<string>()
  const { kind, below } = nodeKindOf(id, plaintext)
  for (const child of below) nodes.add(child)
  // A leaf never asks for another node.
  const load: LoadNode = async () => plaintext
  if (kind === 'folder') {
    for await (const entry of readTree(load, id)) {
      if (entry.subtree !== null) nodes.add(entry.subtree)
      if (entry.list !== null) nodes.add(entry.list)
      for (const chunk of entry.chunks) data.add(chunk.id)
    }
  } else if (kind === 'chunk-list') {
    for await (const chunk of readChunkList(load, id)) data.add(chunk.id)
  }
  return { nodes: [...nodes], data: [...data] }
}

/** The tree nodes below a node of any kind, in the order in which a reader of the tree comes to them.
 * Throws CORRUPT. */
export function nodesBelow(id: string, plaintext: Uint8Array): string[] {
  const { kind, below, reader } = nodeKindOf(id, plaintext)
  if (kind !== 'folder') return below
  const nodes: string[] = []
  for (let left = reader.array(0, plaintext.length, 'items'); left > 0; left -= 1) {
    const { list, subtree } = readEntry(reader)
    if (list !== null) nodes.push(list)
    if (subtree !== null) nodes.push(subtree)
  }
  return nodes
}
