// protocol/protection/chacha20-poly1305.ts — the suite that every node has (RFC 8439, by libsodium)
import { sodium } from '../handshake/sodium.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { CipherInput, type PacketKey, type Suite } from './suite.ts'

class ChaChaKey implements PacketKey {
  readonly #key: Buffer
  readonly #input: CipherInput

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    this.#input = new CipherInput(salt)
  }

  seal(bytes: Buffer, at: number, plaintextEnd: number): void {
    const start = at + HEADER_BYTES
    this.#input.prepare(bytes, at, plaintextEnd - start)
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
      bytes.subarray(start, plaintextEnd + TAG_BYTES),
      bytes.subarray(start, plaintextEnd),
      this.#input.associated,
      null,
      this.#input.nonce,
      this.#key,
    )
  }

  open(bytes: Buffer, at: number, end: number): boolean {
    const start = at + HEADER_BYTES
    const tagStart = end - TAG_BYTES
    this.#input.prepare(bytes, at, tagStart - start)
    try {
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        bytes.subarray(start, tagStart),
        null,
        bytes.subarray(start, end),
        this.#input.associated,
        this.#input.nonce,
        this.#key,
      )
      return true
    } catch {
      return false
    }
  }
}

export const chacha20Poly1305: Suite = {
  id: 0,
  name: 'ChaCha20-Poly1305',
  packetsPerKeyMax: 2 ** 28, // far below RFC 9001 §6.6, and a new key costs nothing
  makeKey: (key, salt) => new ChaChaKey(key, salt),
}
