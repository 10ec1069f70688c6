// src/chunk/cbor.ts — how do trees and snapshot records become bytes, always the same ones?
//
// RFC 8949 §4.2.1 (core deterministic encoding), of the types that we need: integers of 64 bits,
// byte strings, text, arrays, maps with small unsigned keys. Equal values give equal bytes, and the
// reader refuses every other spelling, so that what decodes encodes to the same bytes again.
// Not cbor-x: it writes maps in insertion order, floats for large numbers, and reads anything.
import { HoldfastError } from '../errors.ts'

const UINT = 0
const NEGATIVE = 1
const BYTES = 2
const TEXT = 3
const ARRAY = 4
const MAP = 5
const UINT64_MAX = 2n ** 64n - 1n
const INITIAL_BYTES = 512

/** Appends values to a buffer that grows. */
export class CborWriter {
  #bytes: Buffer
  #length = 0

  constructor(capacityBytes = INITIAL_BYTES) {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes)
  }

  get length(): number {
    return this.#length
  }

  /** A copy of what was written, from `start` on. */
  take(start = 0): Buffer {
    return Buffer.copyBytesFrom(this.#bytes, start, this.#length - start)
  }

  /** What was written, valid until the next call. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Forgets everything from `length` on. */
  truncate(length: number): void {
    this.#length = Math.min(this.#length, length)
  }

  /** A whole number from −2^53 to 2^53, or a bigint from −2^63 to 2^64 − 1. */
  int(value: number | bigint): void {
    if (typeof value === 'bigint') this.#bigint(value)
    else if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no safe integer`)
    else if (value >= 0) this.#head(UINT, value)
    else this.#head(NEGATIVE, -1 - value)
  }

  bytes(value: Uint8Array): void {
    this.#head(BYTES, value.length)
    this.raw(value)
  }

  /** Ids travel as hex and rest as bytes. */
  hex(value: string): void {
    const length = value.length >> 1
    this.#head(BYTES, length)
    this.#reserve(length)
    if (this.#bytes.write(value, this.#length, 'hex') !== length || value.length % 2 !== 0) {
      throw new RangeError('not hex')
    }
    this.#length += length
  }

  text(value: string): void {
    if (!value.isWellFormed()) throw new RangeError('text with half a surrogate pair')
    const length = Buffer.byteLength(value)
    this.#head(TEXT, length)
    this.#reserve(length)
    this.#bytes.write(value, this.#length)
    this.#length += length
  }

  /** The head of an array; its items follow. */
  array(items: number): void {
    this.#head(ARRAY, items)
  }

  /** The head of a map; keys and values follow, keys ascending. */
  map(pairs: number): void {
    this.#head(MAP, pairs)
  }

  /** Bytes that are CBOR already. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  #bigint(value: bigint): void {
    if (value > UINT64_MAX || value < -(2n ** 63n)) throw new RangeError(`${value}: over 64 bits`)
    const [major, argument] = value >= 0n ? [UINT, value] : [NEGATIVE, -1n - value]
    if (argument <= Number.MAX_SAFE_INTEGER) {
      this.#head(major, Number(argument))
      return
    }
    this.#reserve(9)
    this.#bytes[this.#length] = (major << 5) | 27
    this.#bytes.writeBigUInt64BE(argument, this.#length + 1)
    this.#length += 9
  }

  #head(major: number, argument: number): void {
    this.#reserve(9)
    const bytes = this.#bytes
    const at = this.#length
    const type = major << 5
    if (argument < 24) {
      bytes[at] = type | argument
      this.#length += 1
    } else if (argument < 0x100) {
      bytes[at] = type | 24
      bytes[at + 1] = argument
      this.#length += 2
    } else if (argument < 0x1_0000) {
      bytes[at] = type | 25
      bytes.writeUInt16BE(argument, at + 1)
      this.#length += 3
    } else if (argument < 0x1_0000_0000) {
      bytes[at] = type | 26
      bytes.writeUInt32BE(argument, at + 1)
      this.#length += 5
    } else {
      bytes[at] = type | 27
      bytes.writeUInt32BE(Math.floor(argument / 0x1_0000_0000), at + 1)
      bytes.writeUInt32BE(argument % 0x1_0000_0000, at + 5)
      this.#length += 9
    }
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

/** Text, bytes and lists of them, for what is only hashed. */
export type CborValue = string | Uint8Array | readonly CborValue[]

export function encodeCbor(value: CborValue): Buffer {
  const writer = new CborWriter()
  append(writer, value)
  return writer.take()
}

function append(writer: CborWriter, value: CborValue): void {
  if (typeof value === 'string') writer.text(value)
  else if (value instanceof Uint8Array) writer.bytes(value)
  else {
    writer.array(value.length)
    for (const item of value) append(writer, item)
  }
}

/** Reads value after value; the caller knows what must come. Everything else is CORRUPT, and so is
 * any other spelling than the writer's. Byte strings are views of the input. */
export class CborReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at = 0

  /** `what` begins the message of each error. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#what = what
  }

  fail(problem: string): never {
    throw new HoldfastError('CORRUPT', `${this.#what}: ${problem} (at byte ${this.#at})`)
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.fail('bytes after the end')
  }

  /** From 0 to `max`, at most 2^53 − 1. */
  uint(max: number, name: string): number {
    const value = this.#argument(UINT, name)
    if (typeof value === 'bigint' || value > max) this.fail(`${name} over ${max}`)
    return value
  }

  /** From 0 to 2^64 − 1. */
  uint64(name: string): bigint {
    return BigInt(this.#argument(UINT, name))
  }

  /** From −2^63 to 2^63 − 1. */
  int64(name: string): bigint {
    const major = this.#peekMajor(name)
    if (major !== UINT && major !== NEGATIVE) this.fail(`${name} is no integer`)
    const argument = BigInt(this.#argument(major, name))
    if (argument >= 2n ** 63n) this.fail(`${name} over 64 bits`)
    return major === UINT ? argument : -1n - argument
  }

  bytes(min: number, max: number, name: string): Buffer {
    const length = this.#length(BYTES, min, max, name)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** Exactly so many bytes, as hex. */
  hex(length: number, name: string): string {
    this.#length(BYTES, length, length, name)
    this.#at += length
    return this.#bytes.toString('hex', this.#at - length, this.#at)
  }

  /** Well-formed text with at most `max` UTF-16 units. */
  text(min: number, max: number, name: string): string {
    const length = this.#length(TEXT, min, max * 3, name)
    this.#at += length
    const bytes = this.#bytes.subarray(this.#at - length, this.#at)
    const value = bytes.toString()
    if (value.length < min || value.length > max) this.fail(`${name}: not ${min} to ${max} long`)
    // Replacement characters would not come back as the same bytes.
    if (!Buffer.from(value).equals(bytes)) this.fail(`${name}: not UTF-8`)
    return value
  }

  array(min: number, max: number, name: string): number {
    return this.#count(ARRAY, min, max, name)
  }

  map(min: number, max: number, name: string): number {
    return this.#count(MAP, min, max, name)
  }

  #length(major: number, min: number, max: number, name: string): number {
    const length = this.#count(major, min, max, name)
    if (length > this.#bytes.length - this.#at) this.fail(`${name} is cut off`)
    return length
  }

  #count(major: number, min: number, max: number, name: string): number {
    const count = this.#argument(major, name)
    if (typeof count === 'bigint' || count < min || count > max) {
      this.fail(`${name}: ${count} is not ${min} to ${max}`)
    }
    return count
  }

  #peekMajor(name: string): number {
    if (this.#at >= this.#bytes.length) this.fail(`${name} is missing`)
    return this.#bytes[this.#at]! >> 5
  }

  /** The argument of a head of that type, refused unless it has the shortest form. */
  #argument(major: number, name: string): number | bigint {
    if (this.#peekMajor(name) !== major) this.fail(`${name} has another type`)
    const short = this.#bytes[this.#at]! & 31
    if (short < 24) {
      this.#at += 1
      return short
    }
    const width = short === 24 ? 1 : short === 25 ? 2 : short === 26 ? 4 : short === 27 ? 8 : 0
    if (width === 0) this.fail(`${name}: a length that is not definite`)
    if (this.#at + 1 + width > this.#bytes.length) this.fail(`${name} is cut off`)
    const at = this.#at + 1
    this.#at = at + width
    if (width === 8) {
      const value = this.#bytes.readBigUInt64BE(at)
      if (value < 0x1_0000_0000n) this.fail(`${name} is not in the shortest form`)
      return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
    }
    const value = this.#bytes.readUIntBE(at, width)
    const least = width === 1 ? 24 : width === 2 ? 0x100 : 0x1_0000
    if (value < least) this.fail(`${name} is not in the shortest form`)
    return value
  }
}
