// protocol/handshake/payload.ts — what do the two ends tell each other, sealed, in the handshake?
//
//   u8 count, then (u8 id, u48 value)… | u16 length, certificate | 16 B reset token of the own CID
//
// Both messages carry the same form; ids that are not known are skipped.
import { FrameReader, FrameWriter, STREAMS_MAX } from '../wire/frames.ts'
import { HELLO_BYTES_MIN } from '../wire/header.ts'

export const CERTIFICATE_BYTES_MAX = 512
export const RESET_TOKEN_BYTES = 16
const ACK_DELAY_MS_LIMIT = 1_000

export interface Parameters {
  /** The version of the packets that carry this: anything else was changed on the way. */
  readonly version: number
  readonly idleTimeoutMs: number
  readonly ackDelayMsMax: number
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
  readonly streamsMax: number
  readonly mtuBytes: number
  readonly crc: 'full' | 'header'
  /** HELLO: a bit for each suite offered. ACCEPT: the one bit of the suite chosen. */
  readonly suites: number
}

export interface Payload {
  readonly parameters: Parameters
  readonly certificate: Uint8Array
  /** A RESET for the sender's CID ends with these bytes. */
  readonly resetToken: Uint8Array
}

const IDS = {
  version: 1,
  idleTimeoutMs: 2,
  ackDelayMsMax: 3,
  streamWindowBytes: 4,
  connectionWindowBytes: 5,
  streamsMax: 6,
  mtuBytes: 7,
  crc: 8,
  suites: 9,
} as const

const NAMES = Object.keys(IDS) as (keyof Parameters)[]
const PARAMETER_BYTES = 7
const PAYLOAD_BYTES_MAX =
  1 + NAMES.length * PARAMETER_BYTES + 2 + CERTIFICATE_BYTES_MAX + RESET_TOKEN_BYTES

/** Throws when the certificate is longer than 512 bytes: a mistake of the program. */
export function encodePayload({ parameters, certificate, resetToken }: Payload): Buffer {
  if (certificate.length > CERTIFICATE_BYTES_MAX) {
    throw new RangeError(`certificate: ${certificate.length} bytes, at most 512 are sent`)
  }
  const bytes = Buffer.alloc(PAYLOAD_BYTES_MAX)
  const writer = new FrameWriter(bytes)
  writer.u8(NAMES.length)
  for (const name of NAMES) {
    writer.u8(IDS[name])
    const value = parameters[name]
    writer.u48(typeof value === 'number' ? value : value === 'full' ? 0 : 1)
  }
  writer.u16(certificate.length)
  writer.raw(certificate)
  writer.raw(resetToken)
  return bytes.subarray(0, writer.offset)
}

/** Null for whatever is no payload. */
export function decodePayload(bytes: Buffer): Payload | null {
  const reader = new FrameReader(bytes, 0, bytes.length)
  const values = new Map<number, number>()
  const count = reader.u8()
  for (let i = 0; i < count && !reader.failed; i += 1) values.set(reader.u8(), reader.u48())
  const certificateBytes = reader.u16()
  const certificateAt = reader.skip(certificateBytes)
  const tokenAt = reader.skip(RESET_TOKEN_BYTES)
  if (reader.failed || certificateBytes > CERTIFICATE_BYTES_MAX) return null
  const parameters = parametersFrom(values)
  return (
    parameters && {
      parameters,
      certificate: copyOf(bytes, certificateAt, certificateBytes),
      resetToken: copyOf(bytes, tokenAt, RESET_TOKEN_BYTES),
    }
  )
}

function parametersFrom(values: ReadonlyMap<number, number>): Parameters | null {
  const get = (name: keyof Parameters): number => values.get(IDS[name]) ?? -1
  const parameters: Parameters = {
    version: get('version'),
    idleTimeoutMs: get('idleTimeoutMs'),
    ackDelayMsMax: get('ackDelayMsMax'),
    streamWindowBytes: get('streamWindowBytes'),
    connectionWindowBytes: get('connectionWindowBytes'),
    streamsMax: get('streamsMax'),
    mtuBytes: get('mtuBytes'),
    crc: get('crc') === 1 ? 'header' : 'full',
    suites: get('suites'),
  }
  const isSane =
    parameters.version >= 0 &&
    parameters.idleTimeoutMs > 0 &&
    parameters.ackDelayMsMax >= 0 &&
    parameters.ackDelayMsMax <= ACK_DELAY_MS_LIMIT &&
    parameters.streamWindowBytes >= 0 &&
    parameters.connectionWindowBytes >= 0 &&
    parameters.streamsMax >= 0 &&
    parameters.streamsMax <= STREAMS_MAX &&
    parameters.mtuBytes >= HELLO_BYTES_MIN &&
    parameters.suites > 0
  return isSane ? parameters : null
}

const copyOf = (bytes: Buffer, at: number, length: number): Uint8Array =>
  Uint8Array.prototype.slice.call(bytes, at, at + length)
