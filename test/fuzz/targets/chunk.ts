// test/fuzz/targets/chunk.ts — does whatever rests on a server's disk read as itself or as CORRUPT?
import * as assert from 'node:assert/strict'
import { constants, crc32, zstdCompressSync } from 'node:zlib'
import { encryptInPlace } from '../../../src/chunk/aead.ts'
import { BlobBuilder, BlobReceiver, readHeader } from '../../../src/chunk/blob.ts'
import {
  BLOB_HEADER_BYTES,
  decodeIndex,
  decodeIndexSummary,
  encodeIndex,
  SEGMENT_BYTES,
} from '../../../src/chunk/blob-index.ts'
import { zstd } from '../../../src/chunk/compressor.ts'
import { deriveKeys } from '../../../src/chunk/keys.ts'
import { open, PLAINTEXT_BYTES_MAX } from '../../../src/chunk/seal.ts'
import { decodeSnapshot, encodeSnapshot } from '../../../src/chunk/snapshot.ts'
import { answerOf, Choices, refusalOf, type Target } from '../target.ts'

const keys = deriveKeys(new Uint8Array(32).fill(1))
const idOf = (byte: number): string => Buffer.alloc(32, byte).toString('hex')
const SHORT_ID = idOf(9).slice(32)
const PLAIN = { clientName: 'laptop', timeMs: 5, groupId: SHORT_ID, tagIds: [SHORT_ID] }

/** A small blob with a chunk of each kind. */
function blobBytes(): Buffer {
  const builder = new BlobBuilder(keys.repositoryId)
  builder.add({ id: idOf(1), kind: 'data', sealed: Buffer.alloc(50, 1), edges: [] })
  builder.add({ id: idOf(2), kind: 'tree', sealed: Buffer.alloc(60, 2), edges: [idOf(1), idOf(1)] })
  const sealed = Buffer.alloc(70, 3)
  builder.add({ id: idOf(3), kind: 'snapshot', sealed, edges: [idOf(2)], snapshot: PLAIN })
  return Buffer.from(builder.finish().bytes)
}

/** The trailer's length and CRC-32 made good, at its end. */
function repairTrailer(trailer: Buffer): Buffer {
  if (trailer.length < 8) return trailer
  trailer.writeUInt32LE(trailer.length, trailer.length - 8)
  trailer.writeUInt32LE(crc32(trailer.subarray(0, -4)), trailer.length - 4)
  return trailer
}

const SIZE_STEP = 50

/** First byte: how many bytes the blob has before the trailer. */
const blobIndex: Target = {
  name: 'blob-index',
  sizeBytesMax: 3_000,
  seeds: () => {
    const blob = blobBytes()
    const trailer = blob.subarray(BLOB_HEADER_BYTES + 180)
    return [Buffer.from([Math.round(212 / SIZE_STEP), ...trailer]), Buffer.from([212, ...trailer])]
  },
  run(input) {
    const trailer = repairTrailer(Buffer.from(input.subarray(1)))
    const first = input[0] ?? 0
    const coveredBytes = first === 212 ? 212 : first * SIZE_STEP
    const sizeBytes = trailer.length + coveredBytes
    return answerOf(
      () => decodeIndex(trailer, sizeBytes),
      (index) => {
        assert.ok(encodeIndex(index).equals(trailer), 'another spelling was taken')
        assert.equal(decodeIndexSummary(trailer, sizeBytes).chunkCount, index.entries.length)
        return `read ${index.entries.length} ${index.entries.some(({ snapshot }) => snapshot)}`
      },
    )
  },
}

/** A whole blob in pieces. First byte: odd: checksums made good; the rest: length of the pieces. */
const blob: Target = {
  name: 'blob',
  sizeBytesMax: 3_000,
  seeds: () => [Buffer.from([1, ...blobBytes()]), Buffer.from([254, ...blobBytes()])],
  run(input) {
    const first = input[0] ?? 0
    const bytes = Buffer.from(input.subarray(1))
    if (first % 2 === 1) repairBlob(bytes)
    return answerOf(
      () => {
        const receiver = new BlobReceiver(bytes.length)
        const stepBytes = 1 + (first >> 1) * 7
        for (let at = 0; at < bytes.length; at += stepBytes) {
          receiver.update(bytes.subarray(at, at + stepBytes))
        }
        return receiver.finish()
      },
      ({ index }) => {
        const header = readHeader(bytes)
        assert.equal(header.indexBytes, index.length)
        assert.ok(bytes.subarray(-index.length).equals(index))
        return `received ${answerOf(
          () => decodeIndex(index, bytes.length),
          ({ entries }) => `${entries.length}`,
        )}`
      },
    )
  },
}

function repairBlob(bytes: Buffer): void {
  if (bytes.length < BLOB_HEADER_BYTES + 8) return
  const indexBytes = bytes.readUInt32LE(12)
  const start = bytes.length - indexBytes
  if (start < BLOB_HEADER_BYTES || indexBytes < 12) return
  if (bytes.length <= SEGMENT_BYTES) {
    bytes.writeUInt32LE(crc32(bytes.subarray(0, start)), bytes.length - 12)
  }
  repairTrailer(bytes.subarray(start))
}

const snapshot: Target = {
  name: 'snapshot',
  sizeBytesMax: 2_000,
  seeds: () => {
    const record = {
      version: 1,
      root: idOf(3),
      clientName: 'laptop',
      host: 'attic',
      paths: [Buffer.from('/home/\xff', 'latin1')],
      tags: ['weekly', 'ä'],
      timeMs: 1_700_000_000_000,
      statistics: { files: 3, folders: 2, others: 1, bytes: 2 ** 45 },
      parent: idOf(4),
      excludes: ['*.tmp'],
    } as const
    const none = { ...record, parent: null, tags: [], excludes: [], paths: [] }
    return [record, none].map((each) => encodeSnapshot(each))
  },
  run(input) {
    return answerOf(
      () => decodeSnapshot(input),
      (record) => {
        assert.ok(Buffer.from(encodeSnapshot(record)).equals(input), 'another spelling was taken')
        return `read ${record.parent === null} ${record.tags.length > 0}`
      },
    )
  },
}

const flags = (flag: number, lengthBytes: number, frame: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head[0] = flag
  head.writeUInt32LE(lengthBytes, 1)
  return Buffer.concat([head, frame])
}

const SMALL = zstdCompressSync('hello '.repeat(100))
const BOMB = zstdCompressSync(Buffer.alloc(64 * 2 ** 20))

/** A frame that asks its reader for a window of 128 MiB. */
const wideFrame = (): Buffer =>
  zstdCompressSync(Buffer.alloc(1_000, 5), {
    params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 },
  })

/** What is inside a chunk that was sealed under the right key, by a client that lies. */
const sealedChunk: Target = {
  name: 'sealed-chunk',
  inputsInTest: 200,
  sizeBytesMax: 3_000,
  seeds: () => [
    flags(0, 0, Buffer.alloc(9)),
    flags(1, 600, SMALL),
    flags(1, 64 * 2 ** 20, BOMB),
    flags(1, PLAINTEXT_BYTES_MAX, BOMB.subarray(0, 2_900)),
    flags(1, 0, SMALL),
    flags(2, 0, SMALL),
  ],
  async run(input) {
    const sealed = Buffer.alloc(24 + input.length + 16)
    input.copy(sealed, 24)
    const nonce = sealed.subarray(0, 24)
    const associated = Buffer.from(idOf(1), 'hex')
    encryptInPlace(sealed.subarray(24), { key: keys.dataKey, nonce, associated })
    try {
      const plaintext = await open(keys, idOf(1), sealed, zstd)
      assert.fail(`${plaintext.length} bytes pass for a chunk of another id`)
    } catch (error) {
      return refusalOf(error)
    }
  },
}

/** First byte: how much is asked for. */
const zstdFrame: Target = {
  name: 'zstd',
  sizeBytesMax: 4_096,
  seeds: () => [
    Buffer.concat([Buffer.from([6]), SMALL]),
    Buffer.concat([Buffer.from([200]), BOMB.subarray(0, 4_000)]),
    Buffer.concat([Buffer.from([6]), wideFrame()]),
    Buffer.concat([Buffer.from([12]), SMALL, SMALL]),
  ],
  async run(input) {
    const choices = new Choices(input)
    const sizeBytesMax = Math.min(PLAINTEXT_BYTES_MAX, choices.u8() * 100)
    try {
      const bytes = await zstd.decompress(input.subarray(1), sizeBytesMax)
      assert.ok(bytes.length <= Math.max(1, sizeBytesMax), `${bytes.length} of ${sizeBytesMax}`)
      return `read ${Math.ceil(Math.log2(bytes.length + 1))}`
    } catch (error) {
      return refusalOf(error)
    }
  },
}

export const chunkTargets: readonly Target[] = [blobIndex, blob, snapshot, sealedChunk, zstdFrame]
