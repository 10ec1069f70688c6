// test/server/arriving-blob.test.ts — does a slow disk or a slow backup server cost memory or bytes?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ArrivingBlob } from '../../src/server/arriving-blob.ts'
import type { BlobDraft } from '../../src/server/store/blob-store.ts'
import { MemoryStore } from '../../src/server/store/memory-store.ts'
import { makeBlob } from './support/blobs.ts'
import { codeOf } from './support/code-of.ts'
import { inPieces } from './support/world.ts'

const test = suite('server: a blob that arrives')
const blob = makeBlob(51, 6_000_000)

interface Watched {
  arriving: ArrivingBlob
  draft: BlobDraft
  /** Lengths of what was written and read back. */
  writes: number[]
  reads: number[]
  /** Each write waits for this. */
  gate: { wait: Promise<void> }
}

async function open(): Promise<Watched> {
  const store = new MemoryStore({ capacityBytes: 2 ** 30, reserveBytes: 0 })
  const inner = await store.create(blob.blobId, blob.bytes.length)
  const writes: number[] = []
  const reads: number[] = []
  const gate = { wait: Promise.resolve() }
  const draft: BlobDraft = {
    ...inner,
    append: async (pieces) => {
      await gate.wait
      writes.push(pieces.reduce((sum, piece) => sum + piece.length, 0))
      await inner.append(pieces)
    },
    read: async (offset, lengthBytes) => {
      reads.push(lengthBytes)
      return inner.read(offset, lengthBytes)
    },
  }
  return { arriving: new ArrivingBlob(draft), draft, writes, reads, gate }
}

test('tiny pieces become few writes', async () => {
  const { arriving, writes } = await open()
  for await (const piece of inPieces(blob.bytes, 1_400)) await arriving.push(piece)
  await arriving.commit()
  assert.is(
    writes.reduce((sum, length) => sum + length, 0),
    blob.bytes.length,
  )
  for (const length of writes.slice(0, -1)) assert.ok(length >= 256 * 1024, `${length}`)
  await arriving.close()
})

test('a slow disk holds up the sender, not the memory', async () => {
  const { arriving, gate } = await open()
  const opened = Promise.withResolvers<void>()
  gate.wait = opened.promise
  const feeding = (async () => {
    for await (const piece of inPieces(blob.bytes, 50_000)) await arriving.push(piece)
  })()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const waitingBytes = arriving.arrivedBytes - arriving.writtenBytes
  assert.ok(waitingBytes <= 1024 * 1024 + 50_000, `${waitingBytes}`)
  opened.resolve()
  await feeding
  await arriving.commit()
  await arriving.close()
})

test('a reader that keeps up reads nothing from the disk', async () => {
  const { arriving, reads } = await open()
  const reading = collect(arriving.tail())
  for await (const piece of inPieces(blob.bytes, 30_000)) await arriving.push(piece)
  assert.ok((await reading).equals(blob.bytes))
  assert.is(reads.length, 0)
  await arriving.commit()
  await arriving.close()
})

test('a reader that comes late, or lags, gets all bytes from the disk', async () => {
  const { arriving, reads } = await open()
  const slow = collect(arriving.tail(), 40)
  for await (const piece of inPieces(blob.bytes, 30_000)) await arriving.push(piece)
  assert.ok((await collect(arriving.tail())).equals(blob.bytes), 'late')
  await arriving.commit()
  assert.ok((await collect(arriving.tail())).equals(blob.bytes), 'after the commit')
  assert.ok((await slow).equals(blob.bytes), 'slow')
  assert.ok(reads.length > 0)
  assert.ok(Math.max(...reads) <= 256 * 1024)
  await arriving.close()
})

test('a disk that fails ends sender and readers with its error', async () => {
  const { arriving, gate } = await open()
  gate.wait = Promise.reject(Object.assign(new Error('EIO'), { code: 'STORAGE_FAILED' }))
  gate.wait.catch(() => {})
  const reading = codeOf(collect(arriving.tail()))
  const feeding = codeOf(
    (async () => {
      for await (const piece of inPieces(blob.bytes, 50_000)) await arriving.push(piece)
    })(),
  )
  assert.is(await feeding, 'STORAGE_FAILED')
  assert.is(await reading, 'STORAGE_FAILED')
  assert.is(await codeOf(arriving.commit()), 'STORAGE_FAILED')
  await arriving.close()
})

test('closing frees a reader that waits for more', async () => {
  const { arriving } = await open()
  await arriving.push(blob.bytes.subarray(0, 10))
  const reading = codeOf(collect(arriving.tail()))
  await arriving.close()
  assert.is(await reading, 'CANCELLED')
})

async function collect(source: AsyncIterable<Uint8Array>, everyMs = 0): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of source) {
    pieces.push(piece)
    if (everyMs > 0 && pieces.length < 5) await new Promise((done) => setTimeout(done, everyMs))
  }
  return Buffer.concat(pieces)
}

test.run()
