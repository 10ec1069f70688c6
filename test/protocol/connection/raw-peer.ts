// test/protocol/connection/raw-peer.ts — a peer that says whatever it is told to, rules or no rules
import type {
  Connection,
  Endpoint,
  EndpointEvent,
  EndpointOptions,
} from '../../../protocol/connection/api.ts'
import { createCoreEndpoint } from '../../../protocol/connection/endpoint.ts'
import { type Cid, encodeHello } from '../../../protocol/handshake/messages.ts'
import { NoiseInitiator } from '../../../protocol/handshake/noise.ts'
import { encodePayload } from '../../../protocol/handshake/payload.ts'
import { prologueOf } from '../../../protocol/handshake/prologue.ts'
import type { Address } from '../../../protocol/types.ts'
import { packetCrc } from '../../../protocol/wire/crc.ts'
import { FRAME, FrameWriter } from '../../../protocol/wire/frames.ts'
import { HEADER_BYTES, PACKET, TAG_BYTES, writeHeader } from '../../../protocol/wire/header.ts'
import { plainSuite } from '../../sim/plain-suite.ts'
import { Random } from '../../sim/random.ts'
import { identityOf } from '../../support/identity.ts'

const SERVER = identityOf(2)
const FIRST_CID: Cid = [7, 7]
const NO_TOKEN = new Uint8Array(0)
const PARAMETERS = {
  version: 1,
  idleTimeoutMs: 30_000,
  ackDelayMsMax: 7,
  streamWindowBytes: 1 << 20,
  connectionWindowBytes: 3 << 19,
  streamsMax: 1_024,
  mtuBytes: 1_472,
  crc: 'full' as const,
  suites: 1 << plainSuite.id,
}

export type WriteFrames = (writer: FrameWriter) => void

/** Speaks to a real acceptor in the same process; time moves only when told to. */
export class RawPeer {
  nowMs = 1_000
  packetNumber = 0
  readonly endpoint: Endpoint
  readonly random: Random
  readonly #number: number
  readonly events: EndpointEvent[] = []
  /** What the acceptor sent since this was last emptied. */
  readonly heard: Buffer[] = []
  readonly #from: Address
  readonly #out
  #cid: readonly [number, number] = [0, 0]

  /** `beside`: at the same acceptor, under another key and address. */
  constructor(options: Partial<EndpointOptions> = {}, beside: RawPeer | null = null) {
    this.#number = beside ? beside.#number + 2 : 1
    this.#from = { host: `10.0.0.${this.#number + 1}`, port: 2 }
    this.#out = { bytes: new Uint8Array(65_536), lengthBytes: 0, segmentBytes: 0, to: this.#from }
    this.random = new Random(this.#number, 'raw peer')
    if (beside) {
      this.endpoint = beside.endpoint
      return
    }
    const random = new Random(1, 'acceptor')
    this.endpoint = createCoreEndpoint({
      identity: SERVER,
      suites: [plainSuite],
      random: (lengthBytes) => random.bytes(lengthBytes),
      ...options,
    })
  }

  get #ownCid(): Cid {
    return [0x0a0a0a0a + this.#number, 0x0b0b0b0b]
  }

  /** A HELLO with a fresh ephemeral key, as one packet. */
  makeHello(parameters: Partial<typeof PARAMETERS> = {}): Buffer {
    const cids = { dcid: FIRST_CID, scid: this.#ownCid, token: NO_TOKEN }
    const noise = new NoiseInitiator({
      prologue: prologueOf(cids),
      keys: identityOf(this.#number),
      remoteKey: SERVER.publicKey,
      ephemeralSecret: this.random.bytes(32),
    })
    const message = noise.writeMessage1(
      encodePayload({
        parameters: { ...PARAMETERS, ...parameters },
        certificate: new Uint8Array(0),
        resetToken: new Uint8Array(16),
      }),
    )
    if (!message) throw new Error('no message 1')
    return encodeHello({ ...cids, message, serverKey: SERVER.publicKey })
  }

  /** Up to an open connection. */
  connect(parameters: Partial<typeof PARAMETERS> = {}): Connection {
    this.deliver(this.makeHello(parameters))
    this.turn()
    const accept = this.heard.splice(0).find((packet) => ((packet[1]! >> 1) & 15) === PACKET.accept)
    if (!accept) throw new Error('no ACCEPT')
    this.#cid = [accept.readUInt32LE(24), accept.readUInt32LE(28)]
    this.send((writer) => writer.u8(FRAME.ping))
    const accepted = this.events.find((event) => event.type === 'accepted')
    if (!accepted) throw new Error('no connection')
    return accepted.connection
  }

  deliver(datagram: Uint8Array): void {
    this.endpoint.handleDatagram(this.nowMs, datagram, this.#from)
  }

  /** One DATA packet with the next number, or with the given one, padded to `padToBytes`. */
  makePacket(write: WriteFrames, packetNumber = this.packetNumber++, padToBytes = 0): Buffer {
    const packet = Buffer.alloc(65_507)
    const writer = new FrameWriter(packet)
    writer.offset = HEADER_BYTES
    writer.end = packet.length - TAG_BYTES
    write(writer)
    const lengthBytes = Math.max(writer.offset + TAG_BYTES, padToBytes)
    const [cidLow, cidHigh] = this.#cid
    const header = { version: 1, type: PACKET.data, keyPhase: 0, lengthBytes, cidLow, cidHigh }
    const bytes = Buffer.from(new Uint8Array(packet.subarray(0, lengthBytes)).buffer)
    writeHeader(viewOf(bytes), { ...header, packetNumber })
    return sealed(bytes)
  }

  /** Sends one packet and lets the acceptor answer. */
  send(write: WriteFrames, packetNumber?: number): void {
    this.deliver(this.makePacket(write, packetNumber))
    this.turn()
  }

  /** Acknowledges every packet heard since, as a peer that keeps the rules does. */
  acknowledge(): void {
    for (const packet of this.heard.splice(0)) {
      const isOurs = packet.readUInt32LE(4) === this.#ownCid[0]
      if (!isOurs || ((packet[1]! >> 1) & 15) !== PACKET.data) continue
      this.send((writer) => {
        writer.u8(FRAME.ack)
        writer.u48(packet.readUIntBE(18, 6))
        writer.u32(0)
        writer.u8(1)
        writer.varint(0)
      })
    }
  }

  /** One turn of a driver: timers, events, packets. */
  turn(): void {
    if (this.endpoint.pollTimeout() <= this.nowMs) this.endpoint.handleTimeout(this.nowMs)
    for (let e = this.endpoint.pollEvent(); e; e = this.endpoint.pollEvent()) this.events.push(e)
    this.transmit()
    for (let e = this.endpoint.pollEvent(); e; e = this.endpoint.pollEvent()) this.events.push(e)
  }

  transmit(): void {
    while (this.endpoint.pollTransmit(this.nowMs, this.#out)) {
      this.heard.push(Buffer.from(this.#out.bytes.subarray(0, this.#out.lengthBytes)))
    }
  }

  /** Lets time pass as a driver would; how many timeouts that took. */
  pass(forMs: number): number {
    const untilMs = this.nowMs + forMs
    let timeouts = 0
    for (;;) {
      const dueMs = this.endpoint.pollTimeout()
      if (dueMs > untilMs) break
      this.nowMs = Math.max(this.nowMs + 0.001, dueMs)
      timeouts += 1
      this.turn()
      if (timeouts > 10_000) break
    }
    this.nowMs = untilMs
    return timeouts
  }
}

export function writeStream(
  writer: FrameWriter,
  frame: { id: number; offset: number; bytes: Uint8Array; fin?: boolean },
): void {
  writer.u8(frame.fin ? FRAME.streamFin : FRAME.stream)
  writer.u32(frame.id)
  writer.u48(frame.offset)
  writer.u16(frame.bytes.length)
  writer.raw(frame.bytes)
}

const viewOf = (bytes: Buffer): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

function sealed(packet: Buffer): Buffer {
  packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
  return packet
}

/** All that waits to be read, whatever pieces it comes in. */
export function readAll(connection: Connection, streamId: number): Buffer {
  const parts: Uint8Array[] = []
  for (;;) {
    const part = connection.read(streamId, 2 ** 20)
    if (part === null) return Buffer.concat(parts)
    parts.push(part)
  }
}
