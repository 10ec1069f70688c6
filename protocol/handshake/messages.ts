// protocol/handshake/messages.ts — what do the two ends tell each other before the first stream?
//
// The messages have the order and the sizes of Noise IK (msg 1: e, es, s, ss + payload; msg 2: e,
// ee, se + payload). Until encryption lands the keys travel in clear and each tag is 16 zero bytes.

import { FrameReader, FrameWriter, STREAMS_MAX } from '../wire/frames.ts'
import { CID_BYTES, HELLO_BYTES_MIN, LONG_HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { blake2b128, blake2b256 } from './blake2b.ts'

export const KEY_BYTES = 32
export const CERTIFICATE_BYTES_MAX = 512
const PAYLOAD_BYTES_MAX = 1024

export interface Parameters {
  readonly version: number
  readonly idleTimeoutMs: number
  readonly ackDelayMsMax: number
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
  readonly streamsMax: number
  readonly mtuBytes: number
  readonly crc: 'full' | 'header'
}

const PARAMETER_IDS = {
  version: 1,
  idleTimeoutMs: 2,
  ackDelayMsMax: 3,
  streamWindowBytes: 4,
  connectionWindowBytes: 5,
  streamsMax: 6,
  mtuBytes: 7,
  crc: 8,
} as const

/** Parameters as id u8, value u48, in order of id; unknown ids are skipped. */
function writePayload(writer: FrameWriter, parameters: Parameters, certificate: Uint8Array): void {
  const names = Object.keys(PARAMETER_IDS) as (keyof Parameters)[]
  writer.u8(names.length)
  for (const name of names) {
    writer.u8(PARAMETER_IDS[name])
    const value = parameters[name]
    writer.u48(typeof value === 'number' ? value : value === 'full' ? 0 : 1)
  }
  writer.u16(certificate.length)
  writer.raw(certificate)
}

function readPayload(
  reader: FrameReader,
): { parameters: Parameters; certificate: Uint8Array } | null {
  const values = new Map<number, number>()
  const count = reader.u8()
  for (let i = 0; i < count && !reader.failed; i += 1) values.set(reader.u8(), reader.u48())
  const length = reader.u16()
  const start = reader.skip(length)
  if (reader.failed || length > CERTIFICATE_BYTES_MAX) return null
  const get = (name: keyof typeof PARAMETER_IDS): number => values.get(PARAMETER_IDS[name]) ?? -1
  const parameters: Parameters = {
    version: get('version'),
    idleTimeoutMs: get('idleTimeoutMs'),
    ackDelayMsMax: get('ackDelayMsMax'),
    streamWindowBytes: get('streamWindowBytes'),
    connectionWindowBytes: get('connectionWindowBytes'),
    streamsMax: get('streamsMax'),
    mtuBytes: get('mtuBytes'),
    crc: get('crc') === 1 ? 'header' : 'full',
  }
  const sane =
    parameters.idleTimeoutMs > 0 &&
    parameters.ackDelayMsMax >= 0 &&
    parameters.ackDelayMsMax <= 1000 &&
    parameters.streamWindowBytes >= 0 &&
    parameters.connectionWindowBytes >= 0 &&
    parameters.streamsMax >= 0 &&
    parameters.streamsMax <= STREAMS_MAX &&
    parameters.mtuBytes >= HELLO_BYTES_MIN
  return sane
    ? {
        parameters,
        certificate: Uint8Array.prototype.slice.call(reader.bytes, start, start + length),
      }
    : null
}

export interface Hello {
  readonly ephemeral: Uint8Array
  readonly publicKey: Uint8Array
  readonly certificate: Uint8Array
  readonly parameters: Parameters
}

/** The body of a HELLO behind its source CID: token, length, message 1, padding. The last 16 bytes
 * of the packet are left for mac1. */
export function writeHello(packet: Buffer, hello: Hello, token: Uint8Array): number {
  const writer = new FrameWriter(packet)
  writer.offset = LONG_HEADER_BYTES
  writer.u8(token.length)
  writer.raw(token)
  const lengthAt = writer.offset
  writer.u16(0)
  const start = writer.offset
  writer.raw(hello.ephemeral)
  writer.raw(hello.publicKey)
  packet.fill(0, writer.offset, writer.offset + TAG_BYTES)
  writer.offset += TAG_BYTES
  writePayload(writer, hello.parameters, hello.certificate)
  packet.fill(0, writer.offset, writer.offset + TAG_BYTES)
  writer.offset += TAG_BYTES
  packet.writeUInt16LE(writer.offset - start, lengthAt)
  const length = Math.max(HELLO_BYTES_MIN, writer.offset + TAG_BYTES)
  packet.fill(0, writer.offset, length)
  return length
}

export function readHello(packet: Buffer): Hello | null {
  const reader = new FrameReader(packet, LONG_HEADER_BYTES, packet.length - TAG_BYTES)
  reader.skip(reader.u8())
  const length = reader.u16()
  if (reader.failed || length > PAYLOAD_BYTES_MAX) return null
  const end = reader.offset + length
  if (end > packet.length - TAG_BYTES) return null
  const message = new FrameReader(packet, reader.offset, end)
  const ephemeral = message.skip(KEY_BYTES)
  const publicKey = message.skip(KEY_BYTES)
  message.skip(TAG_BYTES)
  const payload = readPayload(message)
  message.skip(TAG_BYTES)
  if (message.failed || payload === null) return null
  return {
    ephemeral: Uint8Array.prototype.slice.call(packet, ephemeral, ephemeral + KEY_BYTES),
    publicKey: Uint8Array.prototype.slice.call(packet, publicKey, publicKey + KEY_BYTES),
    ...payload,
  }
}

export interface Accept {
  readonly ephemeral: Uint8Array
  readonly certificate: Uint8Array
  readonly parameters: Parameters
}

export function writeAccept(packet: Buffer, accept: Accept): number {
  const writer = new FrameWriter(packet)
  writer.offset = LONG_HEADER_BYTES
  writer.u16(0)
  const start = writer.offset
  writer.raw(accept.ephemeral)
  writePayload(writer, accept.parameters, accept.certificate)
  packet.fill(0, writer.offset, writer.offset + TAG_BYTES)
  writer.offset += TAG_BYTES
  packet.writeUInt16LE(writer.offset - start, LONG_HEADER_BYTES)
  return writer.offset
}

export function readAccept(packet: Buffer): Accept | null {
  const reader = new FrameReader(packet, LONG_HEADER_BYTES, packet.length)
  const length = reader.u16()
  if (reader.failed || reader.offset + length > packet.length) return null
  const message = new FrameReader(packet, reader.offset, reader.offset + length)
  const ephemeral = message.skip(KEY_BYTES)
  const payload = readPayload(message)
  message.skip(TAG_BYTES)
  if (message.failed || payload === null) return null
  return {
    ephemeral: Uint8Array.prototype.slice.call(packet, ephemeral, ephemeral + KEY_BYTES),
    ...payload,
  }
}

const MAC1_LABEL = Buffer.from('mac1')
const macKeys = new Map<string, Buffer>()

/** mac1 = BLAKE2b-128 under BLAKE2b("mac1" ‖ server's public key), over bytes 0–11 ‖ 16..end−17:
 * proves that the sender knows whom it calls (WireGuard §5.4.4). */
export function mac1(packet: Buffer, serverKey: Uint8Array): Buffer {
  const name = Buffer.from(serverKey).toString('hex')
  let key = macKeys.get(name)
  if (!key) {
    key = blake2b256(Buffer.concat([MAC1_LABEL, serverKey]))
    if (macKeys.size > 64) macKeys.clear()
    macKeys.set(name, key)
  }
  const covered = [packet.subarray(0, 12), packet.subarray(16, packet.length - TAG_BYTES)]
  return blake2b128(Buffer.concat(covered), key)
}

/** The tag of REFUSED and RETRY: keyed by the HELLO's ephemeral key, so that only who saw the
 * HELLO can make one. */
export const replyTag = (body: Uint8Array, ephemeral: Uint8Array): Buffer =>
  blake2b128(Buffer.from(body), Buffer.from(ephemeral))

export const readCid = (packet: Buffer, at: number): Buffer =>
  Buffer.from(packet.subarray(at, at + CID_BYTES))
