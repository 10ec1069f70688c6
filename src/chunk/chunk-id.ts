// src/chunk/chunk-id.ts — under which name is a piece of plaintext stored?
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import type { ChunkKind } from './blob-index.ts'
import type { RepositoryKeys } from './keys.ts'

// A KeyObject is costly to make (some 20 µs) and cheap to use.
const PREPARED = new WeakMap<Uint8Array, KeyObject>()

/** HMAC-SHA-256 of the plaintext, 64 hex digits. Equal content of one kind has one id in a
 * repository, and the id tells nothing without the key. Tree nodes and snapshot records are hashed
 * under a key of their own. */
export function chunkId(
  keys: RepositoryKeys,
  plaintext: Uint8Array,
  kind: ChunkKind = 'data',
): string {
  const key = prepare(kind === 'data' ? keys.idKey : keys.nodeIdKey)
  return createHmac('sha256', key).update(plaintext).digest('hex')
}

function prepare(bytes: Uint8Array): KeyObject {
  const known = PREPARED.get(bytes)
  if (known) return known
  const key = createSecretKey(bytes)
  PREPARED.set(bytes, key)
  return key
}
