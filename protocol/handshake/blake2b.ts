// protocol/handshake/blake2b.ts — how does the transport hash? BLAKE2b (RFC 7693), by libsodium.
import { createRequire } from 'node:module'

interface Sodium {
  crypto_generichash(output: Buffer, input: Buffer, key?: Buffer): void
}

// The package ships no types.
const sodium: Sodium = createRequire(import.meta.url)('sodium-native')

/** 16 bytes under a key of 16 to 64 bytes. */
export function blake2b128(input: Buffer, key: Buffer): Buffer {
  const output = Buffer.alloc(16)
  sodium.crypto_generichash(output, input, key)
  return output
}

/** 32 bytes, without a key. */
export function blake2b256(input: Buffer): Buffer {
  const output = Buffer.alloc(32)
  sodium.crypto_generichash(output, input)
  return output
}
