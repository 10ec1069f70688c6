// protocol/handshake/sodium.ts — which primitives does the transport take from libsodium?
import { createRequire } from 'node:module'

/** The functions used, with the arguments that sodium-native gives them. */
interface Sodium {
  crypto_generichash(output: Buffer, input: Uint8Array, key?: Uint8Array): void
  crypto_scalarmult(shared: Buffer, secretKey: Uint8Array, publicKey: Uint8Array): void
  crypto_scalarmult_base(publicKey: Buffer, secretKey: Uint8Array): void
  sodium_memcmp(a: Uint8Array, b: Uint8Array): boolean
  sodium_memzero(secret: Uint8Array): void
  crypto_aead_chacha20poly1305_ietf_encrypt(
    ciphertext: Uint8Array,
    plaintext: Uint8Array,
    associated: Uint8Array | null,
    unused: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plaintext: Uint8Array,
    unused: null,
    ciphertext: Uint8Array,
    associated: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
}

// The package ships no types.
export const sodium: Sodium = createRequire(import.meta.url)('sodium-native')

/** BLAKE2b (RFC 7693): 16 bytes under a key of 16 to 64 bytes. */
export function blake2b128(input: Uint8Array, key: Uint8Array): Buffer {
  const output = Buffer.alloc(16)
  sodium.crypto_generichash(output, input, key)
  return output
}

/** 32 bytes, under a key where one is given. */
export function blake2b256(input: Uint8Array, key?: Uint8Array): Buffer {
  const output = Buffer.alloc(32)
  if (key) sodium.crypto_generichash(output, input, key)
  else sodium.crypto_generichash(output, input)
  return output
}

/** 64 bytes: the hash of Noise's suite. */
export function blake2b512(input: Uint8Array): Buffer {
  const output = Buffer.alloc(64)
  sodium.crypto_generichash(output, input)
  return output
}

/** Takes the same time wherever they differ. */
export const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && sodium.sodium_memcmp(a, b)
