// src/chunk/seal.ts — how does a chunk become bytes that strangers may hold, and come back?
//
//   0   24  nonce, random
//  24    n  XChaCha20-Poly1305 of: flag (1 byte) ‖ body, under the data key, with the 32 bytes of
//           the chunk id as associated data; the last 16 bytes are the tag
//
// flag 0: the body is the plaintext. flag 1: u32 plaintext length, then a zstd frame.
import { randomFillSync } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import { decrypt, encryptInPlace, NONCE_BYTES, TAG_BYTES } from './aead.ts'
import type { ChunkKind } from './blob-index.ts'
import { chunkId } from './chunk-id.ts'
import type { Compressor } from './compressor.ts'
import type { RepositoryKeys } from './keys.ts'

/** The largest plaintext of a chunk of any kind: FastCDC's maximum. */
export const PLAINTEXT_BYTES_MAX = 4 * 2 ** 20
const FLAG_RAW = 0
const FLAG_ZSTD = 1
/** What sealing adds to a chunk that stays raw. */
export const SEAL_OVERHEAD_BYTES = NONCE_BYTES + 1 + TAG_BYTES
export const SEALED_BYTES_MAX = PLAINTEXT_BYTES_MAX + SEAL_OVERHEAD_BYTES
const LENGTH_BYTES = 4
// Reading a compressed chunk costs time at every restore: it must save 1/64 at least.
const SAVING_SHIFT = 6

/** `id` is the chunk id of `plaintext`: it is trusted here and checked by `open`. Two calls give
 * different bytes. Throws RangeError for more than PLAINTEXT_BYTES_MAX. */
export async function seal(
  keys: RepositoryKeys,
  id: string,
  plaintext: Uint8Array,
  compressor: Compressor,
): Promise<Uint8Array> {
  if (plaintext.length > PLAINTEXT_BYTES_MAX) throw new RangeError('a chunk is 4 MiB at most')
  const compressed = await compressor.compress(plaintext)
  const enoughBytes = plaintext.length - (plaintext.length >> SAVING_SHIFT)
  const isSmaller = compressed.length + LENGTH_BYTES < enoughBytes
  const bodyBytes = isSmaller ? LENGTH_BYTES + compressed.length : plaintext.length

  const sealed = Buffer.allocUnsafeSlow(SEAL_OVERHEAD_BYTES + bodyBytes)
  const nonce = sealed.subarray(0, NONCE_BYTES)
  randomFillSync(nonce)
  sealed[NONCE_BYTES] = isSmaller ? FLAG_ZSTD : FLAG_RAW
  if (isSmaller) {
    sealed.writeUInt32LE(plaintext.length, NONCE_BYTES + 1)
    sealed.set(compressed, NONCE_BYTES + 1 + LENGTH_BYTES)
  } else {
    sealed.set(plaintext, NONCE_BYTES + 1)
  }
  const associated = Buffer.from(id, 'hex')
  encryptInPlace(sealed.subarray(NONCE_BYTES), { key: keys.dataKey, nonce, associated })
  return sealed
}

/** The plaintext of a sealed chunk. CORRUPT when the bytes were changed, belong to another id or
 * key, or hold something else than the id says. `kind`, where it is known, must be the right one:
 * bytes of a file then never pass for a tree node. Never more than PLAINTEXT_BYTES_MAX. */
export async function open(
  keys: RepositoryKeys,
  id: string,
  sealed: Uint8Array,
  compressor: Compressor,
  kind?: ChunkKind,
): Promise<Uint8Array> {
  const fail = (problem: string, cause?: unknown): never => {
    throw new HoldfastError('CORRUPT', `chunk ${id}: ${problem}`, { cause })
  }
  if (sealed.length < SEAL_OVERHEAD_BYTES) return fail('too short to be a sealed chunk')
  if (sealed.length > SEALED_BYTES_MAX) return fail('too long to be a sealed chunk')
  const message = decrypt(sealed.subarray(NONCE_BYTES), {
    key: keys.dataKey,
    nonce: sealed.subarray(0, NONCE_BYTES),
    associated: Buffer.from(id, 'hex'),
  })
  if (message === null) return fail('its bytes are not those that were sealed')

  const body = message.subarray(1)
  if (message[0] === FLAG_RAW) return checked(body)
  if (message[0] !== FLAG_ZSTD) return fail(`unknown compression ${message[0]}`)
  if (body.length < LENGTH_BYTES) return fail('no length')
  const length = Buffer.from(body.buffer, body.byteOffset, LENGTH_BYTES).readUInt32LE(0)
  if (length > PLAINTEXT_BYTES_MAX) return fail(`${length} bytes are too many`)
  let plaintext: Uint8Array
  try {
    plaintext = await compressor.decompress(body.subarray(LENGTH_BYTES), length)
  } catch (cause) {
    return fail('it does not decompress', cause)
  }
  if (plaintext.length !== length) return fail('another length than announced')
  return checked(plaintext)

  function checked(bytes: Uint8Array): Uint8Array {
    const kinds: readonly ChunkKind[] = kind ? [kind] : ['data', 'tree']
    if (kinds.some((candidate) => chunkId(keys, bytes, candidate) === id)) return bytes
    return fail('its content has another id')
  }
}
