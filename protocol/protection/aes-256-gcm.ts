// protocol/protection/aes-256-gcm.ts — the suite for machines with AES instructions (NIST SP 800-38D)
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { CipherInput, type PacketKey, type Suite } from './suite.ts'

const ALGORITHM = 'aes-256-gcm'

class AesGcmKey implements PacketKey {
  readonly #key: Buffer
  readonly #input: CipherInput

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    this.#input = new CipherInput(salt)
  }

  seal(bytes: Buffer, at: number, plaintextEnd: number): void {
    const start = at + HEADER_BYTES
    this.#input.prepare(bytes, at, plaintextEnd - start)
    const cipher = createCipheriv(ALGORITHM, this.#key, this.#input.nonce)
    cipher.setAAD(this.#input.associated)
    cipher.update(bytes.subarray(start, plaintextEnd)).copy(bytes, start)
    cipher.final()
    cipher.getAuthTag().copy(bytes, plaintextEnd)
  }

  open(bytes: Buffer, at: number, end: number): boolean {
    const start = at + HEADER_BYTES
    const tagStart = end - TAG_BYTES
    this.#input.prepare(bytes, at, tagStart - start)
    const decipher = createDecipheriv(ALGORITHM, this.#key, this.#input.nonce)
    decipher.setAAD(this.#input.associated)
    decipher.setAuthTag(bytes.subarray(tagStart, end))
    const plaintext = decipher.update(bytes.subarray(start, tagStart))
    try {
      decipher.final()
    } catch {
      return false
    }
    plaintext.copy(bytes, start)
    return true
  }
}

export const aes256Gcm: Suite = {
  id: 1,
  name: 'AES-256-GCM',
  packetsPerKeyMax: 2 ** 22, // RFC 9001 §6.6 allows 2^23
  makeKey: (key, salt) => new AesGcmKey(key, salt),
}
