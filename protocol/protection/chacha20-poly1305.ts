// protocol/protection/chacha20-poly1305.ts — the suite that every node has (RFC 8439, by libsodium)
import { SALT_BYTES } from '../handshake/key-schedule.ts'
import { sodium } from '../handshake/sodium.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import {
  ASSOCIATED_BYTES,
  type PacketKey,
  plaintextBytesOf,
  type Suite,
  writeAssociated,
} from './suite.ts'

const NONCE_BYTES = 12

class ChaChaKey implements PacketKey {
  readonly #key: Buffer
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  readonly #associated = Buffer.alloc(ASSOCIATED_BYTES)

  constructor(key: Buffer, salt: Buffer) {
    this.#key = key
    salt.copy(this.#nonce)
  }

  seal(packet: Buffer, plaintextEnd: number): void {
    const plaintext = packet.subarray(HEADER_BYTES, plaintextEnd)
    this.#prepare(packet, plaintext.length)
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
      packet.subarray(HEADER_BYTES, plaintextEnd + TAG_BYTES),
      plaintext,
      this.#associated,
      null,
      this.#nonce,
      this.#key,
    )
  }

  open(packet: Buffer): boolean {
    const plaintextBytes = plaintextBytesOf(packet)
    this.#prepare(packet, plaintextBytes)
    try {
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        packet.subarray(HEADER_BYTES, HEADER_BYTES + plaintextBytes),
        null,
        packet.subarray(HEADER_BYTES),
        this.#associated,
        this.#nonce,
        this.#key,
      )
      return true
    } catch {
      return false
    }
  }

  #prepare(packet: Buffer, plaintextBytes: number): void {
    packet.copy(this.#nonce, SALT_BYTES, 16, HEADER_BYTES)
    writeAssociated(this.#associated, packet, plaintextBytes)
  }
}

export const chacha20Poly1305: Suite = {
  id: 0,
  name: 'ChaCha20-Poly1305',
  packetsPerKeyMax: 2 ** 28, // far below RFC 9001 §6.6, and a new key costs nothing
  makeKey: (key, salt) => new ChaChaKey(key, salt),
}
