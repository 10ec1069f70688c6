// protocol/handshake/noise.ts — how do two ends prove who they are, and agree on keys, in one round trip?
//
// Noise_IK_25519_ChaChaPoly_BLAKE2b (The Noise Protocol Framework, revision 34, §5 and §7.5):
//   <- s   …   -> e, es, s, ss   <- e, ee, se
// A message that does not fit changes nothing: state is copied before it is read, so that a forged
// answer cannot spend the handshake. Ephemeral keys come in as an argument (simulations own chance).
import { blake2b512, sodium } from './sodium.ts'

const NAME = Buffer.from('Noise_IK_25519_ChaChaPoly_BLAKE2b')
const HASH_BYTES = 64
const BLOCK_BYTES = 128 // BLAKE2b's, for HMAC (RFC 2104)
export const KEY_BYTES = 32
const TAG_BYTES = 16
/** What message 1 and message 2 add to their payloads: e, sealed s, tag; e, tag. */
export const MESSAGE_1_OVERHEAD_BYTES = KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES
export const MESSAGE_2_OVERHEAD_BYTES = KEY_BYTES + TAG_BYTES
const EMPTY = Buffer.alloc(0)

export interface StaticKeys {
  readonly publicKey: Uint8Array
  readonly secretKey: Uint8Array
}

/** The two directions' first secrets, 32 bytes each. */
export interface Secrets {
  readonly initiatorToResponder: Buffer
  readonly responderToInitiator: Buffer
  /** Binds whatever is said later to this handshake; 64 bytes. */
  readonly handshakeHash: Buffer
}

class SymmetricState {
  h: Buffer
  ck: Buffer
  k: Buffer | null = null
  n = 0

  constructor(h: Buffer, ck: Buffer) {
    this.h = h
    this.ck = ck
  }

  static begin(prologue: Uint8Array): SymmetricState {
    const h = Buffer.alloc(HASH_BYTES)
    NAME.copy(h) // shorter than the hash: padded with zeros (§5.2)
    const state = new SymmetricState(h, Buffer.from(h))
    state.mixHash(prologue)
    return state
  }

  clone(): SymmetricState {
    const copy = new SymmetricState(Buffer.from(this.h), Buffer.from(this.ck))
    copy.k = this.k && Buffer.from(this.k)
    copy.n = this.n
    return copy
  }

  mixHash(bytes: Uint8Array): void {
    this.h = blake2b512(Buffer.concat([this.h, bytes]))
  }

  mixKey(shared: Uint8Array): void {
    const [ck, k] = hkdf(this.ck, shared)
    this.ck = ck
    this.k = k.subarray(0, KEY_BYTES)
    this.n = 0
  }

  encryptAndHash(plaintext: Uint8Array): Buffer {
    if (this.k === null) throw new Error('no key yet: the pattern has none such')
    const out = Buffer.alloc(plaintext.length + TAG_BYTES)
    const nonce = this.#nextNonce()
    sodium.crypto_aead_chacha20poly1305_ietf_encrypt(out, plaintext, this.h, null, nonce, this.k)
    this.mixHash(out)
    return out
  }

  /** Null: forged, damaged, or for somebody else. The state is then of no use any more. */
  decryptAndHash(ciphertext: Uint8Array): Buffer | null {
    if (this.k === null || ciphertext.length < TAG_BYTES) return null
    const out = Buffer.alloc(ciphertext.length - TAG_BYTES)
    const nonce = this.#nextNonce()
    try {
      sodium.crypto_aead_chacha20poly1305_ietf_decrypt(out, null, ciphertext, this.h, nonce, this.k)
    } catch {
      return null
    }
    this.mixHash(ciphertext)
    return out
  }

  /** False where the other's key is one of the few that give everybody the same secret. */
  mixShared(secretKey: Uint8Array, publicKey: Uint8Array): boolean {
    const shared = Buffer.alloc(KEY_BYTES)
    try {
      sodium.crypto_scalarmult(shared, secretKey, publicKey)
    } catch {
      return false
    }
    this.mixKey(shared)
    sodium.sodium_memzero(shared)
    return true
  }

  split(): Secrets {
    const [first, second] = hkdf(this.ck, EMPTY)
    return {
      initiatorToResponder: first.subarray(0, KEY_BYTES),
      responderToInitiator: second.subarray(0, KEY_BYTES),
      handshakeHash: this.h,
    }
  }

  /** 32 zero bits, then the counter, little-endian (§12.3). */
  #nextNonce(): Buffer {
    const nonce = Buffer.alloc(12)
    nonce.writeUInt32LE(this.n, 4)
    this.n += 1 // two messages at most: it never leaves its 32 bits
    return nonce
  }
}

export class NoiseInitiator {
  readonly #keys: StaticKeys
  readonly #ephemeral: StaticKeys
  #state: SymmetricState
  readonly #remoteKey: Uint8Array

  /** `ephemeralSecret`: 32 random bytes, for this handshake alone. */
  constructor(options: {
    prologue: Uint8Array
    keys: StaticKeys
    remoteKey: Uint8Array
    ephemeralSecret: Uint8Array
  }) {
    this.#keys = options.keys
    this.#remoteKey = options.remoteKey
    this.#ephemeral = keysFrom(options.ephemeralSecret)
    this.#state = SymmetricState.begin(options.prologue)
    this.#state.mixHash(options.remoteKey)
  }

  /** Message 1, or null when the other's key is no key. Once only: a second payload under the same
   * ephemeral key would repeat a nonce. */
  writeMessage1(payload: Uint8Array): Buffer | null {
    const state = this.#state
    state.mixHash(this.#ephemeral.publicKey)
    if (!state.mixShared(this.#ephemeral.secretKey, this.#remoteKey)) return null
    const sealedKey = state.encryptAndHash(this.#keys.publicKey)
    if (!state.mixShared(this.#keys.secretKey, this.#remoteKey)) return null
    return Buffer.concat([this.#ephemeral.publicKey, sealedKey, state.encryptAndHash(payload)])
  }

  /** Null: not an answer to our message 1; a true one may still come. */
  readMessage2(message: Uint8Array): { payload: Buffer; secrets: Secrets } | null {
    if (message.length < MESSAGE_2_OVERHEAD_BYTES) return null
    const state = this.#state.clone()
    const remote = Buffer.from(message.subarray(0, KEY_BYTES))
    state.mixHash(remote)
    if (!state.mixShared(this.#ephemeral.secretKey, remote)) return null
    if (!state.mixShared(this.#keys.secretKey, remote)) return null
    const payload = state.decryptAndHash(message.subarray(KEY_BYTES))
    return payload && { payload, secrets: state.split() }
  }
}

export class NoiseResponder {
  readonly #state: SymmetricState
  readonly #keys: StaticKeys
  #remoteKey: Buffer = EMPTY
  #remoteEphemeral: Buffer = EMPTY

  constructor(options: { prologue: Uint8Array; keys: StaticKeys }) {
    this.#keys = options.keys
    this.#state = SymmetricState.begin(options.prologue)
    this.#state.mixHash(options.keys.publicKey)
  }

  /** Null: forged, damaged, or meant for another key. Take a new responder for the next one. */
  readMessage1(message: Uint8Array): { payload: Buffer; remoteKey: Buffer } | null {
    if (message.length < MESSAGE_1_OVERHEAD_BYTES) return null
    const state = this.#state
    const sealedKeyEnd = KEY_BYTES + KEY_BYTES + TAG_BYTES
    this.#remoteEphemeral = Buffer.from(message.subarray(0, KEY_BYTES))
    state.mixHash(this.#remoteEphemeral)
    if (!state.mixShared(this.#keys.secretKey, this.#remoteEphemeral)) return null
    const remoteKey = state.decryptAndHash(message.subarray(KEY_BYTES, sealedKeyEnd))
    if (!remoteKey || !state.mixShared(this.#keys.secretKey, remoteKey)) return null
    this.#remoteKey = remoteKey
    const payload = state.decryptAndHash(message.subarray(sealedKeyEnd))
    return payload && { payload, remoteKey }
  }

  /** After a good message 1. Null: the other's keys are none. */
  writeMessage2(
    payload: Uint8Array,
    ephemeralSecret: Uint8Array,
  ): { message: Buffer; secrets: Secrets } | null {
    const state = this.#state
    const ephemeral = keysFrom(ephemeralSecret)
    state.mixHash(ephemeral.publicKey)
    if (!state.mixShared(ephemeral.secretKey, this.#remoteEphemeral)) return null
    if (!state.mixShared(ephemeral.secretKey, this.#remoteKey)) return null
    const sealed = state.encryptAndHash(payload)
    const message = Buffer.concat([ephemeral.publicKey, sealed])
    return { message, secrets: state.split() }
  }
}

export function keysFrom(secret: Uint8Array): StaticKeys {
  const secretKey = Buffer.from(secret)
  const publicKey = Buffer.alloc(KEY_BYTES)
  sodium.crypto_scalarmult_base(publicKey, secretKey)
  return { publicKey, secretKey }
}

/** Noise's HKDF with two outputs (§4.3): HMAC-BLAKE2b, no info. */
function hkdf(chainingKey: Uint8Array, input: Uint8Array): [Buffer, Buffer] {
  const extracted = hmac(chainingKey, input)
  const first = hmac(extracted, Buffer.from([1]))
  return [first, hmac(extracted, Buffer.concat([first, Buffer.from([2])]))]
}

/** HMAC-BLAKE2b-512 (RFC 2104); keys here are never longer than a block. */
export function hmac(key: Uint8Array, input: Uint8Array): Buffer {
  const inner = Buffer.alloc(BLOCK_BYTES, 0x36)
  const outer = Buffer.alloc(BLOCK_BYTES, 0x5c)
  for (let i = 0; i < key.length; i += 1) {
    inner[i] = (inner[i] as number) ^ (key[i] as number)
    outer[i] = (outer[i] as number) ^ (key[i] as number)
  }
  return blake2b512(Buffer.concat([outer, blake2b512(Buffer.concat([inner, input]))]))
}
