// src/identity/revocations.ts — which keys is nobody to talk to any more?
//
//   u8 version 1 | 16 B cluster id | u48 sequence | u16 count | 32 B X25519 key each | 64 B signature
import { FieldReader, FieldWriter } from './byte-fields.ts'
import { SIGNATURE_BYTES, type SigningKey } from './signing.ts'

export interface Revocations {
  readonly clusterId: string
  /** A list with a higher one replaces this. */
  readonly sequence: number
  /** 64 hex digits each. */
  readonly keys: readonly string[]
}

const VERSION = 1
/** Only keys whose certificates have not ended need to be listed. */
export const REVOKED_KEYS_MAX = 4096

export function signRevocations(list: Revocations, key: SigningKey): Uint8Array {
  const body = new FieldWriter()
    .u8(VERSION)
    .hex(list.clusterId)
    .u48(list.sequence)
    .u16(list.keys.length)
    .hex(list.keys.join(''))
    .finish()
  return key.seal('revocations', body)
}

/** Any bytes give a list or null; the signature is not looked at. */
export function decodeRevocations(bytes: Uint8Array): Revocations | null {
  const fields = new FieldReader(bytes)
  if (fields.u8() !== VERSION) return null
  const clusterId = fields.hex(16)
  const sequence = fields.u48()
  const count = fields.u16()
  if (fields.failed || count > REVOKED_KEYS_MAX) return null
  const keys = Array.from({ length: count }, () => fields.hex(32))
  fields.raw(SIGNATURE_BYTES)
  return fields.isAtEnd ? { clusterId, sequence, keys } : null
}
