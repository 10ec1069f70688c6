// protocol/protection/aes-256-gcm.ts — the suite for machines with AES instructions (NIST SP 800-38D)
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { CipherInput, type PacketKey, plaintextBytesOf, type Suite } from './suite.ts'

const ALGORITHM = 'aes-256-gcm'

class AesGcmKey implements PacketKey {
  readonly #key: Buffer
  readonly #input: CipherInput

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    this.#input = new CipherInput(salt)
  }

  seal(packet: Buffer, plaintextEnd: number): void {
    this.#input.prepare(packet, plaintextEnd - HEADER_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, this.#input.nonce)
    cipher.setAAD(this.#input.associated)
    cipher.update(packet.subarray(HEADER_BYTES, plaintextEnd)).copy(packet, HEADER_BYTES)
    cipher.final()
    cipher.getAuthTag().copy(packet, plaintextEnd)
  }

  open(packet: Buffer): boolean {
    const plaintextBytes = plaintextBytesOf(packet)
    const tagStart = HEADER_BYTES + plaintextBytes
    this.#input.prepare(packet, plaintextBytes)
    const decipher = createDecipheriv(ALGORITHM, this.#key, this.#input.nonce)
    decipher.setAAD(this.#input.associated)
    decipher.setAuthTag(packet.subarray(tagStart, tagStart + TAG_BYTES))
    const plaintext = decipher.update(packet.subarray(HEADER_BYTES, tagStart))
    try {
      decipher.final()
    } catch {
      return false
    }
    plaintext.copy(packet, HEADER_BYTES)
    return true
  }
}

export const aes256Gcm: Suite = {
  id: 1,
  name: 'AES-256-GCM',
  packetsPerKeyMax: 2 ** 22, // RFC 9001 §6.6 allows 2^23
  makeKey: (key, salt) => new AesGcmKey(key, salt),
}
