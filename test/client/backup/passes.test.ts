// test/client/backup/passes.test.ts — is a backup whole when copies or its session go on the way?
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkId } from '../../../src/chunk/index.ts'
import { ContentReader } from '../../../src/client/backup/content-reader.ts'
import { openNativeFiles } from '../../../src/client/os/native.ts'
import type { StoredEntry } from '../../../src/client/remote/stored-tree.ts'
import {
  openSourceFiles,
  type SourceFiles,
  type SourceStat,
} from '../../../src/client/source/files.ts'
import { keys, openClient } from '../support/client.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { contextFor, prng } from '../support/world.ts'

type World = { source: string; cluster: FakeCluster }
const test = suite<World>('client backup passes')
const files = openSourceFiles(openNativeFiles())

test.before.each((context) => {
  context.source = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-passes-'))
  for (let seed = 0; seed < 6; seed += 1) {
    fs.writeFileSync(path.join(context.source, `file ${seed}`), prng(seed).bytes(900_000))
  }
  context.cluster = new FakeCluster()
})
test.after.each(({ source }) => fs.rmSync(source, { recursive: true, force: true }))

async function backUp({ cluster, source }: World) {
  const passes: number[] = []
  const { snapshot } = await openClient(cluster).backup({
    paths: [source],
    onEvent: (event) => {
      if (event.type === 'phase' && event.phase === 'backup') passes.push(event.pass)
    },
  })
  const bad = [...cluster.reach(snapshot)].filter((id) => !cluster.isGood(id))
  return { snapshot, passes, bad }
}

test('an unchanged file whose chunk has one copy left is sent again', async (world) => {
  const { cluster } = world
  await new Promise((resolve) => setTimeout(resolve, 150)) // beyond a tick of the file clock
  const first = await backUp(world)
  const gone = cluster.servers.find(({ blobs }) => blobs.size > 0)
  assert.ok(gone)
  gone.up = false
  assert.ok([...cluster.reach(first.snapshot)].some((id) => !cluster.isGood(id)))
  const sent = cluster.count('blob.store')
  const second = await backUp(world)
  assert.equal(second.bad, [])
  assert.ok(cluster.count('blob.store') > sent)
  assert.equal(second.passes, [1], 'known before the commit, not after')
})

test('an unchanged backup asks in few questions, each of which is a commit for the manager', async (world) => {
  const { cluster, source } = world
  for (let at = 0; at < 3_000; at += 1) fs.writeFileSync(path.join(source, `small ${at}`), `${at}`)
  await new Promise((resolve) => setTimeout(resolve, 150)) // beyond a tick of the file clock
  await backUp(world)
  const asked = cluster.count('chunks.missing')
  await backUp(world)
  const questions = cluster.count('chunks.missing') - asked
  assert.ok(questions <= 12, `${questions} questions about 3,000 files`)
})

test('copies lost just before the commit lead to another pass, never to a thin snapshot', async (world) => {
  const { cluster } = world
  let commits = 0
  cluster.before = ({ method }) => {
    if (method !== 'snapshot.commit' || commits++ > 0) return
    const gone = cluster.servers.find(({ blobs }) => blobs.size > 0)
    if (gone) gone.up = false
  }
  const { passes, bad } = await backUp(world)
  assert.equal(passes, [1, 2])
  assert.equal(bad, [])
})

test('after a session was lost everything is asked about once more', async (world) => {
  const { cluster } = world
  let assignments = 0
  cluster.before = ({ method }) => {
    if (method === 'server.assign' && assignments++ === 0) cluster.sessions.clear()
  }
  const { passes, bad } = await backUp(world)
  assert.equal(passes, [1, 2], 'what the lost session pinned is void')
  assert.equal(bad, [])
})

const systemError = (code: string): Error => Object.assign(new Error(code), { code })

test('a file that cannot be read is not counted as stored, nor is one that can be no more', async ({
  cluster,
  source,
}) => {
  await new Promise((resolve) => setTimeout(resolve, 150)) // beyond a tick of the file clock
  let closed = 'file 1'
  const closing: SourceFiles = {
    ...files,
    open(at) {
      if (at.toString().endsWith(closed)) throw systemError('EACCES')
      return files.open(at)
    },
  }
  const first = await openClient(cluster, closing).backup({ paths: [source] })
  assert.equal([first.exitCode, first.skipped], [3, 1])
  assert.equal([first.newFiles, first.changedFiles, first.files], [5, 0, 5])
  assert.is(first.bytes, 5 * 900_000)

  // Unchanged, but each has to be read again, for want of a copy.
  closed = 'file 2'
  for (const id of cluster.blobIds) cluster.replicas(id)[0]!.blobs.delete(id)
  const second = await openClient(cluster, closing).backup({ paths: [source] })
  assert.is(second.newFiles + second.changedFiles + second.unmodifiedFiles, 5)
  assert.equal([second.files, second.bytes, second.skipped], [5, 5 * 900_000, 1])
})

test('a file that changes while it is read counts once; if it is small, it is stored once', async ({
  cluster,
  source,
}) => {
  const growing = new Map([
    ['file 3', 1],
    ['small', 1],
  ])
  const at = (name: string): string => path.join(source, name)
  fs.writeFileSync(at('small'), 'before')
  const changing: SourceFiles = {
    ...files,
    open(from) {
      const file = files.open(from)
      const name = path.basename(from.toString())
      let looks = 0
      const stat = (): SourceStat => {
        looks += 1
        if (looks === 2 && growing.delete(name)) fs.appendFileSync(from, ' and after')
        return file.stat()
      }
      return { ...file, stat }
    },
  }
  let bytes = 0
  const summary = await openClient(cluster, changing).backup({
    paths: [source],
    onEvent: (event) => {
      if (event.type === 'progress') bytes = event.bytes
    },
  })
  assert.is(growing.size, 0)
  assert.is(summary.bytes, 6 * 900_000 + ' and after'.length + 'before and after'.length)
  assert.is(bytes, summary.bytes)
  assert.ok(cluster.chunks.has(chunkId(keys, Buffer.from('before and after'))))
  assert.not(cluster.chunks.has(chunkId(keys, Buffer.from('before'))))
})

test('a file counts as unchanged by size, mtime, ctime and inode, and when it is old enough', ({
  source,
  cluster,
}) => {
  const stat = fs.lstatSync(path.join(source, 'file 1'), { bigint: true })
  const { mtimeNs, ctimeNs, ino } = stat
  const known = { type: 'file', size: 900_000, mtimeNs, ctimeNs, inode: ino } as StoredEntry
  const reader = new ContentReader(contextFor(cluster).context, {} as never)
  const later = Number(ctimeNs / 1_000_000n) + 1_000
  assert.is(reader.isUnchanged(known, stat, later), true)
  for (const change of [
    { size: 900_001 },
    { mtimeNs: mtimeNs + 1n },
    { ctimeNs: ctimeNs + 1n },
    { inode: ino + 1n },
    { type: 'symlink' as const },
  ]) {
    const text = Object.keys(change).join()
    assert.is(reader.isUnchanged({ ...known, ...change }, stat, later), false, text)
  }
  assert.is(reader.isUnchanged(known, stat, later - 950), false, 'touched as its backup began')
})

test.run()
