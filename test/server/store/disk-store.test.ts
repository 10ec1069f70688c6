// test/server/store/disk-store.test.ts — does the disk store keep the promises, on bad disks too?
import { mkdir, readdir, stat, symlink, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DiskStore } from '../../../src/server/store/disk-store.ts'
import { makeBlob, put } from '../support/blobs.ts'
import { codeOf } from '../support/code-of.ts'
import { FaultyDisk } from '../support/faulty-disk.ts'
import { conformance } from './conformance.ts'

conformance('disk', async () => {
  const disk = await FaultyDisk.open()
  const { store } = await disk.openStore()
  return { store, setRoom: (bytes) => disk.setRoom(bytes), close: () => disk.remove() }
})

const test = suite<{ disk: FaultyDisk; store: DiskStore }>('store: disk, faults and starts')
const blob = makeBlob(3, 400_000)
const other = makeBlob(4, 5_000)
const pathOf = (disk: FaultyDisk, blobId: string): string =>
  join(disk.root, 'blobs', blobId.slice(0, 3), blobId)
const parts = (disk: FaultyDisk): Promise<string[]> => readdir(join(disk.root, 'tmp'))

test.before.each(async (context) => {
  context.disk = await FaultyDisk.open()
  context.store = (await context.disk.openStore()).store
})
test.after.each(({ disk }) => disk.remove())

test('a blob rests where the format says, readable by its owner only', async ({ disk, store }) => {
  await put(store, blob)
  const { mode, size } = await stat(pathOf(disk, blob.blobId))
  assert.is(mode & 0o777, 0o600)
  assert.is(size, blob.bytes.length)
  assert.is((await readdir(join(disk.root, 'blobs'))).length, 4096)
  assert.equal(await parts(disk), [])
})

test('bytes are synced before the name, the name before the answer', async ({ disk, store }) => {
  disk.calls.length = 0
  await put(store, blob)
  assert.equal(disk.calls, ['create', 'write', 'datasync', 'rename', 'syncFolder'])
})

test('a second start finds all blobs and makes no folder again', async ({ disk, store }) => {
  await put(store, blob)
  await put(store, other)
  disk.calls.length = 0
  const { store: again, problems } = await disk.openStore()
  assert.equal(problems, [])
  assert.is(again.sizeBytes(blob.blobId), blob.bytes.length)
  assert.is((await again.usage()).usedBytes, blob.bytes.length + other.bytes.length)
  assert.is(disk.calls.filter((call) => call === 'syncFolder').length, 2) // those with blobs
})

test('leftovers of a killed server are removed at the start', async ({ disk }) => {
  await writeFile(join(disk.root, 'tmp', `${blob.blobId}.7.part`), 'half a blob')
  const { store, problems } = await disk.openStore()
  assert.equal(problems, [])
  assert.equal(await parts(disk), [])
  await put(store, blob)
})

test("a start reports names that are not ours and leaves the user's files", async ({ disk }) => {
  const folder = join(disk.root, 'blobs', blob.blobId.slice(0, 3))
  const wrongFolder = join(disk.root, 'blobs', '000', 'f'.repeat(64))
  await writeFile(join(folder, 'notes.txt'), 'mine')
  await writeFile(wrongFolder, 'x'.repeat(100))
  await mkdir(join(folder, blob.blobId))
  await symlink('/nowhere', join(folder, `${blob.blobId.slice(0, 63)}0`))
  await writeFile(join(disk.root, 'tmp', 'mine.txt'), 'mine')
  const { store, problems } = await disk.openStore()
  assert.is(problems.length, 5, JSON.stringify(problems))
  assert.is([...store.list()].length, 0)
  for (const path of [wrongFolder, join(folder, 'notes.txt'), join(disk.root, 'tmp', 'mine.txt')]) {
    await stat(path)
  }
})

test('a size that no blob has goes to quarantine, not to the bin', async ({ disk, store }) => {
  await put(store, blob)
  await truncate(pathOf(disk, blob.blobId), 3)
  const { store: again, problems } = await disk.openStore()
  assert.is(problems.length, 1)
  assert.match(problems[0]?.problem ?? '', 'no blob has 3 bytes')
  assert.is(again.sizeBytes(blob.blobId), null)
  assert.equal(await readdir(join(disk.root, 'quarantine')), [blob.blobId])
})

test('two damaged copies of one blob are both kept', async ({ disk, store }) => {
  await put(store, other)
  await store.quarantine(other.blobId)
  await put(store, other)
  await store.quarantine(other.blobId)
  const kept = await readdir(join(disk.root, 'quarantine'))
  assert.equal(kept.sort(), [other.blobId, `${other.blobId}.1`])
})

test('one folder that cannot be read does not hide the other blobs', async ({ disk, store }) => {
  await put(store, blob)
  const calls = disk.calls.length
  disk.faults.list = ['', 'EIO'] // '' is no fault: the first list is tmp/'s
  const { store: again, problems } = await disk.openStore()
  assert.ok(disk.calls.length > calls)
  assert.is(problems.length, 1)
  assert.match(problems[0]?.problem ?? '', 'EIO')
  const hidden = problems[0]?.path.endsWith(blob.blobId.slice(0, 3))
  assert.is(again.sizeBytes(blob.blobId), hidden ? null : blob.bytes.length)
})

for (const [operation, code, answer] of [
  ['create', 'ENOSPC', 'STORAGE_FULL'],
  ['create', 'EIO', 'STORAGE_FAILED'],
  ['write', 'ENOSPC', 'STORAGE_FULL'],
  ['write', 'EDQUOT', 'STORAGE_FULL'],
  ['write', 'EIO', 'STORAGE_FAILED'],
  ['datasync', 'ENOSPC', 'STORAGE_FULL'],
  ['datasync', 'EIO', 'STORAGE_FAILED'],
  ['rename', 'EIO', 'STORAGE_FAILED'],
  ['syncFolder', 'EIO', 'STORAGE_FAILED'],
] as const) {
  test(`${code} at ${operation} costs that one blob, and is no lie`, async ({ disk, store }) => {
    disk.faults[operation] = [code]
    disk.tornBytes = 1_000
    assert.is(await codeOf(put(store, blob)), answer)
    assert.is(store.sizeBytes(blob.blobId), null, 'not held')
    assert.equal(await parts(disk), [], 'no leftover')
    await put(store, other)
    await put(store, blob)
    const reader = await store.open(blob.blobId)
    assert.ok(blob.bytes.equals(await reader.read(0, reader.sizeBytes)))
    await reader.close()
  })
}

test('a draft that failed once is never committed', async ({ disk, store }) => {
  disk.faults.datasync = ['EIO']
  const draft = await store.create(blob.blobId, blob.bytes.length)
  await draft.append([blob.bytes])
  assert.is(await codeOf(draft.commit()), 'STORAGE_FAILED')
  assert.is(await codeOf(draft.commit()), 'CANCELLED')
  await draft.close()
})

test('of two writers the second succeeds where the first fails', async ({ disk, store }) => {
  const drafts = [
    await store.create(blob.blobId, blob.bytes.length),
    await store.create(blob.blobId, blob.bytes.length),
  ]
  for (const draft of drafts) await draft.append([blob.bytes])
  disk.faults.syncFolder = ['EIO']
  const codes = await Promise.all(drafts.map((draft) => codeOf(draft.commit())))
  for (const draft of drafts) await draft.close()
  assert.equal(codes.sort(), ['', 'STORAGE_FAILED'])
  assert.is(store.sizeBytes(blob.blobId), blob.bytes.length)
})

test('a disk that keeps failing makes the server read-only, for a while', async (context) => {
  const { disk, store } = context
  await put(store, other)
  disk.faults.write = ['EIO', 'EIO', 'EIO']
  for (let failure = 0; failure < 3; failure += 1) {
    assert.is((await store.usage()).readOnly, false)
    assert.is(await codeOf(put(store, blob)), 'STORAGE_FAILED')
  }
  assert.is((await store.usage()).readOnly, true)
  assert.is(await codeOf(put(store, blob)), 'STORAGE_FULL')
  const reader = await store.open(other.blobId) // reads go on
  assert.ok(other.bytes.equals(await reader.read(0, reader.sizeBytes)))
  await reader.close()
  disk.nowMs += 10_000
  disk.faults.write = ['EIO']
  assert.is(await codeOf(put(store, blob)), 'STORAGE_FAILED', 'one more try')
  assert.is(await codeOf(put(store, blob)), 'STORAGE_FULL', 'and rest again')
  disk.nowMs += 10_000
  await put(store, blob)
  assert.is((await store.usage()).readOnly, false)
})

test('a read error concerns that blob only', async ({ disk, store }) => {
  await put(store, blob)
  const reader = await store.open(blob.blobId)
  disk.faults.read = ['EIO']
  assert.is(await codeOf(reader.read(0, 10)), 'STORAGE_FAILED')
  assert.is((await reader.read(0, 10)).length, 10)
  await reader.close()
})

test('a blob cut short behind our back is CORRUPT, never short', async ({ disk, store }) => {
  await put(store, blob)
  await truncate(pathOf(disk, blob.blobId), 100)
  const reader = await store.open(blob.blobId)
  assert.is(await codeOf(reader.read(0, blob.bytes.length)), 'CORRUPT')
  await reader.close()
})

test('a blob removed behind our back is NOT_FOUND, and said to be lost', async (context) => {
  const { disk, store } = context
  await put(store, blob)
  const lost: string[] = []
  store.onLost = (blobId) => lost.push(blobId)
  await unlink(pathOf(disk, blob.blobId))
  assert.is(await codeOf(store.open(blob.blobId)), 'NOT_FOUND')
  assert.equal(lost, [blob.blobId])
  assert.is(store.sizeBytes(blob.blobId), null)
})

test.run()
