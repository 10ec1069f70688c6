// bench/flood-packets.ts — what can be sent to a node by somebody who is nobody?
import { randomFillSync } from 'node:crypto'
import { encodeHello } from '../protocol/handshake/messages.ts'
import { NoiseInitiator } from '../protocol/handshake/noise.ts'
import { encodePayload } from '../protocol/handshake/payload.ts'
import { prologueOf } from '../protocol/handshake/prologue.ts'
import { packetCrc } from '../protocol/wire/crc.ts'
import { keyPairFrom } from '../src/identity/index.ts'

const NO_TOKEN = new Uint8Array(0)
const PACKET_BYTES = 1_200
const PACKET_BYTES_MIN = 40
const TYPES = 7
const DATA = 3
const PARAMETERS = {
  version: 1,
  idleTimeoutMs: 30_000,
  ackDelayMsMax: 7,
  streamWindowBytes: 1 << 20,
  connectionWindowBytes: 3 << 19,
  streamsMax: 1_024,
  mtuBytes: 1_472,
  crc: 'full' as const,
  suites: 3,
}

export const random = (lengthBytes: number): Buffer => randomFillSync(Buffer.alloc(lengthBytes))

const cid = (): [number, number] => {
  const bytes = random(8)
  return [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
}

/** Right in all that costs nothing to check: only Diffie-Hellman shows that it is none. */
export const hello = (serverKey: Uint8Array): Buffer =>
  encodeHello({ dcid: cid(), scid: cid(), token: NO_TOKEN, message: random(200), serverKey })

/** The first packet of somebody who could go on, and never will. */
export function helloThatOpens(serverKey: Uint8Array): Buffer {
  const cids = { dcid: cid(), scid: cid(), token: NO_TOKEN }
  const noise = new NoiseInitiator({
    prologue: prologueOf(cids),
    keys: keyPairFrom(random(32)),
    remoteKey: serverKey,
    ephemeralSecret: random(32),
  })
  const certificate = NO_TOKEN
  const payload = { parameters: PARAMETERS, certificate, resetToken: random(16) }
  const message = noise.writeMessage1(encodePayload(payload))
  if (!message) throw new Error('the key is none')
  return encodeHello({ ...cids, message, serverKey })
}

export const unknownConnection = (): Buffer => packetOf(DATA, PACKET_BYTES)

export const noise = (): Buffer => random(PACKET_BYTES)

/** Any type and length; all that is checked before a key is needed is right. */
export function rubbish(): Buffer {
  const bytes = random(3)
  const lengthBytes = PACKET_BYTES_MIN + (bytes.readUInt16LE(0) % (PACKET_BYTES - PACKET_BYTES_MIN))
  return packetOf((bytes[2] as number) % TYPES, lengthBytes)
}

function packetOf(type: number, lengthBytes: number): Buffer {
  const packet = random(lengthBytes)
  packet[0] = 0x0b
  packet[1] = (1 << 5) | (type << 1)
  packet.writeUInt16LE(packet.length, 2)
  packet.fill(0, 16, type === DATA ? 20 : 24)
  packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
  return packet
}
