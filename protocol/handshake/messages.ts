// protocol/handshake/messages.ts — which bytes are in the packets before the first key?
//
//   HELLO    32 u8 token length, token | u16 length, Noise message 1 | zeros to ≥ 1200 | 16 B mac1
//   RETRY    32 u8 token length, token | 16 B tag
//   ACCEPT   32 u16 length, Noise message 2
//   VERSIONS 32 u8 count, a u8 each
//   REFUSED  32 u8 reason | 16 B tag
//   RESET    24 random bytes | 16 B reset token
import { packetCrc } from '../wire/crc.ts'
import { FrameReader } from '../wire/frames.ts'
import {
  HEADER_BYTES,
  HELLO_BYTES_MIN,
  LONG_HEADER_BYTES,
  PACKET,
  TAG_BYTES,
  VERSION,
  writeHeader,
} from '../wire/header.ts'
import { blake2b128, blake2b256, isSame } from './sodium.ts'

export type Cid = readonly [low: number, high: number]

const NO_CID: Cid = [0, 0]
const TOKEN_BYTES_MAX = 255
const MAC1_LABEL = Buffer.from('mac1')
const MAC1_KEYS_KEPT = 64

export const REFUSAL = { busy: 1, badToken: 2, wrongVersion: 3, draining: 4, wrongKey: 5 } as const

/** The whole HELLO, at least 1200 bytes, mac1 and CRC-32 included. */
export function encodeHello(hello: {
  dcid: Cid
  scid: Cid
  token: Uint8Array
  message: Uint8Array
  serverKey: Uint8Array
}): Buffer {
  const { token, message } = hello
  const contentEnd = LONG_HEADER_BYTES + 1 + token.length + 2 + message.length
  const packet = Buffer.alloc(Math.max(HELLO_BYTES_MIN, contentEnd + TAG_BYTES))
  writeLong(packet, PACKET.hello, hello.dcid, hello.scid)
  packet[LONG_HEADER_BYTES] = token.length
  packet.set(token, LONG_HEADER_BYTES + 1)
  packet.writeUInt16LE(message.length, LONG_HEADER_BYTES + 1 + token.length)
  packet.set(message, contentEnd - message.length)
  mac1(packet, hello.serverKey).copy(packet, packet.length - TAG_BYTES)
  return finishCrc(packet)
}

/** Views into the packet; null when the lengths in it contradict each other. */
export function decodeHello(packet: Buffer): { token: Buffer; message: Buffer } | null {
  const reader = new FrameReader(packet, LONG_HEADER_BYTES, packet.length - TAG_BYTES)
  const tokenBytes = reader.u8()
  const tokenAt = reader.skip(tokenBytes)
  const messageBytes = reader.u16()
  const messageAt = reader.skip(messageBytes)
  if (reader.failed) return null
  return {
    token: packet.subarray(tokenAt, tokenAt + tokenBytes),
    message: packet.subarray(messageAt, messageAt + messageBytes),
  }
}

/** Proves that the sender knows whom it calls (WireGuard §5.4.4), and costs 1 µs to check. */
export const hasMac1 = (packet: Buffer, serverKey: Uint8Array): boolean =>
  isSame(packet.subarray(packet.length - TAG_BYTES), mac1(packet, serverKey))

const macKeys = new Map<string, Buffer>()

/** BLAKE2b-128 under BLAKE2b-256("mac1" ‖ server's public key), over bytes 0–11 ‖ 16..end−17. */
function mac1(packet: Buffer, serverKey: Uint8Array): Buffer {
  const name = Buffer.from(serverKey).toString('hex')
  let key = macKeys.get(name)
  if (!key) {
    key = blake2b256(Buffer.concat([MAC1_LABEL, serverKey]))
    if (macKeys.size >= MAC1_KEYS_KEPT) macKeys.clear()
    macKeys.set(name, key)
  }
  const covered = [packet.subarray(0, 12), packet.subarray(16, packet.length - TAG_BYTES)]
  return blake2b128(Buffer.concat(covered), key)
}

export function encodeAccept(accept: { dcid: Cid; scid: Cid; message: Uint8Array }): Buffer {
  const packet = Buffer.alloc(LONG_HEADER_BYTES + 2 + accept.message.length)
  writeLong(packet, PACKET.accept, accept.dcid, accept.scid)
  packet.writeUInt16LE(accept.message.length, LONG_HEADER_BYTES)
  packet.set(accept.message, LONG_HEADER_BYTES + 2)
  return finishCrc(packet)
}

export function decodeAccept(packet: Buffer): Buffer | null {
  if (packet.length < LONG_HEADER_BYTES + 2) return null
  const end = LONG_HEADER_BYTES + 2 + packet.readUInt16LE(LONG_HEADER_BYTES)
  return end > packet.length ? null : packet.subarray(LONG_HEADER_BYTES + 2, end)
}

/** `scid` is the CID under which the next HELLO is expected. */
export function encodeRetry(retry: {
  dcid: Cid
  scid: Cid
  token: Uint8Array
  ephemeral: Uint8Array
}): Buffer {
  if (retry.token.length > TOKEN_BYTES_MAX) throw new RangeError('a token has at most 255 bytes')
  const body = Buffer.concat([Buffer.from([retry.token.length]), retry.token])
  return encodeTagged(PACKET.retry, { ...retry, body })
}

export function encodeRefused(refused: {
  dcid: Cid
  reason: number
  ephemeral: Uint8Array
}): Buffer {
  const body = Buffer.from([refused.reason])
  return encodeTagged(PACKET.refused, { ...refused, scid: NO_CID, body })
}

function encodeTagged(
  type: number,
  reply: { dcid: Cid; scid: Cid; body: Buffer; ephemeral: Uint8Array },
): Buffer {
  const packet = Buffer.alloc(LONG_HEADER_BYTES + reply.body.length + TAG_BYTES)
  writeLong(packet, type, reply.dcid, reply.scid)
  reply.body.copy(packet, LONG_HEADER_BYTES)
  const tagAt = packet.length - TAG_BYTES
  replyTag(packet.subarray(24, tagAt), reply.ephemeral).copy(packet, tagAt)
  return finishCrc(packet)
}

/** The body of a RETRY or REFUSED whose tag is right: made by somebody who saw our HELLO. */
export function openTagged(packet: Buffer, ephemeral: Uint8Array): Buffer | null {
  const tagAt = packet.length - TAG_BYTES
  if (tagAt <= LONG_HEADER_BYTES) return null
  const tag = replyTag(packet.subarray(24, tagAt), ephemeral)
  return isSame(tag, packet.subarray(tagAt)) ? packet.subarray(LONG_HEADER_BYTES, tagAt) : null
}

/** Of the source CID and the body, keyed by the HELLO's ephemeral key. */
const replyTag = (covered: Uint8Array, ephemeral: Uint8Array): Buffer =>
  blake2b128(covered, ephemeral)

/** The token of an opened RETRY; null when its length is wrong. */
export const tokenOf = (body: Buffer): Buffer | null =>
  body.length === 1 + (body[0] as number) ? Buffer.from(body.subarray(1)) : null

export function encodeVersions(versions: { dcid: Cid; scid: Cid }): Buffer {
  const packet = Buffer.alloc(LONG_HEADER_BYTES + 2 + TAG_BYTES)
  writeLong(packet, PACKET.versions, versions.dcid, versions.scid)
  packet[LONG_HEADER_BYTES] = 1
  packet[LONG_HEADER_BYTES + 1] = VERSION
  return finishCrc(packet)
}

/** The versions that the other end speaks; null when the list is cut. */
export function decodeVersions(packet: Buffer): number[] | null {
  const count = packet[LONG_HEADER_BYTES] ?? 0
  const start = LONG_HEADER_BYTES + 1
  return count === 0 || start + count > packet.length
    ? null
    : [...packet.subarray(start, start + count)]
}

/** Shorter than the packet that it answers, so that two amnesiacs fall silent (RFC 9000 §10.3.3). */
export function encodeReset(reset: {
  dcid: Cid
  token: Uint8Array
  lengthBytes: number
  random: Uint8Array
}): Buffer {
  const packet = Buffer.alloc(reset.lengthBytes)
  packet.set(reset.random.subarray(0, reset.lengthBytes - HEADER_BYTES - TAG_BYTES), HEADER_BYTES)
  writePlain(packet, PACKET.reset, reset.dcid)
  packet.set(reset.token, packet.length - TAG_BYTES)
  return finishCrc(packet)
}

/** BLAKE2b-128(the endpoint's secret, CID): the same after a restart. */
export function resetTokenOf(secret: Uint8Array, cid: Cid): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(cid[0], 0)
  bytes.writeUInt32LE(cid[1], 4)
  return blake2b128(bytes, secret)
}

export const sourceCidOf = (packet: Buffer): Cid => [
  packet.readUInt32LE(HEADER_BYTES),
  packet.readUInt32LE(HEADER_BYTES + 4),
]

function writeLong(packet: Buffer, type: number, dcid: Cid, scid: Cid): void {
  writePlain(packet, type, dcid)
  packet.writeUInt32LE(scid[0], HEADER_BYTES)
  packet.writeUInt32LE(scid[1], HEADER_BYTES + 4)
}

function writePlain(packet: Buffer, type: number, dcid: Cid): void {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const header = { version: VERSION, type, keyPhase: 0, lengthBytes: packet.length }
  writeHeader(view, { ...header, cidLow: dcid[0], cidHigh: dcid[1], packetNumber: 0 })
}

function finishCrc(packet: Buffer): Buffer {
  packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
  return packet
}
