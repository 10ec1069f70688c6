// test/fuzz/repair.ts — how does a damaged packet get past the checks that would hide what is behind?
import { blake2b128, blake2b256 } from '../../protocol/handshake/sodium.ts'
import { packetCrc } from '../../protocol/wire/crc.ts'
import { HEADER_BYTES, MAGIC, TAG_BYTES } from '../../protocol/wire/header.ts'

const MAC1_LABEL = Buffer.from('mac1')
const PACKET_BYTES_MIN = HEADER_BYTES + TAG_BYTES

/** Good CRCs for all packets of a datagram, as far as their lengths lead. */
export function withCrcs(datagram: Uint8Array): Buffer {
  const bytes = Buffer.from(datagram)
  for (let at = 0; at + PACKET_BYTES_MIN <= bytes.length; ) {
    const lengthBytes = bytes.readUInt16LE(at + 2)
    if (lengthBytes < PACKET_BYTES_MIN || at + lengthBytes > bytes.length) break
    seal(bytes.subarray(at, at + lengthBytes))
    at += lengthBytes
  }
  return bytes
}

/** One packet that fills the buffer: magic, version, type, length and CRC as they must be. */
export function asPacket(bytes: Buffer, type: number): Buffer {
  bytes[0] = MAGIC
  bytes[1] = (1 << 5) | (type << 1)
  bytes.writeUInt16LE(bytes.length, 2)
  bytes.fill(0, 16, HEADER_BYTES)
  return seal(bytes)
}

export function seal(packet: Buffer): Buffer {
  packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
  return packet
}

/** The mac1 of a HELLO, written again from its definition: BLAKE2b-128 under
 * BLAKE2b-256("mac1" ‖ key) of all but the CRC. */
export function withMac1(hello: Buffer, serverKey: Uint8Array): Buffer {
  const key = blake2b256(Buffer.concat([MAC1_LABEL, serverKey]))
  const macAt = hello.length - TAG_BYTES
  blake2b128(Buffer.concat([hello.subarray(0, 12), hello.subarray(16, macAt)]), key).copy(
    hello,
    macAt,
  )
  return seal(hello)
}

/** The tag of a RETRY or REFUSED that answers the HELLO with that ephemeral key. */
export function withReplyTag(reply: Buffer, ephemeral: Uint8Array): Buffer {
  const tagAt = reply.length - TAG_BYTES
  blake2b128(reply.subarray(HEADER_BYTES, tagAt), ephemeral).copy(reply, tagAt)
  return seal(reply)
}
