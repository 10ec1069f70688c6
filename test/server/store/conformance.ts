// test/server/store/conformance.ts — run once per implementation of BlobStore
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BlobStore } from '../../../src/server/store/blob-store.ts'
import { type Blob, makeBlob, put } from '../support/blobs.ts'
import { codeOf } from '../support/code-of.ts'

export interface Opened {
  readonly store: BlobStore
  /** Free space is set to this many bytes above the reserve. */
  setRoom(bytes: number): void
  close(): Promise<void>
}

export function conformance(name: string, open: () => Promise<Opened>): void {
  const test = suite<Opened>(`store: ${name}`)
  const small = makeBlob(1, 3_000)
  const large = makeBlob(2, 1_500_000)
  test.before.each(async (context) => {
    Object.assign(context, await open())
  })
  test.after.each(({ close }) => close())

  test('what was put comes back whole, byte for byte', async ({ store }) => {
    for (const blob of [small, large]) {
      const { index } = await put(store, blob)
      assert.ok(index.length > 0)
      assert.is(store.sizeBytes(blob.blobId), blob.bytes.length)
      assert.ok(Buffer.from(await readAll(store, blob)).equals(blob.bytes))
    }
  })

  test('the trailer is the end of the blob, for whoever must report it', async ({ store }) => {
    const { index } = await put(store, large)
    assert.ok(Buffer.from(large.bytes.subarray(large.bytes.length - index.length)).equals(index))
  })

  test('any range comes back exact, up to the last byte', async ({ store }) => {
    await put(store, large)
    const size = large.bytes.length
    const reader = await store.open(large.blobId)
    for (const [offset, length] of [
      [0, 1],
      [size - 1, 1],
      [65_535, 2],
      [100_000, 1_000_000],
      [0, size],
    ] as const) {
      const bytes = await reader.read(offset, length)
      assert.ok(large.bytes.subarray(offset, offset + length).equals(bytes), `${offset}+${length}`)
    }
    await reader.close()
    await reader.close()
  })

  test('a range outside the blob is refused, never answered short', async ({ store }) => {
    await put(store, small)
    const size = small.bytes.length
    const reader = await store.open(small.blobId)
    for (const [offset, length] of [
      [0, size + 1],
      [size, 1],
      [-1, 2],
      [0, 0],
      [0.5, 1],
      [Number.MAX_SAFE_INTEGER, 2],
    ] as const) {
      assert.is(await codeOf(reader.read(offset, length)), 'INVALID_REQUEST', `${offset}+${length}`)
    }
    await reader.close()
  })

  test('an absent blob is NOT_FOUND, never empty bytes', async ({ store }) => {
    assert.is(store.sizeBytes('0'.repeat(64)), null)
    assert.is(await codeOf(store.open('0'.repeat(64))), 'NOT_FOUND')
    assert.is(await codeOf(store.quarantine('0'.repeat(64))), 'NOT_FOUND')
  })

  test('a blob does not exist before it is committed', async ({ store }) => {
    const draft = await store.create(small.blobId, small.bytes.length)
    await draft.append([small.bytes])
    assert.is(store.sizeBytes(small.blobId), null)
    assert.is([...store.list()].length, 0)
    assert.is(await codeOf(store.open(small.blobId)), 'NOT_FOUND')
    await draft.commit()
    assert.is(store.sizeBytes(small.blobId), small.bytes.length)
    await draft.close()
  })

  test('a draft that is closed leaves nothing', async ({ store }) => {
    const draft = await store.create(small.blobId, small.bytes.length)
    await draft.append([small.bytes])
    await draft.close()
    await draft.close()
    assert.is(await codeOf(draft.commit()), 'CANCELLED')
    assert.is(store.sizeBytes(small.blobId), null)
    await put(store, small) // and is in nobody's way
  })

  test('bytes of another blob are CORRUPT and nothing is kept', async ({ store }) => {
    const draft = await store.create('ab'.repeat(32), small.bytes.length)
    await draft.append([small.bytes])
    assert.is(await codeOf(draft.commit()), 'CORRUPT')
    await draft.close()
    assert.is(store.sizeBytes('ab'.repeat(32)), null)
    assert.is(store.sizeBytes(small.blobId), null)
  })

  test('one flipped bit anywhere is CORRUPT and nothing is kept', async ({ store }) => {
    for (const place of [0, 5, 1_000, small.bytes.length - 1]) {
      const bytes = Buffer.from(small.bytes)
      bytes[place] = (bytes[place] ?? 0) ^ 0x10
      const draft = await store.create(small.blobId, bytes.length)
      assert.is(await codeOf(draft.append([bytes]).then(() => draft.commit())), 'CORRUPT')
      await draft.close()
      assert.is(store.sizeBytes(small.blobId), null)
    }
  })

  test('a blob that ends early is CORRUPT', async ({ store }) => {
    const draft = await store.create(small.blobId, small.bytes.length)
    await draft.append([small.bytes.subarray(0, -1)])
    assert.is(await codeOf(draft.commit()), 'CORRUPT')
    await draft.close()
  })

  test('more bytes than announced are CORRUPT', async ({ store }) => {
    const draft = await store.create(small.blobId, small.bytes.length)
    const appending = draft.append([small.bytes, Buffer.from([1])])
    assert.is(await codeOf(appending.then(() => draft.commit())), 'CORRUPT')
    await draft.close()
  })

  test('a second put of the same blob changes nothing', async ({ store }) => {
    const first = await put(store, small)
    const second = await put(store, small)
    assert.equal(Buffer.from(second.index), Buffer.from(first.index))
    assert.is((await store.usage()).blobs, 1)
    assert.is((await store.usage()).usedBytes, small.bytes.length)
    assert.ok(Buffer.from(await readAll(store, small)).equals(small.bytes))
  })

  test('two writers of one blob at once both end well', async ({ store }) => {
    const drafts = await Promise.all(
      [1, 2, 3].map(() => store.create(large.blobId, large.bytes.length)),
    )
    for (const draft of drafts) await draft.append([large.bytes])
    await Promise.all(drafts.map((draft) => draft.commit()))
    await Promise.all(drafts.map((draft) => draft.close()))
    assert.is([...store.list()].length, 1)
    assert.is((await store.usage()).usedBytes, large.bytes.length)
    assert.ok(Buffer.from(await readAll(store, large)).equals(large.bytes))
  })

  test('a draft gives back what it was given, before and after the commit', async ({ store }) => {
    const draft = await store.create(large.blobId, large.bytes.length)
    await draft.append([large.bytes.subarray(0, 700_000)])
    const early = await draft.read(600_000, 100_000)
    assert.ok(large.bytes.subarray(600_000, 700_000).equals(early))
    await draft.append([large.bytes.subarray(700_000, 700_001), large.bytes.subarray(700_001)])
    await draft.commit()
    const late = await draft.read(0, large.bytes.length)
    assert.ok(large.bytes.equals(late))
    await draft.close()
    assert.is(await codeOf(draft.read(0, 1)), 'CANCELLED')
  })

  test('the list meets blobs that join while it is walked', async ({ store }) => {
    await put(store, small)
    const seen: string[] = []
    for (const { blobId } of store.list()) {
      if (seen.length === 0) await put(store, large)
      seen.push(blobId)
    }
    assert.equal(seen.sort(), [small.blobId, large.blobId].sort())
  })

  test('below the reserve nothing is taken, and reads go on', async ({ store, setRoom }) => {
    await put(store, small)
    setRoom(large.bytes.length - 1)
    assert.is(await codeOf(store.create(large.blobId, large.bytes.length)), 'STORAGE_FULL')
    setRoom(-1)
    assert.is((await store.usage()).readOnly, true)
    assert.ok(Buffer.from(await readAll(store, small)).equals(small.bytes))
    setRoom(large.bytes.length * 2)
    assert.is((await store.usage()).readOnly, false)
    await put(store, large)
  })

  test('drafts under way count against the room', async ({ store, setRoom }) => {
    setRoom(large.bytes.length + 10)
    const draft = await store.create(large.blobId, large.bytes.length)
    assert.is(await codeOf(store.create(small.blobId, small.bytes.length)), 'STORAGE_FULL')
    await draft.close()
    await put(store, small)
  })

  test('a quarantined blob is no longer held, and can be stored again', async ({ store }) => {
    await put(store, small)
    await store.quarantine(small.blobId)
    assert.is(store.sizeBytes(small.blobId), null)
    assert.is(await codeOf(store.open(small.blobId)), 'NOT_FOUND')
    assert.is((await store.usage()).usedBytes, 0)
    await put(store, small)
    await store.quarantine(small.blobId)
    await put(store, small)
    assert.ok(Buffer.from(await readAll(store, small)).equals(small.bytes))
  })
  test.run()
}

async function readAll(store: BlobStore, blob: Blob): Promise<Uint8Array> {
  const reader = await store.open(blob.blobId)
  const bytes = await reader.read(0, reader.sizeBytes)
  await reader.close()
  return bytes
}
