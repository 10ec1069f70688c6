// protocol/protection/aes-256-gcm.ts — the suite for machines with AES instructions (NIST SP 800-38D)
//
// A cipher of node:crypto is made anew for each packet, which takes ten times as long as sealing it.
// Where OpenSSL can be called itself its contexts are kept; both make the same bytes.
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { type Gcm, type GcmKey, openGcm } from '../native/libcrypto.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { CipherInput, NUMBER_AT, type PacketKey, type Suite, writeAssociated } from './suite.ts'

const ALGORITHM = 'aes-256-gcm'

class NodeKey implements PacketKey {
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

class NativeKey implements PacketKey {
  readonly #associated: Buffer
  readonly #key: GcmKey

  constructor(gcm: Gcm, key: Buffer, salt: Buffer) {
    this.#associated = gcm.associated
    this.#key = gcm.makeKey(key, salt)
  }

  seal(bytes: Buffer, at: number, plaintextEnd: number): void {
    writeAssociated(this.#associated, bytes, at, plaintextEnd - at - HEADER_BYTES)
    this.#key.seal(bytes, at + NUMBER_AT, plaintextEnd + TAG_BYTES)
  }

  open(bytes: Buffer, at: number, end: number): boolean {
    writeAssociated(this.#associated, bytes, at, end - at - HEADER_BYTES - TAG_BYTES)
    return this.#key.open(bytes, at + NUMBER_AT, end)
  }

  dispose(): void {
    this.#key.dispose()
  }
}

const common = {
  id: 1,
  name: 'AES-256-GCM',
  packetsPerKeyMax: 2 ** 22, // RFC 9001 §6.6 allows 2^23
}

/** With Node's own means, on any machine. */
export const nodeAes256Gcm: Suite = { ...common, makeKey: (key, salt) => new NodeKey(key, salt) }

export const aes256Gcm: Suite = {
  ...common,
  makeKey: (key, salt) => {
    const gcm = openGcm()
    return gcm ? new NativeKey(gcm, key, salt) : new NodeKey(key, salt)
  },
}

/** Is AES the faster suite here? */
export const isAesFast = (): boolean => openGcm() !== null
