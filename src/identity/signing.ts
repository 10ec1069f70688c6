// src/identity/signing.ts — how is something signed, so that it can never be taken for something else?
//
// Ed25519 over `holdfast DOMAIN v1` NUL BODY; what travels is BODY and the 64 bytes of the signature.
// The domain keeps a grant from being read as a certificate, whatever bytes they have in common.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'

export type Domain = 'certificate' | 'grant' | 'token' | 'directory' | 'revocations'

export const SIGNATURE_BYTES = 64
const KEY_BYTES = 32
/** Wrappings of raw Ed25519 keys (RFC 8410 §7 and §4). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** An Ed25519 key that can sign. */
export class SigningKey {
  /** 64 hex digits. */
  readonly publicKey: string
  readonly #secret: KeyObject

  /** `seed`: 32 bytes. */
  constructor(seed: Uint8Array) {
    const der = Buffer.concat([PKCS8_PREFIX, seed])
    this.#secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    const spki = createPublicKey(this.#secret).export({ format: 'der', type: 'spki' })
    this.publicKey = spki.subarray(-KEY_BYTES).toString('hex')
  }

  /** The body and its signature. */
  seal(domain: Domain, body: Uint8Array): Uint8Array {
    const signature = sign(null, inDomain(domain, body), this.#secret)
    return Uint8Array.from(Buffer.concat([body, signature]))
  }
}

/** 32 random bytes for a SigningKey. */
export function newSeed(): Uint8Array {
  const { privateKey } = generateKeyPairSync('ed25519')
  const der = privateKey.export({ format: 'der', type: 'pkcs8' })
  return Uint8Array.from(der.subarray(-KEY_BYTES))
}

/** Did the holder of the key (64 hex digits) seal these bytes in this domain? Never throws. */
export function isSealedBy(publicKey: string, domain: Domain, sealed: Uint8Array): boolean {
  if (sealed.length < SIGNATURE_BYTES) return false
  const body = sealed.subarray(0, -SIGNATURE_BYTES)
  const signature = sealed.subarray(-SIGNATURE_BYTES)
  try {
    return verify(null, inDomain(domain, body), keyObject(publicKey), signature)
  } catch {
    return false // no point of the curve
  }
}

const KEY_OBJECTS_MAX = 64
const keyObjects = new Map<string, KeyObject>()

/** Importing costs as much as verifying; a cluster has a handful of keys. */
function keyObject(publicKey: string): KeyObject {
  const known = keyObjects.get(publicKey)
  if (known) return known
  const der = Buffer.concat([SPKI_PREFIX, Buffer.from(publicKey, 'hex')])
  const made = createPublicKey({ key: der, format: 'der', type: 'spki' })
  if (keyObjects.size >= KEY_OBJECTS_MAX) keyObjects.clear()
  keyObjects.set(publicKey, made)
  return made
}

const inDomain = (domain: Domain, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`holdfast ${domain} v1\0`), body])
