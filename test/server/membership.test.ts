// test/server/membership.test.ts — does the manager know a server that runs, whatever restarts?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../src/server/store/memory-store.ts'
import { makeBlob, put } from './support/blobs.ts'
import { addressOf } from './support/cast.ts'
import { World } from './support/world.ts'

const test = suite('server: membership')

test('a server that starts before its manager waits for it, and reads work', async () => {
  const world = new World()
  const server = await world.startServer(1)
  const blob = makeBlob(31, 200_000)
  const store = world.stores.get(1)
  assert.ok(store)
  await put(store, blob)
  await world.clock.pass(30_000)
  const fetched = world.fetch(1, blob.blobId, [{ offset: 5, length: 100_000 }])
  assert.ok(blob.bytes.subarray(5, 100_005).equals(await world.clock.until(fetched)))
  world.startManager()
  const startMs = world.clock.nowMs()
  await world.clock.until(server.ready)
  assert.ok(world.clock.nowMs() - startMs <= 3_000, 'and is known soon after')
  assert.is(world.said.filter((line) => line.includes('waiting for it')).length, 1, 'said once')
  await world.close()
})

test('a manager killed and restarted has its servers up within 10 s', async () => {
  for (let offsetMs = 0; offsetMs < 4_000; offsetMs += 700) {
    const world = await World.open(3)
    await world.clock.pass(10_000 + offsetMs)
    world.killManager()
    const manager = world.startManager()
    await world.clock.pass(10_000)
    assert.is(manager.servers.size, 3, `killed ${offsetMs} ms after a heartbeat`)
    await world.close()
  }
})

test('a manager that is away for minutes finds its servers when it is back', async () => {
  const world = await World.open(2)
  world.killManager()
  await world.clock.pass(300_000)
  const manager = world.startManager()
  await world.clock.pass(4_000)
  assert.is(manager.servers.size, 2)
  await world.close()
})

test('heartbeats come every two seconds and tell the load', async () => {
  const world = await World.open(1)
  const before = world.manager?.heartbeats ?? 0
  await world.clock.pass(20_000)
  assert.is((world.manager?.heartbeats ?? 0) - before, 10)
  const load = world.manager?.loads.get(1)
  assert.equal(load, { usedBytes: 0, freeBytes: 2 ** 30, blobs: 0, active: 0, readOnly: false })
  await world.close()
})

test('a disk that fills up is said so once in the log, and to the manager', async () => {
  const world = new World()
  const store = new MemoryStore({ capacityBytes: 1_000_000, reserveBytes: 500_000 })
  world.stores.set(1, store)
  world.startManager()
  await world.clock.until((await world.startServer(1)).ready)
  await world.clock.pass(10_000)
  const full = (): string[] => world.said.filter((line) => line.includes('full or failing'))
  assert.is(full().length, 0)
  await put(store, makeBlob(34, 400_000))
  await put(store, makeBlob(35, 400_000)).catch(() => {}) // no room for it
  await world.clock.pass(20_000)
  assert.is(full().length, 1)
  assert.is(world.manager?.loads.get(1)?.readOnly, true)
  await world.close()
})

test('one lost heartbeat changes nothing', async () => {
  const world = await World.open(1)
  const server = addressOf({ kind: 'server', number: 1 })
  const manager = addressOf({ kind: 'manager' })
  await world.clock.pass(1_500)
  world.network.cut(server, manager)
  await world.clock.pass(2_500)
  world.network.heal(server, manager)
  await world.clock.pass(20_000)
  assert.is(world.said.filter((line) => line.includes('registered')).length, 1)
  await world.close()
})

test('a disk that hangs does not make the server look dead', async () => {
  const world = await World.open(1)
  await world.clock.pass(2_000)
  const store = world.stores.get(1)
  assert.ok(store)
  store.usage = () => new Promise(() => {})
  const before = world.manager?.heartbeats ?? 0
  await world.clock.pass(10_000)
  assert.is((world.manager?.heartbeats ?? 0) - before, 5)
  await world.close()
})

test('a manager that has forgotten the server gets it registered again', async () => {
  const world = await World.open(1)
  world.manager?.servers.clear()
  await world.clock.pass(4_000)
  assert.is(world.manager?.servers.size, 1)
  await world.close()
})

test('a manager of another cluster is refused, and the server says so', async () => {
  const world = new World()
  const manager = world.startManager()
  manager.clusterId = 'dd'.repeat(16)
  const server = await world.startServer(1)
  await world.clock.pass(20_000)
  assert.match(server.refusal ?? '', `belongs to cluster ${manager.clusterId}`)
  assert.is(manager.heartbeats, 0)
  assert.is(world.states.get(1)?.highest, null)
  assert.ok(world.said.some((line) => line.includes('belongs to cluster')))
  manager.clusterId = world.clusterId
  await world.clock.until(server.ready)
  assert.is(server.refusal, null)
  await world.close()
})

test('an older catalog is noticed and said, even by a restarted server', async () => {
  const world = await World.open(1)
  world.catalog.operation = 70
  await world.clock.pass(5_000)
  await world.close()
  world.catalog.operation = 12
  world.killServer(1)
  const server = await world.startServer(1)
  await world.clock.until(server.ready)
  assert.ok(world.said.some((line) => line.includes('operation 12) is older than one seen before')))
  assert.is(world.states.get(1)?.highest?.operation, 70)
  await world.close()
})

test('the manager learns all that a server holds, in pages', async () => {
  const world = new World()
  const manager = world.startManager()
  const server = await world.startServer(1)
  const store = world.stores.get(1)
  assert.ok(store)
  const many = Array.from({ length: 9_000 }, (_, place) => ({
    blobId: place.toString(16).padStart(64, '0'),
    sizeBytes: 1_000 + place,
  }))
  store.list = () => many
  await world.clock.until(server.ready)
  await world.clock.pass(1_000)
  assert.equal(manager.blockReports.get(1), many)
  await world.close()
})

test('a blob that is lost from the disk is reported without being asked', async () => {
  const world = await World.open(2)
  const blob = makeBlob(32, 10_000)
  await world.clock.until(world.store(1, blob))
  if (world.manager) world.manager.wantsReport = false
  await world.stores.get(1)?.quarantine(blob.blobId)
  world.manager?.blockReports.clear()
  world.servers.get(1)?.wantReport()
  await world.clock.pass(1_000)
  assert.equal(world.manager?.blockReports.get(1), [])
  await world.close()
})

test.run()
