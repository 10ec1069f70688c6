// protocol/native/libcrypto.ts — how does OpenSSL seal a packet where it lies, in two calls?
//
// AES-256-GCM in the mode that OpenSSL has for TLS 1.2 records (EVP_CTRL_AEAD_TLS1_AAD): the 13 bytes
// of associated data first, then one EVP_Cipher over `explicit nonce, 8 B ‖ text ‖ tag, 16 B` in
// place. The packet number is that explicit nonce. To seal, OpenSSL writes it, from a counter of its
// own: it must be told where to begin, and again after each number that is left out. To open, it reads
// it. The length in the associated data is passed with 8 or 24 bytes on top, which OpenSSL takes off.
import { createCipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { addressIn, addressOf, type Koffi, koffi, newSlab } from './slab.ts'

const CTRL_SET_IV_FIXED = 0x12
const CTRL_TLS1_AAD = 0x16
/** The whole 12 bytes: the first nonce to seal with. */
const WHOLE_NONCE = -1
const SALT_BYTES = 4
const NUMBER_BYTES = 8
const KEY_BYTES = 32
const TAG_BYTES = 16
const AAD_BYTES = 13
const AAD_LENGTH_AT = 11
const RECORD_BYTES_MAX = 65_536

/** One direction of one key. */
export interface GcmKey {
  /** A record is `bytes[at, end)`: number (8 B), text, room for the tag (16 B). Its associated data
   * must be in `associated`. Throws for a number that is not above all those before. */
  seal(bytes: Buffer, at: number, end: number): void
  /** False when the tag is wrong: the text is rubbish then. */
  open(bytes: Buffer, at: number, end: number): boolean
  /** Frees what OpenSSL holds for it: nothing is sealed or opens afterwards. */
  dispose(): void
}

export interface Gcm {
  /** Where seal() and open() take the associated data from, 13 bytes. The last two are the length of
   * the text, big-endian; they change it. */
  readonly associated: Buffer
  /** `key` has 32 bytes, `salt` 4: a nonce is salt ‖ number. */
  makeKey(key: Uint8Array, salt: Uint8Array): GcmKey
}

let shared: Gcm | null | undefined

/** Null where OpenSSL is out of reach, gives other bytes than it should, or has no AES instructions
 * to be fast with. */
export function openGcm(): Gcm | null {
  if (shared === undefined) shared = koffi && hasAesInstructions() ? tryOpenSsl(koffi) : null
  return shared
}

function hasAesInstructions(): boolean {
  try {
    return /^(?:flags|Features)\s*:.*\baes\b/m.test(readFileSync('/proc/cpuinfo', 'latin1'))
  } catch {
    return false
  }
}

/** Node's own, or the shared one that it runs on. Never another beside it: the two would find each
 * other's functions, and crash. */
function tryOpenSsl(from: Koffi): Gcm | null {
  try {
    const gcm = new OpenSsl(from)
    return isRight(gcm) ? gcm : null
  } catch {
    return null
  }
}

type Functions = ReturnType<typeof functionsOf>

function functionsOf(from: Koffi) {
  const library = from.load(null)
  const init = 'uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t'
  return {
    algorithm: library.func('uintptr_t EVP_aes_256_gcm()'),
    newContext: library.func('uintptr_t EVP_CIPHER_CTX_new()'),
    freeContext: library.func('void EVP_CIPHER_CTX_free(uintptr_t)'),
    beginSealing: library.func(`int EVP_EncryptInit_ex(${init})`),
    beginOpening: library.func(`int EVP_DecryptInit_ex(${init})`),
    control: library.func('int EVP_CIPHER_CTX_ctrl(uintptr_t, int, int, uintptr_t)'),
    cipher: library.func('int EVP_Cipher(uintptr_t, uintptr_t, uintptr_t, uint32_t)'),
    clearErrors: library.func('void ERR_clear_error()'),
  }
}

/** What the keys of this thread share. */
class OpenSsl implements Gcm {
  readonly associated = newSlab(AAD_BYTES)
  readonly calls: Functions
  readonly nonce = newSlab(SALT_BYTES + NUMBER_BYTES)
  readonly secret = newSlab(KEY_BYTES)
  /** For records that lie in no slab. */
  readonly copy = newSlab(RECORD_BYTES_MAX)
  readonly associatedAddress = addressOf(this.associated)
  readonly nonceAddress = addressOf(this.nonce)
  readonly copyAddress = addressOf(this.copy)
  readonly algorithm: number
  /** Frees the contexts of keys that nobody disposed of. */
  readonly registry = new FinalizationRegistry<Contexts>((contexts) => this.free(contexts))

  constructor(from: Koffi) {
    this.calls = functionsOf(from)
    this.algorithm = Number(this.calls.algorithm())
    if (!(this.algorithm > 0)) throw new Error('no AES-256-GCM')
  }

  makeKey(key: Uint8Array, salt: Uint8Array): GcmKey {
    if (key.length !== KEY_BYTES || salt.length !== SALT_BYTES) throw new RangeError('no GCM key')
    return new OpenSslKey(this, key, salt)
  }

  newContext(use: keyof Contexts, key: Uint8Array, salt: Uint8Array): number {
    const { calls, algorithm, nonce, secret } = this
    const context = Number(calls.newContext())
    if (!(context > 0)) throw new Error('OpenSSL has no memory')
    secret.set(key)
    nonce.set(salt)
    const begin = use === 'sealing' ? calls.beginSealing : calls.beginOpening
    const hasBegun =
      begin(context, algorithm, 0, addressOf(secret), 0) === 1 &&
      (use === 'sealing' ||
        calls.control(context, CTRL_SET_IV_FIXED, SALT_BYTES, this.nonceAddress) === 1)
    secret.fill(0)
    if (hasBegun) return context
    calls.freeContext(context)
    throw new Error('OpenSSL takes no key')
  }

  free(contexts: Contexts): void {
    const { sealing, opening } = contexts
    contexts.sealing = 0
    contexts.opening = 0
    if (sealing !== 0) this.calls.freeContext(sealing)
    if (opening !== 0) this.calls.freeContext(opening)
  }
}

/** Addresses of EVP_CIPHER_CTX; 0 when not made yet. Apart from the key, which may be forgotten. */
interface Contexts {
  sealing: number
  opening: number
}

class OpenSslKey implements GcmKey {
  readonly #shared: OpenSsl
  readonly #contexts: Contexts = { sealing: 0, opening: 0 }
  readonly #key: Uint8Array
  readonly #salt: Uint8Array
  #isDisposed = false
  /** Where OpenSSL's counter stands. */
  #nextNumber = -1

  constructor(common: OpenSsl, key: Uint8Array, salt: Uint8Array) {
    this.#shared = common
    this.#key = key
    this.#salt = salt
    common.registry.register(this, this.#contexts)
  }

  seal(bytes: Buffer, at: number, end: number): void {
    checkRecord(bytes, at, end)
    const context = this.#contextFor('sealing')
    const number = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
    if (number !== this.#nextNumber) this.#skipTo(context, number)
    this.#nextNumber = number + 1 // used up, whatever happens
    const written = this.#run(context, bytes, at, end, NUMBER_BYTES)
    if (written !== end - at || bytes.readUInt32BE(at + 4) !== number % 2 ** 32) {
      throw new Error(`OpenSSL could not seal number ${number}`)
    }
  }

  open(bytes: Buffer, at: number, end: number): boolean {
    checkRecord(bytes, at, end)
    if (this.#isDisposed) return false
    const context = this.#contextFor('opening')
    // The length of the text, or of the record: versions differ. -1 when the tag is wrong.
    if (this.#run(context, bytes, at, end, NUMBER_BYTES + TAG_BYTES) >= 0) return true
    this.#shared.calls.clearErrors() // or whoever calls OpenSSL next finds them
    return false
  }

  dispose(): void {
    this.#isDisposed = true
    this.#shared.free(this.#contexts)
  }

  #contextFor(use: keyof Contexts): number {
    const known = this.#contexts[use]
    if (known !== 0) return known
    if (this.#isDisposed) throw new Error('the key is gone')
    const context = this.#shared.newContext(use, this.#key, this.#salt)
    this.#contexts[use] = context
    return context
  }

  #skipTo(context: number, number: number): void {
    if (number < this.#nextNumber) throw new Error(`number ${number} may have sealed already`)
    const { nonce, nonceAddress, calls } = this.#shared
    nonce.set(this.#salt)
    nonce.writeUInt32BE(Math.floor(number / 2 ** 32), SALT_BYTES)
    nonce.writeUInt32BE(number % 2 ** 32, SALT_BYTES + 4)
    if (calls.control(context, CTRL_SET_IV_FIXED, WHOLE_NONCE, nonceAddress) === 1) return
    throw new Error('OpenSSL takes no nonce')
  }

  #run(context: number, bytes: Buffer, at: number, end: number, onTop: number): number {
    const { calls, associated, associatedAddress, copy, copyAddress } = this.#shared
    const lengthBytes = end - at
    associated.writeUInt16BE(lengthBytes - NUMBER_BYTES - TAG_BYTES + onTop, AAD_LENGTH_AT)
    const room = calls.control(context, CTRL_TLS1_AAD, AAD_BYTES, associatedAddress)
    if (room !== TAG_BYTES) return -1
    const address = addressIn(bytes, at, lengthBytes)
    if (address !== 0) return calls.cipher(context, address, address, lengthBytes)
    bytes.copy(copy, 0, at, end)
    const written = calls.cipher(context, copyAddress, copyAddress, lengthBytes)
    copy.copy(bytes, at, 0, lengthBytes)
    return written
  }
}

function checkRecord(bytes: Buffer, at: number, end: number): void {
  const lengthBytes = end - at
  const isWhole = at >= 0 && end <= bytes.length && lengthBytes >= NUMBER_BYTES + TAG_BYTES
  if (!isWhole || lengthBytes > RECORD_BYTES_MAX) throw new RangeError(`no record: ${at} to ${end}`)
}

const CHECKED_NUMBERS = [1, 2, 7, 2 ** 32 - 1, 2 ** 32, 2 ** 47]
const CHECKED_LENGTHS = [0, 1, 16, 1_376, 8_191, 65_467]

/** The same bytes as those of Node's own cipher, both ways, for numbers in and out of order; and
 * nothing else opens. */
function isRight(gcm: Gcm): boolean {
  const [key, salt] = [Buffer.alloc(KEY_BYTES, 1), Buffer.alloc(SALT_BYTES, 2)]
  const ours = gcm.makeKey(key, salt)
  const record = newSlab(RECORD_BYTES_MAX)
  const areSame = CHECKED_NUMBERS.every((number, i) => {
    const textBytes = CHECKED_LENGTHS[i] as number
    const end = NUMBER_BYTES + textBytes + TAG_BYTES
    record.writeUIntBE(number, 2, 6)
    const text = record.fill(number % 251, NUMBER_BYTES, end).subarray(NUMBER_BYTES, -TAG_BYTES)
    const expected = sealedByNode({ key, salt, record: record.subarray(0, end), gcm })
    setAssociated(gcm, textBytes)
    ours.seal(record, 0, end)
    if (!record.subarray(0, end).equals(expected)) return false
    setAssociated(gcm, textBytes)
    if (!ours.open(record, 0, end)) return false
    if (text.subarray(0, textBytes).some((byte) => byte !== number % 251)) return false
    expected[end - 1] = (expected[end - 1] as number) ^ 1
    setAssociated(gcm, textBytes)
    return !ours.open(expected, 0, end)
  })
  ours.dispose()
  return areSame
}

function setAssociated({ associated }: Gcm, textBytes: number): void {
  associated.fill('associated!')
  associated.writeUInt16BE(textBytes, AAD_LENGTH_AT)
}

function sealedByNode(input: { key: Buffer; salt: Buffer; record: Buffer; gcm: Gcm }): Buffer {
  const { key, salt, record, gcm } = input
  const number = record.subarray(0, NUMBER_BYTES)
  const text = record.subarray(NUMBER_BYTES, record.length - TAG_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.concat([salt, number]))
  setAssociated(gcm, text.length)
  cipher.setAAD(gcm.associated)
  const sealed = [number, cipher.update(text), cipher.final(), cipher.getAuthTag()]
  return Buffer.concat(sealed)
}
