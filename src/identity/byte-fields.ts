// src/identity/byte-fields.ts — how are certificates and grants laid out in bytes?
//
// Little-endian fields one after the other; times are u48 milliseconds since 1970 UTC; texts have a
// length byte in front. Readers never throw: past the end they yield zeros and `failed` is set.
import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'

const U48 = 6
export const TEXT_BYTES_MAX = 255

export class FieldWriter {
  readonly #parts: Buffer[] = []

  u8(value: number): this {
    return this.raw(Buffer.from([value]))
  }

  u16(value: number): this {
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16LE(value)
    return this.raw(bytes)
  }

  u48(value: number): this {
    const bytes = Buffer.alloc(U48)
    bytes.writeUIntLE(value, 0, U48)
    return this.raw(bytes)
  }

  hex(value: string): this {
    return this.raw(Buffer.from(value, 'hex'))
  }

  text(value: string): this {
    const bytes = Buffer.from(value)
    assert.ok(bytes.length <= TEXT_BYTES_MAX, `${bytes.length} bytes are too many for a text`)
    return this.u8(bytes.length).raw(bytes)
  }

  raw(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes))
    return this
  }

  finish(): Uint8Array {
    return Uint8Array.from(Buffer.concat(this.#parts))
  }
}

export class FieldReader {
  readonly #bytes: Buffer
  #offset = 0
  failed = false

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get isAtEnd(): boolean {
    return !this.failed && this.#offset === this.#bytes.length
  }

  u8(): number {
    return this.#take(1)[0] ?? 0
  }

  u16(): number {
    return this.#take(2).readUInt16LE()
  }

  u48(): number {
    return this.#take(U48).readUIntLE(0, U48)
  }

  hex(lengthBytes: number): string {
    return this.#take(lengthBytes).toString('hex')
  }

  /** Only UTF-8: replacement characters would not come back as the same bytes. */
  text(): string {
    const bytes = this.#take(this.u8())
    if (!isUtf8(bytes)) this.failed = true
    return bytes.toString('utf8')
  }

  raw(lengthBytes: number): Uint8Array {
    return Uint8Array.from(this.#take(lengthBytes))
  }

  #take(lengthBytes: number): Buffer {
    const end = this.#offset + lengthBytes
    if (end > this.#bytes.length) {
      this.failed = true
      return Buffer.alloc(lengthBytes)
    }
    const taken = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return taken
  }
}
