// src/identity/key-pair.ts — where does a node keep the key that says who it is?
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import { PERF_SECRET_KEY } from '../perf-key.ts'
import { readPrivate } from './private-file.ts'
import { createWhole, replaceWhole } from './whole-file.ts'

/** X25519, raw: 32 bytes each. */
export interface KeyPair {
  readonly publicKey: Uint8Array
  readonly secretKey: Uint8Array
}

const KEY_BYTES = 32
/** PKCS #8 wrapping of a raw X25519 secret key (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex')
const FILE_HEAD = 'holdfast node key v1: who has this file can pose as this node\n'

/** Reads the key, or makes one (mode 0600) at the first start. BAD_FILE: the file is damaged, or
 * others can read it. */
export async function loadOrCreateKeyPair(path: string): Promise<KeyPair> {
  const known = await readKey(path)
  if (known) return known
  await createWhole(path, `${FILE_HEAD}${newSecretKey().toString('hex')}\n`, 0o600)
  const made = await readKey(path)
  if (!made) throw new HoldfastError('BAD_FILE', `${path} vanished while it was made`)
  return made
}

/** Null when there is no such file. */
export const loadKeyPair = (path: string): Promise<KeyPair | null> => readKey(path)

/** Writes a key that was not made here. */
export async function replaceKeyPair(path: string, { secretKey }: KeyPair): Promise<void> {
  await replaceWhole(path, `${FILE_HEAD}${Buffer.from(secretKey).toString('hex')}\n`, 0o600)
}

async function readKey(path: string): Promise<KeyPair | null> {
  const text = await readPrivate(path)
  if (text === null) return null
  const hex = text.startsWith(FILE_HEAD) ? text.slice(FILE_HEAD.length).trim() : ''
  if (!/^[0-9a-f]{64}$/.test(hex)) {
    const detail = `${path} is no key file; restore it from a copy, or remove it to make a new key`
    throw new HoldfastError('BAD_FILE', detail)
  }
  const secretKey = Buffer.from(hex, 'hex')
  if (secretKey.equals(PERF_SECRET_KEY)) {
    const detail = `${path} holds the key of holdfast perf, which everybody has`
    throw new HoldfastError('BAD_FILE', `${detail}; remove it to make a new key`)
  }
  return keyPairFrom(secretKey)
}

/** The pair of a secret key of 32 bytes. */
export function keyPairFrom(secretKey: Uint8Array): KeyPair {
  const der = Buffer.concat([PKCS8_PREFIX, secretKey])
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(secret).export({ format: 'der', type: 'spki' })
  return {
    publicKey: Uint8Array.from(spki.subarray(-KEY_BYTES)),
    secretKey: Uint8Array.from(secretKey),
  }
}

function newSecretKey(): Buffer {
  const { privateKey } = generateKeyPairSync('x25519')
  return privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-KEY_BYTES)
}
