// test/server/support/blobs.ts — blobs of the real format, the same for the same seed
import { createHash } from 'node:crypto'
import { BlobBuilder } from '../../../src/chunk/index.ts'
import type { BlobStore } from '../../../src/server/store/blob-store.ts'

export const REPOSITORY_ID = 'aa'.repeat(16)

const CHUNK_BYTES_MAX = 1_000_000

export interface Blob {
  readonly blobId: string
  readonly bytes: Buffer
}

/** A blob of about that many bytes: what the trailer takes comes on top. */
export function makeBlob(seed: number, aboutBytes: number): Blob {
  const builder = new BlobBuilder(REPOSITORY_ID)
  const noise = noiseOf(seed, aboutBytes)
  for (let offset = 0; offset < aboutBytes; offset += CHUNK_BYTES_MAX) {
    const sealed = noise.subarray(offset, offset + CHUNK_BYTES_MAX)
    const id = createHash('sha256').update(`${seed} ${offset}`).digest('hex')
    builder.add({ id, kind: 'data', sealed, edges: [] })
  }
  const { blobId, bytes } = builder.finish()
  return { blobId, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) }
}

/** The place-th blob of a crash test, of a size of its own. */
export const crashBlob = (seed: number, place: number): Blob =>
  makeBlob(seed * 1_000 + place, 200_000 + ((seed * 31 + place * 7_919) % 1_800_000))

export async function put(store: BlobStore, blob: Blob): Promise<{ index: Uint8Array }> {
  const draft = await store.create(blob.blobId, blob.bytes.length)
  try {
    await draft.append([blob.bytes])
    return await draft.commit()
  } finally {
    await draft.close()
  }
}

function noiseOf(seed: number, lengthBytes: number): Buffer {
  const noise = Buffer.alloc(lengthBytes)
  let state = Math.imul(seed, 2_654_435_761) >>> 0
  for (let at = 0; at < lengthBytes; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    noise[at] = state >>> 24
  }
  return noise
}
