// protocol/connection/null-crypto.ts — what stands where encryption will: 16 zero bytes as the tag.
import { TAG_BYTES } from '../wire/header.ts'
import type { Crypto } from './api.ts'

/** Protects nothing: the CRC-32 alone guards data. Endpoints with it bind to loopback only. */
export const nullCrypto: Crypto = {
  seal(packet, _packetNumber, _plaintextStart, plaintextEnd) {
    packet.fill(0, plaintextEnd, plaintextEnd + TAG_BYTES)
  },
  open(packet, _packetNumber, _ciphertextStart, tagStart) {
    for (let i = tagStart; i < tagStart + TAG_BYTES; i += 1) if (packet[i] !== 0) return false
    return true
  },
}
