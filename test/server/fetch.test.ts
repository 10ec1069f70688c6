// test/server/fetch.test.ts — does a reader get exactly its bytes, or a word that sends it elsewhere?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { call } from '../../src/rpc/index.ts'
import { makeBlob, put } from './support/blobs.ts'
import { addressOf, grantFor } from './support/cast.ts'
import { codeOf } from './support/code-of.ts'
import { World } from './support/world.ts'

const test = suite('server: fetch')
const blob = makeBlob(41, 1_000_000)
const SEGMENT_BYTES = 65_536

async function open(): Promise<World> {
  const world = await World.open(1)
  const store = world.stores.get(1)
  assert.ok(store)
  await put(store, blob)
  return world
}

test('ranges come one after the other, in the order asked', async () => {
  const world = await open()
  const ranges = [
    { offset: 900_000, length: 50_000 },
    { offset: 0, length: 10 },
    { offset: SEGMENT_BYTES - 1, length: 2 },
    { offset: 5, length: 300_000 },
    { offset: 5, length: 1 },
  ]
  const expected = ranges.map(({ offset, length }) => blob.bytes.subarray(offset, offset + length))
  const fetched = await world.clock.until(world.fetch(1, blob.blobId, ranges))
  assert.ok(fetched.equals(Buffer.concat(expected)))
  await world.close()
})

test('the whole blob comes back, trailer and all', async () => {
  const world = await open()
  const range = { offset: 0, length: blob.bytes.length }
  const fetched = await world.clock.until(world.fetch(1, blob.blobId, [range]))
  assert.ok(fetched.equals(blob.bytes))
  await world.close()
})

test('a decayed segment is CORRUPT, names the server, and the rest stays readable', async () => {
  const world = await open()
  world.stores.get(1)?.decay(blob.blobId, 3 * SEGMENT_BYTES + 17)
  const over = world.fetch(1, blob.blobId, [{ offset: 3 * SEGMENT_BYTES - 5, length: 10 }])
  const error = await world.clock.until(over.catch((caught: Error) => caught))
  assert.match(String(error), 'CORRUPT: server 1 has a bad copy')
  const before = { offset: 3 * SEGMENT_BYTES - 10, length: 10 }
  const after = { offset: 4 * SEGMENT_BYTES, length: 10 }
  const good = await world.clock.until(world.fetch(1, blob.blobId, [before, after]))
  assert.ok(good.subarray(0, 10).equals(blob.bytes.subarray(before.offset, before.offset + 10)))
  assert.ok(good.subarray(10).equals(blob.bytes.subarray(after.offset, after.offset + 10)))
  await world.close()
})

test('a decayed trailer hides no good bytes', async () => {
  const world = await open()
  world.stores.get(1)?.decay(blob.blobId, blob.bytes.length - 20)
  const fetched = world.fetch(1, blob.blobId, [{ offset: 100, length: 1_000 }])
  assert.ok((await world.clock.until(fetched)).equals(blob.bytes.subarray(100, 1_100)))
  await world.close()
})

test('an absent blob is NOT_FOUND, a range outside it a mistake', async () => {
  const world = await open()
  const code = (id: string, offset: number, length: number): Promise<string> =>
    world.clock.until(codeOf(world.fetch(1, id, [{ offset, length }])))
  assert.is(await code('0'.repeat(64), 0, 1), 'NOT_FOUND')
  assert.is(await code(blob.blobId, blob.bytes.length - 1, 2), 'INVALID_REQUEST')
  await world.close()
})

test('nobody reads with a grant for storing, or of someone else', async () => {
  const world = await open()
  const range = [{ offset: 0, length: 1 }]
  const subject = Buffer.from(addressOf({ kind: 'client', number: 2 }).publicKey).toString('hex')
  for (const grant of [
    world.grant('store', blob.blobId, 1),
    grantFor(world, { kind: 'fetch', blobId: null, subject }),
  ]) {
    const code = await world.clock.until(codeOf(world.fetch(1, blob.blobId, range, grant)))
    assert.is(code, 'GRANT_REFUSED')
  }
  await world.close()
})

test('one request cannot ask for more than a blob may be', async () => {
  const world = await open()
  const ranges = Array.from({ length: 20 }, () => ({ offset: 0, length: blob.bytes.length }))
  const code = await world.clock.until(codeOf(world.fetch(1, blob.blobId, ranges)))
  assert.is(code, 'INVALID_REQUEST')
  await world.close()
})

test('readers that ask together all get their bytes, within the memory allowed', async () => {
  const world = await World.open(1, { limits: { fetchBytesMax: 1_200_000 } })
  const store = world.stores.get(1)
  assert.ok(store)
  await put(store, blob)
  const range = { offset: 0, length: blob.bytes.length }
  const reads = Array.from({ length: 8 }, () => world.fetch(1, blob.blobId, [range]))
  for (const bytes of await world.clock.until(Promise.all(reads))) {
    assert.ok(bytes.equals(blob.bytes))
  }
  await world.close()
})

test('a reader that takes nothing gives its memory back to others', async () => {
  const limits = { fetchBytesMax: 1_200_000 }
  const world = await World.open(1, { limits, timing: { readerStallMs: 5_000 } })
  const store = world.stores.get(1)
  assert.ok(store)
  await put(store, blob)
  const range = { offset: 0, length: blob.bytes.length }
  const session = await world.clock.until(world.client(1, 1))
  const { repositoryId } = world
  const grant = world.grant('fetch', null, 1)
  const request = { repositoryId, blobId: blob.blobId, grant, ranges: [range] }
  const idle = await world.clock.until(call(session, 'blob.fetch', request, { clock: world.clock }))
  const second = world.fetch(1, blob.blobId, [range])
  assert.ok((await world.clock.until(second)).equals(blob.bytes))
  idle.discard()
  await world.close()
})

test.run()
