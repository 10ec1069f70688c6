// test/chunk/formats.test.ts — do chunks, blobs, trees and records survive the way there and back?
import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  BlobBuilder,
  BlobReceiver,
  CHUNK_SIZES,
  CHUNKS_INLINE_MAX,
  Chunker,
  ChunkListWriter,
  type ChunkRef,
  chunkId,
  decodeIndex,
  decodeSnapshot,
  deriveKeys,
  ENTRY_TYPES,
  encodeSnapshot,
  HOLES_MAX,
  isHarmlessName,
  open,
  readContent,
  readTree,
  type SnapshotRecord,
  seal,
  type TreeEntry,
  TreeWriter,
  zstd,
} from '../../src/chunk/index.ts'
import { isHoldfastError } from '../../src/errors.ts'
import { prng, randomBytes } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const keys = deriveKeys(new Uint8Array(32).fill(7))
const test = suite(`chunk: formats, replay with SEED=${seed}`)

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work()
    return 'no error'
  } catch (error) {
    return isHoldfastError(error) ? error.code : `another throw: ${String(error)}`
  }
}

test('a file is cut at the same places however its bytes arrive, or dedup is lost', () => {
  const random = prng(seed)
  const bytes = randomBytes(random, 9_000_000)
  const cut = (pieceBytes: () => number): string[] => {
    const chunker = new Chunker(keys.gearKey)
    const chunks: Uint8Array[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + pieceBytes())
      // A copy: the chunker may keep what it was given.
      chunks.push(...chunker.push(Buffer.from(bytes.subarray(at, end))))
      at = end
    }
    chunks.push(...chunker.finish())
    assert.is(Buffer.concat(chunks).equals(bytes), true, 'nothing is lost or added')
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.length >= CHUNK_SIZES.bytesMin))
    assert.ok(chunks.every((chunk) => chunk.length <= CHUNK_SIZES.bytesMax))
    return chunks.map((chunk) => chunkId(keys, chunk))
  }
  const whole = cut(() => bytes.length)
  assert.equal(
    cut(() => 1 + Math.floor(random() * 100_000)),
    whole,
  )
  assert.equal(
    cut(() => 65_536),
    whole,
  )
  assert.ok(whole.length > 3)
})

test('an insertion changes the chunks around it and no others', () => {
  const random = prng(seed + 1)
  const bytes = randomBytes(random, 12_000_000)
  const ids = (content: Buffer): string[] => {
    const chunker = new Chunker(keys.gearKey)
    return [...chunker.push(content), ...chunker.finish()].map((chunk) => chunkId(keys, chunk))
  }
  const before = ids(bytes)
  const inserted = Buffer.concat([
    bytes.subarray(0, 6_000_000),
    Buffer.from('inserted'),
    bytes.subarray(6_000_000),
  ])
  const after = new Set(ids(inserted))
  const kept = before.filter((id) => after.has(id)).length
  assert.ok(kept >= before.length - 4, `${kept} of ${before.length} chunks were found again`)
})

test('sealed chunks open again, and a flipped bit or another id is CORRUPT', async () => {
  for (const plaintext of [Buffer.alloc(0), Buffer.from('a'), Buffer.alloc(300_000, 'text ')]) {
    const id = chunkId(keys, plaintext)
    const sealed = await seal(keys, id, plaintext, zstd)
    assert.ok(Buffer.from(await open(keys, id, sealed, zstd)).equals(plaintext))
    const again = await seal(keys, id, plaintext, zstd)
    assert.not.ok(Buffer.from(again).equals(sealed), 'a nonce is never used twice')
    const damaged = Buffer.from(sealed)
    damaged[damaged.length - 3] = (damaged[damaged.length - 3] ?? 0) ^ 1
    assert.is(await codeOf(() => open(keys, id, damaged, zstd)), 'CORRUPT')
    assert.is(
      await codeOf(() => open(keys, chunkId(keys, Buffer.from('other')), sealed, zstd)),
      'CORRUPT',
    )
  }
})

test('a blob names itself by its bytes, and its index says what is in it', async () => {
  const { blob, chunks } = await makeBlob()
  const bytes = joined(blob.bytes)
  assert.is(blob.blobId, createHash('sha256').update(bytes).digest('hex'))
  const receiver = new BlobReceiver(bytes.length)
  for (let at = 0; at < bytes.length; at += 5_000) receiver.update(bytes.subarray(at, at + 5_000))
  const received = receiver.finish()
  assert.is(received.blobId, blob.blobId)
  const index = decodeIndex(received.index, bytes.length)
  assert.is(index.repositoryId, keys.repositoryId)
  assert.equal(
    index.entries.map((entry) => entry.id),
    chunks.map((chunk) => chunk.id),
  )
  for (const entry of index.entries) {
    const sealed = bytes.subarray(entry.offset, entry.offset + entry.length)
    const found = await open(keys, entry.id, sealed, zstd)
    assert.ok(
      Buffer.from(found).equals(
        chunks.find((chunk) => chunk.id === entry.id)?.plaintext ?? Buffer.alloc(0),
      ),
    )
  }
})

test('no bytes whatsoever make the index decoder do anything but answer or say CORRUPT', async () => {
  const { blob } = await makeBlob()
  const bytes = joined(blob.bytes)
  const receiver = new BlobReceiver(bytes.length)
  receiver.update(bytes)
  const { index } = receiver.finish()
  const random = prng(seed + 2)
  let refused = 0
  for (let round = 0; round < 2_000; round += 1) {
    const mutated = Buffer.from(index)
    const flips = 1 + Math.floor(random() * 3)
    for (let flip = 0; flip < flips; flip += 1) {
      mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256)
    }
    const cut =
      random() < 0.2 ? mutated.subarray(0, Math.floor(random() * mutated.length)) : mutated
    const code = await codeOf(() => decodeIndex(cut, bytes.length))
    assert.ok(code === 'CORRUPT' || code === 'no error', code)
    if (code === 'CORRUPT') refused += 1
  }
  assert.ok(refused > 1_900, `${refused} of 2000`)
})

test('a folder of 30,000 entries and a file of 10,000 chunks come back in order', async () => {
  const nodes = new Map<string, { bytes: Buffer; edges: readonly string[] }>()
  const emit = (plaintext: Uint8Array, edges: readonly string[]): string => {
    const id = chunkId(keys, plaintext, 'tree')
    assert.ok(plaintext.length <= 2 ** 20 && edges.length <= 4096, 'a node stays small')
    nodes.set(id, { bytes: Buffer.from(plaintext), edges })
    return id
  }
  const load = async (id: string): Promise<Uint8Array> => nodes.get(id)?.bytes ?? Buffer.alloc(0)
  const list = new ChunkListWriter(emit)
  const refs = Array.from({ length: 10_000 }, (_, i): ChunkRef => ({ id: idOf(i), length: 100 }))
  for (const ref of refs) list.add(ref)
  const writer = new TreeWriter(emit)
  const names = Array.from({ length: 30_000 }, (_, i) => `entry-${String(i).padStart(6, '0')}`)
  for (const name of names) {
    const isBig = name === names[77]
    const content = isBig
      ? { size: 1_000_000, ...list.finish() }
      : { size: 5, chunks: [{ id: idOf(name.length), length: 5 }], list: null }
    writer.add(entryOf({ name: Buffer.from(name), ...content }))
  }
  const root = writer.finish()
  const found: TreeEntry[] = []
  for await (const entry of readTree(load, root)) found.push(entry)
  assert.equal(
    found.map((entry) => Buffer.from(entry.name).toString()),
    names,
  )
  const chunks: ChunkRef[] = []
  for await (const ref of readContent(load, found[77] as TreeEntry)) chunks.push(ref)
  assert.equal(chunks, refs)
  assert.ok(nodes.size > 7, 'it took several nodes')
  assert.ok(CHUNKS_INLINE_MAX < 10_000)
})

test('the same folder gives the same node, or an unchanged folder would cost something', () => {
  const make = (): string => {
    const writer = new TreeWriter((plaintext) => Buffer.from(plaintext).toString('hex'))
    for (const type of ENTRY_TYPES) writer.add(entryOf(fieldsOf(type)))
    return writer.finish()
  }
  assert.is(make(), make())
})

test('names that would leave the folder never come out of a tree', () => {
  for (const bad of ['', '.', '..', 'a/b', '/', 'nul\0', '../x']) {
    assert.not.ok(isHarmlessName(Buffer.from(bad)), JSON.stringify(bad))
    const writer = new TreeWriter(() => idOf(0))
    assert.throws(() => writer.add(entryOf({ name: Buffer.from(bad) })), /name/)
  }
  for (const good of ['...', '-rf', ' ', '\n', '\xff']) {
    assert.ok(isHarmlessName(Buffer.from(good, 'latin1')), JSON.stringify(good))
  }
  const holes = Array.from({ length: HOLES_MAX + 1 }, (_, i) => ({ offset: 2 * i, length: 1 }))
  const writer = new TreeWriter(() => idOf(0))
  assert.throws(() => writer.add(entryOf({ name: Buffer.from('x'), holes })), /holes/)
})

test('damaged tree nodes and records are CORRUPT, never another throw', async () => {
  let node = Buffer.alloc(0)
  const writer = new TreeWriter((plaintext) => {
    node = Buffer.from(plaintext)
    return idOf(1)
  })
  for (const type of ENTRY_TYPES) writer.add(entryOf(fieldsOf(type)))
  writer.finish()
  const record = Buffer.from(encodeSnapshot(RECORD))
  const random = prng(seed + 3)
  for (let round = 0; round < 3_000; round += 1) {
    const source = round % 2 === 0 ? node : record
    const mutated = Buffer.from(source)
    mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256)
    const cut =
      random() < 0.2 ? mutated.subarray(0, Math.floor(random() * mutated.length)) : mutated
    const code = await codeOf(async () => {
      if (source === record) decodeSnapshot(cut)
      else
        for await (const entry of readTree(async () => cut, idOf(1)))
          assert.ok(isHarmlessName(entry.name))
    })
    assert.ok(code === 'CORRUPT' || code === 'no error', code)
  }
})

test('a snapshot record keeps every field', () => {
  const back = decodeSnapshot(encodeSnapshot(RECORD))
  assert.equal({ ...back, paths: back.paths.map((path) => Buffer.from(path)) }, RECORD)
  const first = { ...RECORD, parent: null }
  assert.is(decodeSnapshot(encodeSnapshot(first)).parent, null)
})

const RECORD: SnapshotRecord = {
  version: 1,
  root: idOf(3),
  clientName: 'laptop',
  host: 'attic',
  paths: [Buffer.from('/home/\xff', 'latin1')],
  tags: ['weekly'],
  timeMs: 1_700_000_000_000,
  statistics: { files: 3, folders: 2, others: 1, bytes: 2 ** 45 },
  parent: idOf(4),
  excludes: ['*.tmp'],
}

function idOf(number: number): string {
  return createHash('sha256').update(String(number)).digest('hex')
}

function fieldsOf(type: TreeEntry['type']): Partial<TreeEntry> {
  const name = Buffer.from(`${ENTRY_TYPES.indexOf(type)}-${type}`)
  if (type === 'dir') return { name, type, subtree: idOf(9) }
  if (type === 'symlink') return { name, type, target: Buffer.from('over/there') }
  if (type === 'chardev' || type === 'blockdev')
    return { name, type, device: { major: 8, minor: 1 } }
  if (type !== 'file') return { name, type }
  return {
    name,
    type,
    size: 30,
    holes: [{ offset: 0, length: 10 }],
    chunks: [{ id: idOf(5), length: 20 }],
    hardlink: { device: 5n, inode: 2n ** 63n, links: 2 },
    xattrs: [{ name: Buffer.from('user.x'), value: Buffer.from([0, 1]) }],
  }
}

function entryOf(fields: Partial<TreeEntry>): TreeEntry {
  return {
    name: Buffer.from('name'),
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 1000,
    user: Buffer.from('root'),
    group: Buffer.alloc(0),
    mtimeNs: -1_234_567_890_123_456_789n,
    ctimeNs: 1_700_000_000_000_000_001n,
    inode: 42n,
    size: 0,
    target: null,
    hardlink: null,
    device: null,
    holes: [],
    chunks: [],
    list: null,
    subtree: null,
    xattrs: [],
    ...fields,
  }
}

async function makeBlob() {
  const builder = new BlobBuilder(keys.repositoryId)
  const chunks: { id: string; plaintext: Buffer }[] = []
  for (const text of ['first', 'second '.repeat(40_000), 'third']) {
    const plaintext = Buffer.from(text)
    const id = chunkId(keys, plaintext)
    chunks.push({ id, plaintext })
    const sealed = await seal(keys, id, plaintext, zstd)
    builder.add({ id, kind: 'data', sealed, edges: [] })
  }
  const tree = Buffer.from('a tree node')
  const id = chunkId(keys, tree)
  chunks.push({ id, plaintext: tree })
  const edges = chunks.map((chunk) => chunk.id)
  builder.add({ id, kind: 'tree', sealed: await seal(keys, id, tree, zstd), edges })
  return { blob: builder.finish(), chunks }
}

const joined = (bytes: Uint8Array | readonly Uint8Array[]): Buffer =>
  bytes instanceof Uint8Array ? Buffer.from(bytes) : Buffer.concat(bytes)

test.run()
