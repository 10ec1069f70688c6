// src/chunk/aead.ts — which authenticated encryption seals a chunk?
//
// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, libsodium): its nonce of 24 bytes is long enough
// to be random for every chunk, on every client, for ever. The one file that knows sodium-native.
import { createRequire } from 'node:module'

interface Sodium {
  crypto_aead_xchacha20poly1305_ietf_encrypt(
    ciphertext: Uint8Array,
    message: Uint8Array,
    associated: Uint8Array,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
  crypto_aead_xchacha20poly1305_ietf_decrypt(
    message: Uint8Array,
    secretNonce: null,
    ciphertext: Uint8Array,
    associated: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number
}

// The package has no types.
const sodium: Sodium = createRequire(import.meta.url)('sodium-native')

export const NONCE_BYTES = 24
export const TAG_BYTES = 16

export interface AeadInput {
  readonly key: Uint8Array
  readonly nonce: Uint8Array
  readonly associated: Uint8Array
}

/** Encrypts in place: `bytes` holds the message and TAG_BYTES of room behind it. */
export function encryptInPlace(bytes: Uint8Array, { key, nonce, associated }: AeadInput): void {
  const message = bytes.subarray(0, bytes.length - TAG_BYTES)
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(bytes, message, associated, null, nonce, key)
}

/** The message, or null when key, nonce, associated data or bytes are not what was sealed. */
export function decrypt(
  ciphertext: Uint8Array,
  { key, nonce, associated }: AeadInput,
): Uint8Array | null {
  if (ciphertext.length < TAG_BYTES) return null
  const message = Buffer.allocUnsafeSlow(ciphertext.length - TAG_BYTES)
  try {
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      message,
      null,
      ciphertext,
      associated,
      nonce,
      key,
    )
    return message
  } catch {
    return null
  }
}
