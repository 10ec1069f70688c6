// test/chunk/chunker.test.ts — are files cut by their content alone, within the sizes promised?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { gearTable } from '../../src/chunk/chunker.ts'
import { CHUNK_SIZES, Chunker, deriveKeys } from '../../src/chunk/index.ts'
import { prng, randomBytes } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const { gearKey } = deriveKeys(new Uint8Array(32).fill(7))
const SMALL = { bytesMin: 64, bytesWanted: 256, bytesMax: 1024 }
const test = suite(`chunk: cutting, replay with SEED=${seed}`)

test('the unrolled loop cuts where the plain definition cuts, however the input is split', () => {
  const random = prng(seed)
  for (let round = 0; round < 300; round += 1) {
    const bytes = interesting(random, Math.floor(random() * 6_000))
    const expected = cutPlainly(bytes)
    const chunker = new Chunker(gearKey, SMALL)
    const lengths: number[] = []
    for (let at = 0; at < bytes.length; ) {
      const pieceBytes = 1 + Math.floor(random() ** 3 * 3_000)
      for (const chunk of chunker.push(bytes.subarray(at, at + pieceBytes))) {
        lengths.push(chunk.length)
      }
      at += pieceBytes
    }
    for (const chunk of chunker.finish()) lengths.push(chunk.length)
    assert.equal(lengths, expected, `round ${round}`)
  }
})

test('byte by byte, with empty pieces between, nothing is lost', () => {
  const bytes = randomBytes(prng(seed), 5_000)
  const chunker = new Chunker(gearKey, SMALL)
  const chunks: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += 1) {
    chunks.push(...chunker.push(new Uint8Array()), ...chunker.push(bytes.subarray(at, at + 1)))
  }
  chunks.push(...chunker.finish())
  assert.ok(Buffer.concat(chunks).equals(bytes))
  assert.equal(
    chunks.map((chunk) => chunk.length),
    cutPlainly(bytes),
  )
  assert.equal(chunker.finish(), [], 'it is ready for the next file')
})

test('a file up to the minimum is one chunk, and is not copied', () => {
  for (const sizeBytes of [1, CHUNK_SIZES.bytesMin - 1, CHUNK_SIZES.bytesMin]) {
    const bytes = randomBytes(prng(seed), sizeBytes)
    const chunker = new Chunker(gearKey)
    const chunks = [...chunker.push(bytes), ...chunker.finish()]
    assert.is(chunks.length, 1)
    assert.is(chunks[0]!.buffer, bytes.buffer)
    assert.is(chunks[0]!.length, sizeBytes)
  }
  assert.equal(new Chunker(gearKey).finish(), [], 'an empty file has no chunk')
})

test('zeros without end become chunks of one size, so a sparse disk image costs one chunk', () => {
  const chunker = new Chunker(gearKey)
  const lengths = new Set<number>()
  for (let piece = 0; piece < 24; piece += 1) {
    for (const { length } of chunker.push(Buffer.alloc(2 ** 20))) lengths.add(length)
  }
  assert.is(lengths.size, 1)
  assert.ok([...lengths][0]! <= CHUNK_SIZES.bytesMax)
})

test('random data gives chunks near the wanted size', () => {
  const random = prng(seed)
  const chunker = new Chunker(gearKey)
  const lengths: number[] = []
  for (let piece = 0; piece < 64; piece += 1) {
    for (const { length } of chunker.push(randomBytes(random, 2 ** 20))) lengths.push(length)
  }
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length
  assert.ok(mean > 0.8 * 2 ** 20 && mean < 1.6 * 2 ** 20, `mean ${mean}`)
  assert.ok(lengths.every((length) => length > CHUNK_SIZES.bytesMin))
  assert.ok(lengths.every((length) => length <= CHUNK_SIZES.bytesMax))
})

test('another repository cuts elsewhere', () => {
  const bytes = randomBytes(prng(seed), 50_000)
  const other = deriveKeys(new Uint8Array(32).fill(8)).gearKey
  const ends = (key: Uint8Array): number[] => {
    let end = 0
    return new Chunker(key, SMALL).push(bytes).map((chunk) => {
      end += chunk.length
      return end
    })
  }
  const ours = new Set(ends(gearKey))
  const common = ends(other).filter((end) => ours.has(end)).length
  assert.ok(common < ours.size / 10, `${common} of ${ours.size}`)
})

/** The definition, a byte at a time: the oracle. */
function cutPlainly(bytes: Uint8Array): number[] {
  const gear = gearTable(gearKey)
  const wantedBits = Math.log2(SMALL.bytesWanted)
  const lengths: number[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = Math.min(bytes.length, start + SMALL.bytesMax)
    let hash = 0
    let cut = end
    for (let at = start + SMALL.bytesMin; at < end; at += 1) {
      hash = (hash * 2 + gear[bytes[at]!]!) >>> 0
      const bits = wantedBits + (at - start < SMALL.bytesWanted ? 2 : -2)
      if (hash < 2 ** (32 - bits)) {
        cut = at + 1
        break
      }
    }
    lengths.push(cut - start)
    start = cut
  }
  return lengths
}

/** Random, constant and repeating stretches. */
function interesting(random: () => number, sizeBytes: number): Buffer {
  const bytes = randomBytes(random, sizeBytes)
  const kind = random()
  if (kind < 0.2) bytes.fill(Math.floor(random() * 256))
  else if (kind < 0.4) bytes.fill(bytes.subarray(0, 1 + Math.floor(random() * 40)))
  return bytes
}

test.run()
