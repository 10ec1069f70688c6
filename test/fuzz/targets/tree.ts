// test/fuzz/targets/tree.ts — can a tree name anything that would leave its folder or never end?
import * as assert from 'node:assert/strict'
import { CborReader, CborWriter, encodeCbor } from '../../../src/chunk/cbor.ts'
import { ChunkListWriter, readChunkList } from '../../../src/chunk/chunk-list.ts'
import {
  ENTRY_TYPES,
  isHarmlessName,
  readEntry,
  type TreeEntry,
  writeEntry,
} from '../../../src/chunk/entry.ts'
import { nodeEdges } from '../../../src/chunk/node-edges.ts'
import { encodeNode, type LoadNode, NODE_KIND } from '../../../src/chunk/nodes.ts'
import { readContent, readTree, TreeWriter } from '../../../src/chunk/tree.ts'
import { answerOf, coarse, refusalOf, type Target } from '../target.ts'

const idOf = (byte: number): string => Buffer.alloc(32, byte).toString('hex')
/** Fewer entries than this are one node: written again, they are the same bytes. */
const ONE_NODE_ITEMS_MAX = 400
/** Nodes that name themselves would go on for longer. */
const NODES_MAX = 2_000

const entryOf = (type: TreeEntry['type']): TreeEntry => ({
  name: Buffer.from(`${ENTRY_TYPES.indexOf(type)}-${type}`),
  type,
  mode: 0o644,
  uid: 0,
  gid: 1_000,
  user: Buffer.from('root'),
  group: Buffer.alloc(0),
  mtimeNs: -1_234_567_890_123_456_789n,
  ctimeNs: 1_700_000_000_000_000_001n,
  inode: 2n ** 64n - 1n,
  size: type === 'file' ? 30 : 0,
  target: type === 'symlink' ? Buffer.from('over/there') : null,
  hardlink: type === 'file' ? { device: 5n, inode: 2n ** 63n, links: 2 } : null,
  device: type === 'chardev' || type === 'blockdev' ? { major: 8, minor: 1 } : null,
  holes: type === 'file' ? [{ offset: 0, length: 10 }] : [],
  chunks: type === 'file' ? [{ id: idOf(5), length: 20 }] : [],
  list: null,
  subtree: type === 'dir' ? idOf(9) : null,
  xattrs: type === 'file' ? [{ name: Buffer.from('user.x'), value: Buffer.from([0, 1]) }] : [],
})

function written(entry: TreeEntry): Buffer {
  const writer = new CborWriter()
  writeEntry(writer, entry)
  return writer.take()
}

const entry: Target = {
  name: 'entry',
  sizeBytesMax: 1_000,
  seeds: () => [
    ...ENTRY_TYPES.map((type) => written(entryOf(type))),
    written({ ...entryOf('file'), chunks: [], list: idOf(6) }),
  ],
  run(input) {
    return answerOf(
      () => {
        const reader = new CborReader(input, 'entry')
        const found = readEntry(reader)
        reader.end()
        return found
      },
      (found) => {
        assert.ok(isHarmlessName(found.name))
        assert.ok(written(found).equals(input), 'another spelling was taken')
        return `read ${found.type}`
      },
    )
  },
}

/** All nodes that a writer makes for these. */
function nodesOf(write: (emit: (node: Uint8Array) => string) => void): Buffer[] {
  const nodes: Buffer[] = []
  write((node) => {
    nodes.push(Buffer.from(node))
    return idOf(nodes.length)
  })
  return nodes
}

const folderNodes = (): Buffer[] =>
  nodesOf((emit) => {
    const writer = new TreeWriter(emit)
    for (const type of ENTRY_TYPES) writer.add(entryOf(type))
    writer.finish()
  })

const listNodes = (): Buffer[] =>
  nodesOf((emit) => {
    const writer = new ChunkListWriter(emit)
    for (let i = 0; i < 40; i += 1) writer.add({ id: idOf(i), length: 1 + i })
    writer.finish()
  })

const indexNode = (kind: number): Buffer =>
  encodeNode(kind, 2, Buffer.concat([1, 2].map((byte) => encodeCbor(Buffer.alloc(32, byte)))))

/** Whatever is asked for is this node: an index of itself, or a leaf. */
const node: Target = {
  name: 'node',
  sizeBytesMax: 2_000,
  seeds: () => [
    ...folderNodes(),
    ...listNodes(),
    indexNode(NODE_KIND.folderIndex),
    indexNode(NODE_KIND.chunkListIndex),
  ],
  async run(input) {
    let loads = 0
    const load: LoadNode = async () => {
      loads += 1
      assert.ok(loads < NODES_MAX, 'nodes without end')
      return input
    }
    const folder = await outcome(async () => {
      const entries: TreeEntry[] = []
      for await (const found of readTree(load, idOf(0))) entries.push(found)
      if (entries.length < ONE_NODE_ITEMS_MAX) mustComeBack(entries, input)
      for (const found of entries) await outcome(() => drain(readContent(load, found)))
      return `folder of ${Math.ceil(Math.log2(entries.length + 1))}`
    })
    const list = await outcome(async () => {
      await drain(readChunkList(load, idOf(0)))
      return 'list'
    })
    const edges = await outcome(async () => {
      const { nodes, data } = await nodeEdges(idOf(0), input)
      return `${nodes.length > 0} ${data.length > 0}`
    })
    return `${folder} / ${list} / ${edges}`
  },
}

function mustComeBack(entries: readonly TreeEntry[], input: Buffer): void {
  const again = nodesOf((emit) => {
    const writer = new TreeWriter(emit)
    for (const found of entries) {
      assert.ok(isHarmlessName(found.name))
      writer.add(found)
    }
    writer.finish()
  })
  assert.ok(again.length > 1 || again[0]!.equals(input), 'another spelling was taken')
}

async function outcome(act: () => Promise<string>): Promise<string> {
  try {
    return await act()
  } catch (error) {
    return coarse(refusalOf(error)).slice(0, 50)
  }
}

async function drain(items: AsyncIterable<unknown>): Promise<string> {
  let count = 0
  for await (const _ of items) count += 1
  return `${count}`
}

export const treeTargets: readonly Target[] = [entry, node]
