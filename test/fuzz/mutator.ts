// test/fuzz/mutator.ts — how does one input become another that may go somewhere new?
import type { Random } from '../sim/random.ts'

/** Where off-by-one and overflow live. */
const NUMBERS = [
  0,
  1,
  2,
  3,
  7,
  15,
  16,
  23,
  24,
  31,
  32,
  63,
  64,
  127,
  128,
  255,
  256,
  511,
  512,
  1_023,
  1_024,
  4_095,
  4_096,
  16_383,
  16_384,
  65_535,
  65_536,
  2 ** 24,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
]
const WIDE = [2n ** 48n - 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]
const STEPS_MAX = 6
const RUN_BYTES_MAX = 64

type Step = (bytes: Buffer, random: Random, other: Uint8Array) => Buffer

const STEPS: readonly Step[] = [
  flipBit,
  setByte,
  addToByte,
  writeNumber,
  writeWide,
  cutOut,
  cutEnd,
  insertRandom,
  duplicate,
  fill,
  splice,
  overwrite,
]

/** A changed copy of `input`, at most `sizeBytesMax` long; `other` lends pieces. */
export function mutate(
  input: Uint8Array,
  other: Uint8Array,
  random: Random,
  sizeBytesMax: number,
): Buffer {
  let bytes: Buffer = Buffer.from(input)
  // Mostly few steps: what is changed everywhere is refused at the door.
  const steps = 1 + Math.floor(random.ratio() ** 2 * STEPS_MAX)
  for (let step = 0; step < steps; step += 1) {
    bytes = STEPS[random.below(STEPS.length)]!(bytes, random, other)
  }
  return bytes.length > sizeBytesMax ? bytes.subarray(0, sizeBytesMax) : bytes
}

const placeIn = (bytes: Uint8Array, random: Random): number => random.below(bytes.length + 1)

const runIn = (bytes: Uint8Array, random: Random): [start: number, end: number] => {
  const start = placeIn(bytes, random)
  // Short runs are fields, long ones whole parts.
  const longest = random.chance(0.8) ? RUN_BYTES_MAX : bytes.length
  return [start, Math.min(bytes.length, start + 1 + random.below(longest))]
}

function flipBit(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  if (bytes.length > 0) bytes[at] = bytes[at]! ^ (1 << random.below(8))
  return bytes
}

function setByte(bytes: Buffer, random: Random): Buffer {
  if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
  return bytes
}

function addToByte(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  if (bytes.length > 0) bytes[at] = bytes[at]! + (random.chance(0.5) ? 1 : -1)
  return bytes
}

function writeNumber(bytes: Buffer, random: Random): Buffer {
  const value = NUMBERS[random.below(NUMBERS.length)]!
  const width = [1, 2, 4, 6][random.below(4)]!
  if (bytes.length < width) return bytes
  const at = random.below(bytes.length - width + 1)
  const fitting = value % 2 ** (8 * width)
  if (random.chance(0.5)) bytes.writeUIntLE(fitting, at, width)
  else bytes.writeUIntBE(fitting, at, width)
  return bytes
}

function writeWide(bytes: Buffer, random: Random): Buffer {
  if (bytes.length < 8) return bytes
  const value = WIDE[random.below(WIDE.length)]!
  const at = random.below(bytes.length - 7)
  if (random.chance(0.5)) bytes.writeBigUInt64LE(value, at)
  else bytes.writeBigUInt64BE(value, at)
  return bytes
}

function cutOut(bytes: Buffer, random: Random): Buffer {
  const [start, end] = runIn(bytes, random)
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)])
}

function cutEnd(bytes: Buffer, random: Random): Buffer {
  return Buffer.from(bytes.subarray(0, placeIn(bytes, random)))
}

const insertAt = (bytes: Buffer, at: number, piece: Uint8Array): Buffer =>
  Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])

function insertRandom(bytes: Buffer, random: Random): Buffer {
  return insertAt(bytes, placeIn(bytes, random), random.bytes(1 + random.below(16)))
}

function duplicate(bytes: Buffer, random: Random): Buffer {
  const [start, end] = runIn(bytes, random)
  const at = random.chance(0.5) ? end : placeIn(bytes, random)
  return insertAt(bytes, at, bytes.subarray(start, end))
}

function fill(bytes: Buffer, random: Random): Buffer {
  const [start, end] = runIn(bytes, random)
  return bytes.fill(random.chance(0.5) ? 0 : 0xff, start, end)
}

function splice(bytes: Buffer, random: Random, other: Uint8Array): Buffer {
  const [start, end] = runIn(other, random)
  return insertAt(bytes, placeIn(bytes, random), other.subarray(start, end))
}

function overwrite(bytes: Buffer, random: Random, other: Uint8Array): Buffer {
  const [start, end] = runIn(other, random)
  const at = placeIn(bytes, random)
  bytes.set(other.subarray(start, Math.min(end, start + bytes.length - at)), at)
  return bytes
}
