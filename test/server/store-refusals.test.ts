// test/server/store-refusals.test.ts — what if the sender lies, vanishes, or sends twice?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { call } from '../../src/rpc/index.ts'
import { MemoryStore } from '../../src/server/store/memory-store.ts'
import { type Blob, makeBlob } from './support/blobs.ts'
import { addressOf, grantFor, identityOf, keyOf } from './support/cast.ts'
import { codeOf } from './support/code-of.ts'
import { inPieces, World } from './support/world.ts'

const test = suite('server: store, odd senders')
const blob = makeBlob(21, 900_000)

/** As a primary asks a backup server. */
async function replicate(world: World, number: number, what: Blob, sizeBytesMax: number) {
  const identity = identityOf({ kind: 'server', number: 9 })
  const endpoint = world.network.endpoint({ identity })
  const session = await endpoint.connect(addressOf({ kind: 'server', number }))
  const { publicKey } = identity
  const { blobId, bytes } = what
  const wanted = { kind: 'replicate', blobId, subject: keyOf(publicKey), sizeBytesMax } as const
  const grant = grantFor(world, wanted)
  const request = { repositoryId: world.repositoryId, blobId, sizeBytes: bytes.length, grant }
  const body = inPieces(bytes)
  const result = await call(session, 'blob.replicate', request, { body, clock: world.clock })
  result.discard()
  return result.response
}

test('bytes that are not the blob are kept by nobody', async () => {
  const world = await World.open(3)
  const bytes = Buffer.from(blob.bytes)
  bytes[450_000] = (bytes[450_000] ?? 0) ^ 1
  const storing = codeOf(world.store(1, { blobId: blob.blobId, bytes }))
  assert.is(await world.clock.until(storing), 'CORRUPT')
  await world.clock.pass(1_000)
  assert.equal(world.holders(blob), [])
  assert.is(world.manager?.reported.size, 0)
  await world.close()
})

test('a body that ends early or runs over is CORRUPT', async () => {
  const world = await World.open(2)
  for (const body of [
    inPieces(blob.bytes.subarray(0, 899_999)),
    inPieces(Buffer.concat([blob.bytes, Buffer.from('x')])),
  ]) {
    const code = await world.clock.until(codeOf(world.store(1, blob, { body })))
    assert.is(code, 'CORRUPT')
    assert.equal(world.holders(blob), [])
  }
  await world.close()
})

test('nobody stores with a grant for someone or something else', async () => {
  const world = await World.open(2)
  const { blobId } = blob
  const wrong = {
    'of another client': world.grant('store', blobId, 2),
    'for another blob': world.grant('store', 'ff'.repeat(32), 1),
    'for reading': world.grant('fetch', null, 1),
    'that is noise': new Uint8Array(100).fill(7),
    'that is empty': new Uint8Array(0),
  }
  for (const [what, grant] of Object.entries(wrong)) {
    const code = await world.clock.until(codeOf(world.store(1, blob, { grant })))
    assert.is(code, 'GRANT_REFUSED', what)
  }
  assert.equal(world.holders(blob), [])
  await world.close()
})

test('a client that vanishes in the middle leaves nothing anywhere', async () => {
  const world = await World.open(2)
  async function* body() {
    yield blob.bytes.subarray(0, 500_000)
    await new Promise<void>(() => {})
  }
  const storing = codeOf(world.store(1, blob, { body: body() }))
  await world.clock.pass(500)
  await world.killClient(1, 1)
  await storing
  await world.clock.pass(40_000)
  assert.equal(world.holders(blob), [])
  assert.is(world.manager?.loads.get(1)?.active, 0)
  assert.is(world.manager?.loads.get(2)?.active, 0)
  await world.close()
})

test('a client that vanishes after its last byte still finds its blob stored', async () => {
  const world = await World.open(2)
  world.manager?.forgets.set(2, 1) // holds up the commit for a while
  const storing = codeOf(world.store(1, blob))
  await world.clock.pass(1_000)
  assert.equal(world.holders(blob), [1, 2])
  assert.is(world.catalog.committed.size, 0, 'not yet')
  await world.killClient(1, 1)
  assert.is.not(await storing, '')
  await world.clock.pass(20_000)
  assert.equal(world.catalog.committed.get(blob.blobId), [1, 2])
  await world.close()
})

test('a blob that is committed already is answered at once, without its bytes', async () => {
  const world = await World.open(3)
  await world.clock.until(world.store(1, blob))
  let read = 0
  async function* body() {
    for await (const piece of inPieces(blob.bytes, 1_000)) {
      read += piece.length
      yield piece
    }
  }
  const startMs = world.clock.nowMs()
  const { servers } = await world.clock.until(world.store(1, blob, { body: body() }))
  assert.equal(servers, [1, 2])
  assert.ok(world.clock.nowMs() - startMs < 100)
  assert.ok(read < blob.bytes.length, `${read} bytes were read`)
  assert.is(world.manager?.assignments.length, 1)
  await world.close()
})

test('a blob held but never committed gets its second copy from the disk', async () => {
  const world = await World.open(1)
  assert.is(await world.clock.until(codeOf(world.store(1, blob))), 'NOT_ENOUGH_SERVERS')
  assert.equal(world.holders(blob), [1])
  await world.startServer(2)
  await world.clock.pass(1_000)
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 2])
  assert.equal(world.holders(blob), [1, 2])
  await world.close()
})

test('the same blob sent twice at once is stored once, and both hear of it', async () => {
  const world = await World.open(4)
  const storing = Promise.all([world.store(1, blob), world.store(1, blob, { client: 2 })])
  const answers = await world.clock.until(storing)
  assert.equal(answers, [{ servers: [1, 2] }, { servers: [1, 2] }])
  assert.equal(world.holders(blob), [1, 2])
  assert.is(world.manager?.assignments.length, 1)
  await world.close()
})

test('a backup server takes no more than its grant says', async () => {
  const world = await World.open(2)
  const storing = codeOf(replicate(world, 2, blob, blob.bytes.length - 1))
  assert.is(await world.clock.until(storing), 'GRANT_REFUSED')
  assert.equal(world.holders(blob), [])
  await world.clock.until(replicate(world, 2, blob, blob.bytes.length))
  assert.equal(world.holders(blob), [2])
  await world.close()
})

test('a copy of another size is never reported as a copy', async () => {
  const world = await World.open(3)
  const cutShort = world.stores.get(2)
  assert.ok(cutShort)
  cutShort.sizeBytes = () => 700_000
  const { servers } = await world.clock.until(world.store(1, blob))
  assert.equal(servers, [1, 3])
  assert.is(world.manager?.reported.get(blob.blobId)?.has(2), false)
  await world.close()
})

test('a second sender takes over from one that stalls', async () => {
  const world = await World.open(2)
  async function* stalling() {
    yield blob.bytes.subarray(0, 100_000)
    await new Promise<void>(() => {})
  }
  const first = codeOf(world.store(1, blob, { body: stalling() }))
  await world.clock.pass(100)
  const startMs = world.clock.nowMs()
  const { servers } = await world.clock.until(world.store(1, blob, { client: 2 }))
  assert.equal(servers, [1, 2])
  assert.ok(world.clock.nowMs() - startMs < 5_000)
  assert.is(await first, 'CANCELLED')
  await world.close()
})

test('a sender that stalls for ever does not keep its place for ever', async () => {
  const world = await World.open(2)
  async function* stalling() {
    yield blob.bytes.subarray(0, 100_000)
    await new Promise<void>(() => {})
  }
  const storing = codeOf(world.store(1, blob, { body: stalling() }))
  assert.is(await world.clock.until(storing, 60_000), 'DEADLINE_EXCEEDED')
  assert.equal(world.holders(blob), [])
  await world.close()
})

test('a full primary says so, and goes on serving', async () => {
  const world = await World.open(0)
  world.stores.set(1, new MemoryStore({ capacityBytes: 1_000_000, reserveBytes: 200_000 }))
  for (const number of [1, 2]) await world.startServer(number)
  await world.clock.pass(1_000)
  assert.is(await world.clock.until(codeOf(world.store(1, blob))), 'STORAGE_FULL')
  const small = makeBlob(22, 10_000)
  await world.clock.until(world.store(1, small))
  assert.equal(world.holders(small), [1, 2])
  await world.close()
})

test('many blobs at once all arrive, a few at a time', async () => {
  const world = await World.open(2, { limits: { storesMax: 2, replicatesMax: 2 } })
  const blobs = Array.from({ length: 20 }, (_, place) => makeBlob(100 + place, 60_000))
  const storing = Promise.all(blobs.map((one) => world.store(1, one)))
  await world.clock.until(storing)
  for (const one of blobs) assert.equal(world.holders(one), [1, 2])
  await world.close()
})

test('servers that back each other up do not wait in a circle', async () => {
  const world = await World.open(2, { limits: { storesMax: 1, replicatesMax: 1 } })
  const blobs = Array.from({ length: 12 }, (_, place) => makeBlob(200 + place, 60_000))
  const storing = Promise.all(blobs.map((one, place) => world.store(1 + (place % 2), one)))
  await world.clock.until(storing)
  for (const one of blobs) assert.equal(world.holders(one), [1, 2])
  await world.close()
})

test('a server that stops says so to those who wait, and leaves nothing half done', async () => {
  const world = await World.open(2)
  async function* stalling() {
    yield blob.bytes.subarray(0, 100_000)
    await new Promise<void>(() => {})
  }
  const storing = codeOf(world.store(1, blob, { body: stalling() }))
  await world.clock.pass(500)
  const stopping = world.servers.get(1)?.stop()
  assert.ok(stopping)
  await world.clock.until(stopping)
  assert.is(await world.clock.until(storing), 'SHUTTING_DOWN')
  assert.equal(world.holders(blob), [])
  await world.close()
})

test.run()
