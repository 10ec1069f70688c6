// protocol/protection/chacha20-poly1305.ts — the suite that every node has (RFC 8439, by libsodium)
import { sodium } from '../handshake/sodium.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { CipherInput, type PacketKey, plaintextBytesOf, type Suite } from './suite.ts'

class ChaChaKey implements PacketKey {
  readonly #key: Buffer
  readonly #input: CipherInput

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    this.#input = new CipherInput(salt)
  }

  seal(packet: Buffer, plaintextEnd: number): void {
    this.#input.prepare(packet, plaintextEnd - HEADER_BYTES)
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
      packet.subarray(HEADER_BYTES, plaintextEnd + TAG_BYTES),
      packet.subarray(HEADER_BYTES, plaintextEnd),
      this.#input.associated,
      null,
      this.#input.nonce,
      this.#key,
    )
  }

  open(packet: Buffer): boolean {
    const plaintextBytes = plaintextBytesOf(packet)
    this.#input.prepare(packet, plaintextBytes)
    try {
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        packet.subarray(HEADER_BYTES, HEADER_BYTES + plaintextBytes),
        null,
        packet.subarray(HEADER_BYTES),
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
