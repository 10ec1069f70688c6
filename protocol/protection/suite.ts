// protocol/protection/suite.ts — what must a cipher be able to do to protect packets?
import { SALT_BYTES } from '../handshake/key-schedule.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'

/** One direction's key in one phase. Nonce: salt ‖ bytes 16 to 23 of the packet (its number). */
export interface PacketKey {
  /** Encrypts `packet[24, plaintextEnd)` in place and puts the tag behind it. The header must be
   * complete, but for the CRC-32. */
  seal(packet: Buffer, plaintextEnd: number): void
  /** Decrypts in place. False: the tag is wrong, and the packet must change nothing. */
  open(packet: Buffer): boolean
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
const ASSOCIATED_BYTES = 13
const ASSOCIATED_ZERO_AT = 10
const ASSOCIATED_LENGTH_AT = 11

/** What goes into a cipher beside key and text. Reused from packet to packet. */
export class CipherInput {
  /** Salt ‖ packet number. */
  readonly nonce = Buffer.alloc(NONCE_BYTES)
  /** Bytes 0, 1 and 4 to 11 of the packet, a zero byte, and the plaintext's length, big-endian (the
   * TLS 1.2 form that OpenSSL seals in one call). */
  readonly associated = Buffer.alloc(ASSOCIATED_BYTES)

  constructor(salt: Buffer) {
    salt.copy(this.nonce)
  }

  prepare(packet: Buffer, plaintextBytes: number): void {
    const { associated } = this
    packet.copy(this.nonce, SALT_BYTES, HEADER_BYTES - 8, HEADER_BYTES)
    associated[0] = packet[0] as number
    associated[1] = packet[1] as number
    for (let i = 0; i < 8; i += 1) associated[2 + i] = packet[4 + i] as number
    associated[ASSOCIATED_ZERO_AT] = 0
    associated[ASSOCIATED_LENGTH_AT] = plaintextBytes >>> 8
    associated[ASSOCIATED_LENGTH_AT + 1] = plaintextBytes & 255
  }
}

export const plaintextBytesOf = (packet: Buffer): number => packet.length - HEADER_BYTES - TAG_BYTES
