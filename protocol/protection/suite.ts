// protocol/protection/suite.ts — what must a cipher be able to do to protect packets?
import { SALT_BYTES } from '../handshake/key-schedule.ts'

/** One direction's key in one phase. Nonce: salt ‖ bytes 16 to 23 of the packet (its number). */
export interface PacketKey {
  /** A packet begins at `at`: encrypts `bytes[at + 24, plaintextEnd)` in place and puts the tag
   * behind it. The header must be complete, but for the CRC-32. */
  seal(bytes: Buffer, at: number, plaintextEnd: number): void
  /** Decrypts the packet `bytes[at, end)` in place. False: the tag is wrong, what the packet holds
   * now is rubbish, and it must change nothing. */
  open(bytes: Buffer, at: number, end: number): boolean
  /** Its phase is over: nothing is sealed or opened with it any more. */
  dispose?(): void
}

export interface Suite {
  /** Its bit in the offer of the handshake. */
  readonly id: number
  readonly name: string
  /** Packets under one key, after which the sender takes the next one. */
  readonly packetsPerKeyMax: number
  /** `key` has 32 bytes, `salt` 4. */
  makeKey(key: Buffer, salt: Buffer): PacketKey
}

const NONCE_BYTES = 12
/** Where a packet has its number, directly in front of the text. */
export const NUMBER_AT = 16
const CID_AT = 4
const ASSOCIATED_BYTES = 13
const ASSOCIATED_ZERO_AT = 10
const ASSOCIATED_LENGTH_AT = 11

/** Writes bytes 0, 1 and 4 to 11 of the packet at `at`, a zero byte, and the plaintext's length,
 * big-endian: the TLS 1.2 form that OpenSSL seals in one call. */
export function writeAssociated(
  into: Buffer,
  bytes: Buffer,
  at: number,
  plaintextBytes: number,
): void {
  into[0] = bytes[at] as number
  into[1] = bytes[at + 1] as number
  for (let i = 0; i < 8; i += 1) into[2 + i] = bytes[at + CID_AT + i] as number
  into[ASSOCIATED_ZERO_AT] = 0
  into[ASSOCIATED_LENGTH_AT] = plaintextBytes >>> 8
  into[ASSOCIATED_LENGTH_AT + 1] = plaintextBytes & 255
}

/** What goes into a cipher beside key and text. Reused from packet to packet. */
export class CipherInput {
  /** Salt ‖ packet number. */
  readonly nonce = Buffer.alloc(NONCE_BYTES)
  readonly associated = Buffer.alloc(ASSOCIATED_BYTES)

  constructor(salt: Buffer) {
    salt.copy(this.nonce)
  }

  prepare(bytes: Buffer, at: number, plaintextBytes: number): void {
    const { associated, nonce } = this
    for (let i = 0; i < 8; i += 1) nonce[SALT_BYTES + i] = bytes[at + NUMBER_AT + i] as number
    writeAssociated(associated, bytes, at, plaintextBytes)
  }
}
