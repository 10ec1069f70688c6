// test/chunk/vectors.test.ts — can today's code read what format version 1 has always been?
//
// vectors.json comes from an independent implementation, and from drafts where there are any. A red
// test here means that stored backups cannot be read any more: mend the code, never the vectors.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decrypt, encryptInPlace, TAG_BYTES } from '../../src/chunk/aead.ts'
import {
  BlobBuilder,
  BlobReceiver,
  Chunker,
  type ChunkKind,
  chunkId,
  decodeIndex,
  decodeSnapshot,
  deriveKeys,
  encodeSnapshot,
  groupId,
  open,
  readTree,
  type TreeEntry,
  TreeWriter,
  tagId,
  zstd,
} from '../../src/chunk/index.ts'

const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'))
const bytesOf = (hex: string): Buffer => Buffer.from(hex, 'hex')
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const keys = deriveKeys(bytesOf(vectors.master))
const test = suite('chunk: vectors of format version 1')

test('a master key gives the keys that it always gave', () => {
  const derived = Object.entries(keys).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : hexOf(value),
  ])
  assert.equal(Object.fromEntries(derived), vectors.derived)
})

test('chunk, group and tag ids', () => {
  const { plaintext, data, tree } = vectors.chunkIds
  assert.is(chunkId(keys, bytesOf(plaintext)), data)
  assert.is(chunkId(keys, bytesOf(plaintext), 'tree'), tree)
  assert.is(chunkId(keys, bytesOf(plaintext), 'snapshot'), tree)
  const { host, paths, tag } = vectors.opaqueIds
  const pathBytes = paths.map((path: string) => Buffer.from(path))
  assert.is(groupId(keys, host, pathBytes), vectors.opaqueIds.groupId)
  const shuffled = [...pathBytes.toReversed(), pathBytes[0]]
  assert.is(groupId(keys, host, shuffled), vectors.opaqueIds.groupId, 'a set of paths')
  assert.is(tagId(keys, tag), vectors.opaqueIds.tagId)
})

test('a file is cut where it always was, or nothing would dedup against older backups', () => {
  const stream = Buffer.concat(
    Array.from({ length: (8 * 2 ** 20) / 32 }, (_, index) => {
      const counter = Buffer.alloc(4)
      counter.writeUInt32LE(index)
      return createHash('sha256').update('holdfast').update(counter).digest()
    }),
  )
  const { streamSha256, ends, smallSizes, smallEnds } = vectors.cuts
  assert.is(createHash('sha256').update(stream).digest('hex'), streamSha256)
  assert.equal(endsOf(new Chunker(keys.gearKey), stream), ends)
  const [bytesMin, bytesWanted, bytesMax] = smallSizes
  const small = new Chunker(keys.gearKey, { bytesMin, bytesWanted, bytesMax })
  assert.equal(endsOf(small, stream).slice(0, smallEnds.length), smallEnds)
})

test('XChaCha20-Poly1305 of the draft', () => {
  const { key, nonce, associated, plaintext, sealed } = vectors.xchacha
  const input = { key: bytesOf(key), nonce: bytesOf(nonce), associated: bytesOf(associated) }
  const bytes = Buffer.concat([bytesOf(plaintext), Buffer.alloc(TAG_BYTES)])
  encryptInPlace(bytes, input)
  assert.is(hexOf(bytes), sealed)
  assert.is(hexOf(decrypt(bytes, input)!), plaintext)
})

test('sealed chunks, raw and zstd', async () => {
  for (const { plaintext, kind, bytes } of Object.values<{
    plaintext: string
    kind: ChunkKind
    bytes: string
  }>(vectors.sealed)) {
    const id = chunkId(keys, bytesOf(plaintext), kind)
    assert.is(hexOf(await open(keys, id, bytesOf(bytes), zstd, kind)), plaintext)
  }
})

test('a folder and a snapshot record, there and back', async () => {
  const node = bytesOf(vectors.node.bytes)
  const entries: TreeEntry[] = []
  for await (const entry of readTree(async () => node, vectors.node.id)) entries.push(entry)
  assert.equal(entries.map(legible), [
    {
      name: 'caf\xe9',
      type: 'file',
      mode: 0o644,
      uid: 1000,
      gid: 100,
      user: 'eve',
      group: 'users',
      mtimeNs: -1n,
      ctimeNs: 1_700_000_000_123_456_789n,
      inode: 2n ** 63n,
      size: 30,
      target: null,
      hardlink: { device: 5n, inode: 2n ** 63n, links: 2 },
      device: null,
      holes: [{ offset: 0, length: 22 }],
      chunks: [{ id: vectors.chunkIds.data, length: 8 }],
      list: null,
      subtree: null,
      xattrs: [],
    },
    {
      name: 'link',
      type: 'symlink',
      mode: 0o777,
      uid: 0,
      gid: 0,
      user: 'root',
      group: '',
      mtimeNs: 0n,
      ctimeNs: 0n,
      inode: 7n,
      size: 0,
      target: '../there',
      hardlink: null,
      device: null,
      holes: [],
      chunks: [],
      list: null,
      subtree: null,
      xattrs: [],
    },
  ])
  const writer = new TreeWriter((plaintext, edges) => {
    assert.is(hexOf(plaintext), vectors.node.bytes)
    assert.equal(edges, [vectors.chunkIds.data])
    return chunkId(keys, plaintext, 'tree')
  })
  for (const entry of entries) writer.add(entry)
  assert.is(writer.finish(), vectors.node.id)

  const record = decodeSnapshot(bytesOf(vectors.record.bytes))
  assert.is(record.root, vectors.node.id)
  assert.is(record.clientName, 'laptop')
  assert.is(record.host, 'attic')
  assert.equal(
    record.paths.map((path) => Buffer.from(path).toString()),
    ['/etc', '/home'],
  )
  assert.equal(record.tags, ['weekly'])
  assert.is(record.timeMs, 1_700_000_000_000)
  assert.equal(record.statistics, { files: 1, folders: 0, others: 1, bytes: 30 })
  assert.is(record.parent, null)
  assert.equal(record.excludes, ['*.tmp'])
  assert.is(hexOf(encodeSnapshot(record)), vectors.record.bytes)
  assert.is(chunkId(keys, bytesOf(vectors.record.bytes), 'snapshot'), vectors.record.id)
})

test('a whole blob, there and back', async () => {
  const bytes = bytesOf(vectors.blob.bytes)
  const receiver = new BlobReceiver(bytes.length)
  receiver.update(bytes)
  const { blobId, index } = receiver.finish()
  assert.is(blobId, vectors.blob.id)
  const { repositoryId, entries } = decodeIndex(index, bytes.length)
  assert.is(repositoryId, keys.repositoryId)
  assert.equal(
    entries.map(({ kind, edges }) => [kind, edges]),
    [
      ['data', []],
      ['tree', [vectors.chunkIds.data]],
      ['snapshot', [vectors.node.id]],
    ],
  )
  const plaintexts = [vectors.chunkIds.plaintext, vectors.node.bytes, vectors.record.bytes]
  const builder = new BlobBuilder(repositoryId)
  for (const [number, { id, kind, offset, length, edges, snapshot }] of entries.entries()) {
    const sealed = bytes.subarray(offset, offset + length)
    assert.is(hexOf(await open(keys, id, sealed, zstd, kind)), plaintexts[number])
    builder.add({ id, kind, sealed, edges, ...(snapshot && { snapshot }) })
  }
  assert.equal(entries[2]!.snapshot, {
    clientName: 'laptop',
    timeMs: 1_700_000_000_000,
    groupId: vectors.opaqueIds.groupId,
    tagIds: [vectors.opaqueIds.tagId],
  })
  assert.is(hexOf(builder.finish().bytes), vectors.blob.bytes)
})

function endsOf(chunker: Chunker, stream: Uint8Array): number[] {
  let end = 0
  return [...chunker.push(stream), ...chunker.finish()].map((chunk) => {
    end += chunk.length
    return end
  })
}

const legible = (entry: TreeEntry) => ({
  ...entry,
  name: Buffer.from(entry.name).toString('latin1'),
  user: Buffer.from(entry.user).toString(),
  group: Buffer.from(entry.group).toString(),
  target: entry.target && Buffer.from(entry.target).toString(),
})

test.run()
