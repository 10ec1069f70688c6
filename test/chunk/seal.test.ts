// test/chunk/seal.test.ts — does a chunk come back exactly, or not at all?
import { randomFillSync } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encryptInPlace, NONCE_BYTES, TAG_BYTES } from '../../src/chunk/aead.ts'
import { type Compressor, chunkId, deriveKeys, open, seal, zstd } from '../../src/chunk/index.ts'
import { PLAINTEXT_BYTES_MAX, SEAL_OVERHEAD_BYTES } from '../../src/chunk/seal.ts'
import { isHoldfastError } from '../../src/errors.ts'
import { prng, randomBytes } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const keys = deriveKeys(new Uint8Array(32).fill(7))
const test = suite(`chunk: sealing, replay with SEED=${seed}`)

test('all sizes, both ways through the compressor', async () => {
  const random = prng(seed)
  for (const sizeBytes of [0, 1, 100, 65_536, 65_537, 131_072, 1_000_000, PLAINTEXT_BYTES_MAX]) {
    const texts = Buffer.alloc(sizeBytes, 'what repeats is made smaller; ')
    for (const plaintext of [randomBytes(random, sizeBytes), texts]) {
      const id = chunkId(keys, plaintext)
      const sealed = await seal(keys, id, plaintext, zstd)
      const isText = plaintext === texts && sizeBytes >= 100
      if (isText) assert.ok(sealed.length < sizeBytes, `${sealed.length} of ${sizeBytes}`)
      else assert.is(sealed.length, sizeBytes + SEAL_OVERHEAD_BYTES, 'never larger than raw')
      assert.ok(Buffer.from(await open(keys, id, sealed, zstd)).equals(plaintext))
    }
  }
  await seal(keys, 'ab'.repeat(32), Buffer.alloc(PLAINTEXT_BYTES_MAX + 1), zstd).then(
    () => assert.unreachable('a chunk over the maximum was sealed'),
    (error) => assert.instance(error, RangeError),
  )
})

test('every flipped bit and every missing byte is CORRUPT', async () => {
  const plaintext = Buffer.from('a short chunk')
  const id = chunkId(keys, plaintext)
  const sealed = await seal(keys, id, plaintext, zstd)
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const damaged = Buffer.from(sealed)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    assert.is(await codeOf(open(keys, id, damaged, zstd)), 'CORRUPT', `bit ${bit}`)
  }
  for (let length = 0; length < sealed.length; length += 1) {
    assert.is(await codeOf(open(keys, id, sealed.subarray(0, length), zstd)), 'CORRUPT')
  }
  const tooLong = new Uint8Array(PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES + 1)
  assert.is(await codeOf(open(keys, id, tooLong, zstd)), 'CORRUPT')
})

test('another key, another id and another kind are CORRUPT', async () => {
  const plaintext = Buffer.from('a file that holds the bytes of a tree node')
  const other = deriveKeys(new Uint8Array(32).fill(8))
  const data = chunkId(keys, plaintext)
  const tree = chunkId(keys, plaintext, 'tree')
  assert.is.not(data, tree)
  const sealed = await seal(keys, data, plaintext, zstd)
  assert.is(await codeOf(open(keys, data, sealed, zstd, 'data')), 'no error')
  assert.is(await codeOf(open(keys, data, sealed, zstd, 'tree')), 'CORRUPT')
  assert.is(await codeOf(open(keys, tree, sealed, zstd)), 'CORRUPT')
  assert.is(await codeOf(open(other, data, sealed, zstd)), 'CORRUPT')
})

test('a sealed lie is found: content under an id that is not its own', async () => {
  const id = chunkId(keys, Buffer.from('what the id says'))
  const sealed = await seal(keys, id, Buffer.from('something else'), zstd)
  assert.is(await codeOf(open(keys, id, sealed, zstd)), 'CORRUPT')
})

test('a decompression bomb costs no memory, and every odd body is CORRUPT', async () => {
  const bomb = zstdCompressSync(Buffer.alloc(64 * 2 ** 20))
  assert.ok(bomb.length < 10_000)
  const frame = zstdCompressSync(Buffer.alloc(1000))
  const lengthOf = (bytes: number): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes)
    return length
  }
  const bodies: Buffer[] = [
    Buffer.concat([Buffer.of(1), lengthOf(PLAINTEXT_BYTES_MAX), bomb]),
    Buffer.concat([Buffer.of(1), lengthOf(100), bomb]),
    Buffer.concat([Buffer.of(1), lengthOf(2 ** 32 - 1), bomb]),
    Buffer.concat([Buffer.of(1), lengthOf(999), frame]),
    Buffer.concat([Buffer.of(1), lengthOf(1001), frame]),
    Buffer.concat([Buffer.of(1), lengthOf(1000), frame.subarray(0, -1)]),
    Buffer.concat([Buffer.of(1), lengthOf(1000), Buffer.from('no zstd frame')]),
    Buffer.concat([Buffer.of(1), lengthOf(0)]),
    Buffer.of(1, 0, 0),
    Buffer.of(1),
    Buffer.of(2, 0, 0),
    Buffer.of(255),
  ]
  const before = process.memoryUsage().arrayBuffers
  for (const body of bodies) {
    const id = chunkId(keys, Buffer.alloc(1000))
    assert.is(await codeOf(open(keys, id, sealBody(id, body), zstd)), 'CORRUPT')
  }
  const grownBytes = process.memoryUsage().arrayBuffers - before
  assert.ok(grownBytes < 32 * 2 ** 20, `${grownBytes} bytes for a bomb`)
  const id = chunkId(keys, Buffer.alloc(1000))
  const right = sealBody(id, Buffer.concat([Buffer.of(1), lengthOf(1000), frame]))
  assert.is((await open(keys, id, right, zstd)).length, 1000, 'the right body opens')
})

test('a frame that wants more memory to be read than any chunk needs is CORRUPT', async () => {
  // Magic, no sizes, a window of 2^windowLog bytes, one last block: the byte 7, `bytes` times.
  const frameOf = (windowLog: number, bytes: number): Buffer =>
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - 10) << 3, 3 | (bytes << 3), 0, 0, 7])
  assert.is((await zstd.decompress(frameOf(22, 9), 9)).length, 9)
  for (const windowLog of [24, 27, 31]) {
    assert.is(await codeOf(zstd.decompress(frameOf(windowLog, 9), 9)), 'CORRUPT')
  }
})

test('a compressor that makes things larger is not listened to', async () => {
  const worse: Compressor = {
    compress: async (bytes) => Buffer.concat([bytes, bytes]),
    decompress: async () => assert.unreachable() as never,
  }
  const plaintext = Buffer.alloc(5000)
  const id = chunkId(keys, plaintext)
  const sealed = await seal(keys, id, plaintext, worse)
  assert.is(sealed.length, plaintext.length + SEAL_OVERHEAD_BYTES)
  assert.ok(Buffer.from(await open(keys, id, sealed, worse)).equals(plaintext))
})

/** Any inside, sealed as it is: what only a holder of the key could make. */
function sealBody(id: string, inside: Uint8Array): Buffer {
  const sealed = Buffer.alloc(NONCE_BYTES + inside.length + TAG_BYTES)
  const nonce = randomFillSync(sealed.subarray(0, NONCE_BYTES))
  sealed.set(inside, NONCE_BYTES)
  const associated = Buffer.from(id, 'hex')
  encryptInPlace(sealed.subarray(NONCE_BYTES), { key: keys.dataKey, nonce, associated })
  return sealed
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error) => (isHoldfastError(error) ? error.code : `another throw: ${String(error)}`),
  )

test.run()
