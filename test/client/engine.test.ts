// test/client/engine.test.ts — does a folder come back as it was, whatever is lost or in the way?
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkId, encodeSnapshot, TreeWriter, zstd } from '../../src/chunk/index.ts'
import { BlobSender } from '../../src/client/backup/blob-sender.ts'
import { ChunkSink, type NewChunk } from '../../src/client/backup/chunk-sink.ts'
import type { Client } from '../../src/client/client.ts'
import { openNativeFiles } from '../../src/client/os/native.ts'
import { BackupSession } from '../../src/client/remote/backup-session.ts'
import { ManagerLink } from '../../src/client/remote/manager-link.ts'
import { openSourceFiles, type SourceFiles } from '../../src/client/source/files.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { keys, openClient } from './support/client.ts'
import { FakeCluster } from './support/fake-cluster.ts'
import { contextFor, prng } from './support/world.ts'

type World = { base: string; source: string; cluster: FakeCluster; client: Client }
const test = suite<World>('client engine')
const native = openNativeFiles()

test.before.each((context) => {
  context.base = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-engine-'))
  context.source = path.join(context.base, 'source')
  fs.mkdirSync(context.source)
  context.cluster = new FakeCluster()
  context.cluster.repositoryIds.push(keys.repositoryId)
  context.client = openClient(context.cluster)
})
test.after.each(({ base }) => fs.rmSync(base, { recursive: true, force: true }))

/** A time that has passed by the time of the backup: what is younger is read again. */
const old = (file: string): void => fs.utimesSync(file, 1_600_000_000, 1_600_000_000)

async function restored({ client, base, source }: World, snapshot: string, name = 'target') {
  const target = path.join(base, name)
  const summary = await client.restore({ snapshot, target })
  return { summary, target, at: path.join(target, source) }
}

test('a folder of everything odd comes back the same', async (world) => {
  const { source, client } = world
  const at = (name: string): string => path.join(source, name)
  fs.mkdirSync(at('empty'))
  fs.mkdirSync(at('sticky'), { mode: 0o700 })
  fs.chmodSync(at('sticky'), 0o1750)
  fs.writeFileSync(Buffer.concat([Buffer.from(`${source}/latin-`), Buffer.from([0xe4])]), 'x')
  fs.writeFileSync(at('setuid'), 'program')
  if (process.getuid?.() === 0) fs.chownSync(at('setuid'), 1234, 4321)
  fs.chmodSync(at('setuid'), 0o4755)
  fs.writeFileSync(at('large'), prng(1).bytes(3_000_000))
  fs.linkSync(at('large'), at('sticky/other name'))
  fs.symlinkSync('../nowhere', at('link'))
  fs.linkSync(at('link'), at('link too'))
  fs.writeFileSync(at('nothing'), '')
  native.makeNode(Buffer.from(at('pipe')), 'fifo', { major: 0, minor: 0 })
  const { snapshot, exitCode } = await client.backup({ paths: [source] })
  assert.is(exitCode, 0)
  const { summary, at: there } = await restored(world, snapshot)
  assert.equal(summary.problems, [])
  assert.equal(await compareTrees(source, there), [])
})

test('a large file whose list of chunks is lost is read again, and the backup goes on', async (world) => {
  const { source, cluster, client } = world
  fs.writeFileSync(path.join(source, 'large'), prng(2).bytes(30_000_000))
  fs.writeFileSync(path.join(source, 'small'), 'small')
  await new Promise((resolve) => setTimeout(resolve, 150)) // beyond a tick of the file clock
  await client.backup({ paths: [source] })
  const list = [...cluster.chunks].find(([, { edges }]) => edges.length > 16)?.[0]
  assert.ok(list, 'no list of chunks was stored')
  cluster.chunks.delete(list)
  const { snapshot, exitCode } = await client.backup({ paths: [source] })
  assert.is(exitCode, 0)
  assert.ok(cluster.isGood(list))
  const { at } = await restored(world, snapshot)
  assert.equal(await compareTrees(source, at), [])
})

test('a file that changes while it is read is reported, and read anew the next time', async (world) => {
  const { source, cluster, client } = world
  const file = path.join(source, 'log')
  fs.writeFileSync(file, prng(3).bytes(400_000))
  fs.writeFileSync(path.join(source, 'still'), 'still')
  const real = openSourceFiles(native)
  const restless: SourceFiles = {
    ...real,
    open(at) {
      const opened = real.open(at)
      if (!at.toString().endsWith('log')) return opened
      const read: typeof opened.read = async (into, position) => {
        const count = await opened.read(into, position)
        fs.appendFileSync(file, 'more')
        return count
      }
      return { ...opened, read }
    },
  }
  const first = await openClient(cluster, restless).backup({ paths: [source] })
  assert.is(first.exitCode, 3)
  assert.equal(
    first.problems.map(({ code }) => code),
    ['CHANGED'],
  )
  const second = await client.backup({ paths: [source] })
  assert.is(second.exitCode, 0)
  const { at } = await restored(world, second.snapshot)
  assert.equal(await compareTrees(source, at), [])
})

test('a bad copy is named and the other one used; with both bad the rest comes back', async (world) => {
  const { source, cluster, client } = world
  for (const [seed, name] of ['a', 'b', 'c'].entries()) {
    fs.writeFileSync(path.join(source, name), prng(10 + seed).bytes(3_000_000))
  }
  const { snapshot } = await client.backup({ paths: [source] })
  const holders = cluster.servers.filter(({ blobs }) => blobs.size > 0)
  const flip = (server: (typeof holders)[number], blobId: string): void => {
    const bytes = Buffer.from(server.blobs.get(blobId) ?? [])
    bytes[1_000] = (bytes[1_000] ?? 0) ^ 1
    server.blobs.set(blobId, bytes)
  }
  const [bad] = holders
  assert.ok(bad)
  for (const blobId of bad.blobs.keys()) flip(bad, blobId)
  const one = await restored(world, snapshot, 'one')
  assert.equal(one.summary.problems, [])
  assert.equal(await compareTrees(source, one.at), [])
  assert.ok(one.summary.badReplicas.length > 0)
  assert.ok(one.summary.badReplicas.every(({ server }) => server.number === bad.number))

  const [blobId] = [...bad.blobs.keys()]
  for (const server of holders) {
    if (server !== bad && blobId && server.blobs.has(blobId)) flip(server, blobId)
  }
  const two = await restored(world, snapshot, 'two')
  assert.is(two.summary.exitCode, 3)
  assert.ok(two.summary.problems.length >= 1 && two.summary.files >= 1, 'some are lost, not all')
  const names = fs.readdirSync(two.at)
  assert.is(names.length, two.summary.files, 'no half file is left')
})

test('files that are right already are left, but not what two names share by accident', async (world) => {
  const { source, client } = world
  const at = (name: string): string => path.join(source, name)
  for (const [name, mode] of [
    ['a', 0o600],
    ['b', 0o640],
    ['c', 0o644],
    ['d', 0o644],
  ] as const) {
    fs.writeFileSync(at(name), name >= 'c' ? 'other' : 'same content')
    fs.chmodSync(at(name), mode)
    old(at(name))
  }
  const { snapshot } = await client.backup({ paths: [source] })
  const there = path.join(world.base, 'target', source)
  fs.mkdirSync(there, { recursive: true })
  fs.copyFileSync(at('c'), path.join(there, 'c'))
  fs.writeFileSync(path.join(there, 'd'), 'OTHER')
  fs.copyFileSync(at('a'), path.join(there, 'a'))
  fs.linkSync(path.join(there, 'a'), path.join(there, 'b'))
  fs.linkSync(path.join(there, 'a'), path.join(world.base, 'outside'))
  for (const name of ['a', 'c', 'd']) old(path.join(there, name))
  fs.chmodSync(path.join(world.base, 'outside'), 0o666)
  const { summary } = await restored(world, snapshot)
  assert.is(summary.skippedFiles, 1, 'c')
  assert.equal(await compareTrees(source, there), [])
  assert.is(
    fs.statSync(path.join(world.base, 'outside')).mode & 0o777,
    0o666,
    'nobody asked for it',
  )
})

test('the first name of a file cannot be made: its other names come back all the same', async (world) => {
  const { source, client } = world
  fs.writeFileSync(path.join(source, 'a'), 'linked')
  fs.linkSync(path.join(source, 'a'), path.join(source, 'b'))
  fs.linkSync(path.join(source, 'a'), path.join(source, 'c'))
  const { snapshot } = await client.backup({ paths: [source] })
  const there = path.join(world.base, 'target', source)
  fs.mkdirSync(path.join(there, 'a/in the way'), { recursive: true })
  const { summary } = await restored(world, snapshot)
  assert.is(summary.exitCode, 3)
  assert.is(summary.problems.length, 1)
  assert.is(fs.readFileSync(path.join(there, 'b'), 'utf8'), 'linked')
  assert.is(fs.statSync(path.join(there, 'b')).ino, fs.statSync(path.join(there, 'c')).ino)
})

test('a tree that lies about the length of a chunk makes no file', async (world) => {
  const { cluster } = world
  const chunks = lyingSnapshot()
  const { context } = contextFor(cluster)
  const owner = { repositoryId: keys.repositoryId, clientName: 'one' }
  const session = await BackupSession.begin(context, new ManagerLink(context), owner)
  const sender = new BlobSender(context, session, { ...owner, waitForServers: false })
  const totals = { newBytes: 0, storedBytes: 0, blobs: 0 }
  const sink = new ChunkSink(context, session, { keys, compressor: zstd, sender, totals })
  for (const chunk of chunks) sink.offer(chunk)
  await sink.finish()
  const snapshotId = chunks.at(-1)?.id ?? ''
  await session.call('snapshot.commit', { snapshotId })
  session.end()
  const { summary, target } = await restored(world, snapshotId)
  assert.equal(
    summary.problems.map(({ code }) => code),
    ['CORRUPT'],
  )
  assert.equal(fs.readdirSync(target), [])
})

/** Every id is right; the entry says 20 bytes for a chunk of 12. */
function lyingSnapshot(): NewChunk[] {
  const plaintext = Buffer.from('twelve bytes')
  const data = { id: chunkId(keys, plaintext), kind: 'data' as const, plaintext, edges: [] }
  const chunks: NewChunk[] = [data]
  const writer = new TreeWriter((node, edges) => {
    const id = chunkId(keys, node, 'tree')
    chunks.push({ id, kind: 'tree', plaintext: node, edges })
    return id
  })
  const nobody = { uid: 0, gid: 0, user: Buffer.alloc(0), group: Buffer.alloc(0), mode: 0o600 }
  const times = { mtimeNs: 0n, ctimeNs: 0n, inode: 1n }
  const rest = { target: null, hardlink: null, device: null, holes: [], list: null, xattrs: [] }
  writer.add({
    name: Buffer.from('file'),
    type: 'file',
    ...nobody,
    ...times,
    ...rest,
    size: 20,
    chunks: [{ id: data.id, length: 20 }],
    subtree: null,
  })
  const root = writer.finish()
  const statistics = { files: 1, folders: 0, others: 0, bytes: 20 }
  const named = { clientName: 'one', host: 'h', paths: [Buffer.from('/')], tags: [], timeMs: 5 }
  const more = { statistics, parent: null, excludes: [] }
  const record = encodeSnapshot({ version: 1, root, ...named, ...more })
  const plain = { clientName: 'one', timeMs: 5, groupId: '0a'.repeat(16), tagIds: [] }
  const id = chunkId(keys, record, 'snapshot')
  chunks.push({ id, kind: 'snapshot', plaintext: record, edges: [root], snapshot: plain })
  return chunks
}

test.run()
