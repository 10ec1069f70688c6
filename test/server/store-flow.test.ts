// test/server/store-flow.test.ts — is a blob on two servers whenever a client hears that it is?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NoteOf } from '../../src/messages.ts'
import { makeBlob } from './support/blobs.ts'
import { codeOf } from './support/code-of.ts'
import { inPieces, World } from './support/world.ts'

const test = suite('server: store')
const blob = makeBlob(11, 900_000)

test('a stored blob is on two disks and in the catalog before the client hears so', async () => {
  const world = await World.open(3)
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 2])
  assert.equal(world.holders(blob), [1, 2])
  assert.equal(world.catalog.committed.get(blob.blobId), [1, 2])
  await world.close()
})

test('the manager gets the index from the primary, and from it alone', async () => {
  const world = await World.open(2)
  await world.clock.until(world.store(1, blob))
  const reports = world.manager?.reported.get(blob.blobId)
  const index = reports?.get(1)
  assert.ok(index && blob.bytes.subarray(blob.bytes.length - index.length).equals(index))
  assert.is(reports?.get(2), null)
  await world.close()
})

test('the backup server is asked for with the first bytes, not after the last', async () => {
  const world = await World.open(2)
  const last = Promise.withResolvers<void>()
  const notes: NoteOf<'blob.store'>[] = []
  async function* slowly() {
    yield blob.bytes.subarray(0, 600_000)
    await last.promise
    yield blob.bytes.subarray(600_000)
  }
  const onNote = (note: NoteOf<'blob.store'>): number => notes.push(note)
  const storing = world.store(1, blob, { body: slowly(), onNote })
  await world.clock.pass(1_000)
  assert.is(world.manager?.assignments.length, 1)
  assert.is(notes.at(-1)?.backupServer, 2)
  assert.is(notes.at(-1)?.forwardedBytes, 600_000, 'passed on while the rest is still to come')
  assert.equal(world.holders(blob), [])
  last.resolve()
  await world.clock.until(storing)
  assert.equal(world.holders(blob), [1, 2])
  await world.close()
})

test('a client that sends slowly does not cost a good backup server its place', async () => {
  const world = await World.open(3)
  async function* slowly() {
    for await (const piece of inPieces(blob.bytes, 300_000)) {
      await new Promise<void>((resolve) => world.clock.setTimer(resolve, 20_000))
      yield piece
    }
  }
  const { servers } = await world.clock.until(world.store(1, blob, { body: slowly() }))
  assert.equal(servers, [1, 2])
  assert.is(world.manager?.assignments.length, 1)
  await world.close()
})

test('without the second report nothing is ever called stored', async () => {
  const world = await World.open(2)
  world.manager?.forgets.set(2, 1_000)
  const storing = codeOf(world.store(1, blob))
  assert.is(await world.clock.until(storing), 'DEADLINE_EXCEEDED')
  assert.is(world.catalog.committed.size, 0)
  await world.close()
})

test('without a manager nothing is ever called stored', async () => {
  const world = await World.open(2)
  world.killManager()
  const code = await world.clock.until(codeOf(world.store(1, blob)))
  assert.ok(['UNREACHABLE', 'DEADLINE_EXCEEDED'].includes(code), code)
  await world.close()
})

test('a lost report of the backup server is asked for again', async () => {
  const world = await World.open(2)
  world.manager?.forgets.set(2, 1)
  await world.clock.until(world.store(1, blob))
  assert.equal(world.catalog.committed.get(blob.blobId), [1, 2])
  assert.is(world.manager?.assignments.length, 1, 'from the same backup server')
  await world.close()
})

test('no replica is reported while a block report that lacks it is on its way', async () => {
  const world = await World.open(2)
  const taken = Promise.withResolvers<void>()
  assert.ok(world.manager)
  world.manager.reportsTaken = taken.promise
  world.servers.get(2)?.wantReport()
  await world.clock.pass(100)
  const storing = world.store(1, blob)
  await world.clock.pass(4_000)
  assert.equal(world.holders(blob), [1, 2])
  assert.equal([...(world.manager.reported.get(blob.blobId)?.keys() ?? [])], [1])
  taken.resolve()
  assert.equal((await world.clock.until(storing)).servers, [1, 2])
  await world.close()
})

test('a lost report of the primary is repeated', async () => {
  const world = await World.open(2)
  world.manager?.forgets.set(1, 2)
  await world.clock.until(world.store(1, blob))
  assert.equal(world.holders(blob), [1, 2])
  await world.close()
})

test('a backup server that dies in the middle is replaced', async () => {
  const world = await World.open(3)
  async function* body() {
    yield blob.bytes.subarray(0, 500_000)
    await new Promise<void>((resolve) => world.clock.setTimer(resolve, 500))
    world.killServer(2)
    yield blob.bytes.subarray(500_000)
  }
  const { servers } = await world.clock.until(world.store(1, blob, { body: body() }))
  assert.equal(servers, [1, 3])
  assert.equal(world.manager?.assignments.at(-1)?.exclude, [2])
  assert.equal(world.holders(blob), [1, 3])
  await world.close()
})

test('a backup server that cannot be reached is replaced', async () => {
  const world = await World.open(3)
  world.cutServers(1, 2)
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 3])
  await world.close()
})

test('a backup server whose disk hangs is replaced', async () => {
  const world = await World.open(3)
  const hanging = world.stores.get(2)
  assert.ok(hanging)
  hanging.create = () => new Promise(() => {})
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 3])
  await world.close()
})

test('a backup server that is full is replaced', async () => {
  const world = await World.open(1)
  const { MemoryStore } = await import('../../src/server/store/memory-store.ts')
  world.stores.set(2, new MemoryStore({ capacityBytes: 1_000, reserveBytes: 0 }))
  for (const number of [2, 3]) await world.startServer(number)
  await world.clock.pass(1_000)
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 3])
  await world.close()
})

test('the only other server gets a second chance after a moment of trouble', async () => {
  const world = await World.open(2)
  const store = world.stores.get(2)
  assert.ok(store)
  const create = store.create.bind(store)
  store.create = async () => {
    store.create = create
    throw Object.assign(new Error('EIO: once'), { code: 'EIO' })
  }
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 2])
  await world.close()
})

test('where all backup servers fail the client hears it, and nothing is claimed', async () => {
  const world = await World.open(3)
  for (const number of [2, 3]) world.cutServers(1, number)
  const code = await world.clock.until(codeOf(world.store(1, blob)))
  assert.ok(['UNREACHABLE', 'DEADLINE_EXCEEDED'].includes(code), code)
  assert.is(world.catalog.committed.size, 0)
  const attempts = world.manager?.assignments.filter(({ to }) => to !== null) ?? []
  assert.ok(attempts.length >= 2 && attempts.length <= 6, `${attempts.length} attempts`)
  await world.close()
})

test('with one server there is a clear refusal, soon', async () => {
  const world = await World.open(1)
  await world.clock.pass(10_000) // a manager that has just started may have others on their way
  const startMs = world.clock.nowMs()
  assert.is(await world.clock.until(codeOf(world.store(1, blob))), 'NOT_ENOUGH_SERVERS')
  assert.ok(world.clock.nowMs() - startMs <= 5_000)
  assert.is(world.catalog.committed.size, 0)
  await world.close()
})

test('a manager killed and restarted in the middle costs time, not the blob', async () => {
  const world = await World.open(2)
  async function* body() {
    yield blob.bytes.subarray(0, 500_000)
    world.killManager()
    yield blob.bytes.subarray(500_000)
    world.clock.setTimer(() => world.startManager(), 4_000)
  }
  const { servers } = await world.clock.until(world.store(1, blob, { body: body() }))
  assert.equal(servers, [1, 2])
  assert.equal(world.catalog.committed.get(blob.blobId), [1, 2])
  await world.close()
})

test('a manager in safe mode is waited for', async () => {
  const world = await World.open(2)
  for (let count = 0; count < 3; count += 1) {
    world.manager?.refusals.push({ method: 'backup-server.assign', code: 'SAFE_MODE' })
  }
  await world.clock.until(world.store(1, blob))
  assert.equal(world.holders(blob), [1, 2])
  await world.close()
})

test('progress notes are few, and the last one says all', async () => {
  const world = await World.open(2)
  const notes: NoteOf<'blob.store'>[] = []
  const onNote = (note: NoteOf<'blob.store'>): number => notes.push(note)
  const startMs = world.clock.nowMs()
  await world.clock.until(world.store(1, blob, { body: inPieces(blob.bytes, 1_000), onNote }))
  const tookMs = world.clock.nowMs() - startMs
  const size = blob.bytes.length
  assert.equal(notes.at(-1), { storedBytes: size, forwardedBytes: size, backupServer: 2 })
  assert.ok(notes.length <= 2 + tookMs / 100, `${notes.length} notes in ${tookMs} ms`)
  await world.close()
})

test.run()
