// protocol/protection/aes-256-gcm.ts — the suite for machines with AES instructions (NIST SP 800-38D)
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { SALT_BYTES } from '../handshake/key-schedule.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import {
  ASSOCIATED_BYTES,
  type PacketKey,
  plaintextBytesOf,
  type Suite,
  writeAssociated,
} from './suite.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12

class AesGcmKey implements PacketKey {
  readonly #key: Buffer
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  readonly #associated = Buffer.alloc(ASSOCIATED_BYTES)

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    salt.copy(this.#nonce)
  }

  seal(packet: Buffer, plaintextEnd: number): void {
    this.#prepare(packet, plaintextEnd - HEADER_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, this.#nonce)
    cipher.setAAD(this.#associated)
    cipher.update(packet.subarray(HEADER_BYTES, plaintextEnd)).copy(packet, HEADER_BYTES)
    cipher.final()
    cipher.getAuthTag().copy(packet, plaintextEnd)
  }

  open(packet: Buffer): boolean {
    const plaintextBytes = plaintextBytesOf(packet)
    const tagStart = HEADER_BYTES + plaintextBytes
    this.#prepare(packet, plaintextBytes)
    const decipher = createDecipheriv(ALGORITHM, this.#key, this.#nonce)
    decipher.setAAD(this.#associated)
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

  #prepare(packet: Buffer, plaintextBytes: number): void {
    packet.copy(this.#nonce, SALT_BYTES, 16, HEADER_BYTES)
    writeAssociated(this.#associated, packet, plaintextBytes)
  }
}

export const aes256Gcm: Suite = {
  id: 1,
  name: 'AES-256-GCM',
  packetsPerKeyMax: 2 ** 22, // RFC 9001 §6.6 allows 2^23
  makeKey: (key, salt) => new AesGcmKey(key, salt),
}
