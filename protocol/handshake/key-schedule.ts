// protocol/handshake/key-schedule.ts — which keys follow from a direction's secret?
//
// HKDF-Expand (RFC 5869 §2.3) over HMAC-BLAKE2b-512 with the label as info; one block is enough for
// all of them. Each phase of a direction has a secret: Noise's output first, then by `ku`.
import { hmac } from './noise.ts'

export const SALT_BYTES = 4
const KEY_BYTES = 32
const FIRST_BLOCK = Buffer.from([1])

export interface PhaseKeys {
  /** 32 bytes. */
  readonly key: Buffer
  /** 4 bytes, in front of the packet number in the nonce. */
  readonly salt: Buffer
}

const expand = (secret: Uint8Array, label: string, lengthBytes: number): Buffer =>
  hmac(secret, Buffer.concat([Buffer.from(label), FIRST_BLOCK])).subarray(0, lengthBytes)

export const keysOf = (secret: Uint8Array): PhaseKeys => ({
  key: expand(secret, 'key', KEY_BYTES),
  salt: expand(secret, 'iv', SALT_BYTES),
})

/** The secret of the next phase; nobody gets back from it to the one before. */
export const nextSecret = (secret: Uint8Array): Buffer => expand(secret, 'ku', KEY_BYTES)
