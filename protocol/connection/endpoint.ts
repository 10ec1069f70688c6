// protocol/connection/endpoint.ts — which connection does a datagram belong to, and who may begin one?
import type { Address, LocalIdentity, PeerAddress, TransportError } from '../types.ts'
import { packetCrc } from '../wire/crc.ts'
import {
  HEADER_BYTES,
  HELLO_BYTES_MIN,
  LONG_HEADER_BYTES,
  PACKET,
  type PacketHeader,
  readHeader,
  VERSION,
} from '../wire/header.ts'
import type {
  Connection,
  Crypto,
  Endpoint,
  EndpointEvent,
  EndpointOptions,
  Transmit,
  TransportLimits,
} from './api.ts'
import { ConnectionCore } from './connection.ts'
import { Deadlines } from './deadlines.ts'
import { Handshakes } from './handshakes.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import { nullCrypto } from './null-crypto.ts'

const PACKETS_PER_DATAGRAM_MAX = 64
const MTU_BYTES_DEFAULT = 1472

export function createCoreEndpoint(options: EndpointOptions): Endpoint {
  return new EndpointCore(options)
}

export class EndpointCore implements Endpoint {
  readonly stats = { crcErrors: 0, unknownCid: 0, malformed: 0, refused: 0 }
  readonly limits: TransportLimits
  readonly options: EndpointOptions
  identity: LocalIdentity
  readonly crypto: Crypto = nullCrypto
  /** By the halves of our CID: low → high → connection. */
  readonly #byCid = new Map<number, ConnectionCore>()
  readonly #connections = new Set<ConnectionCore>()
  readonly #events: EndpointEvent[] = []
  #eventHead = 0
  readonly #handshakes: Handshakes
  /** Those that may have something to send, and those whose deadline may have moved: what an idle
   * connection costs is its memory. */
  readonly #busy = new Set<ConnectionCore>()
  readonly #moved = new Set<ConnectionCore>()
  readonly #deadlines = new Deadlines<ConnectionCore>()
  #nowMs = 0
  refuses = false

  constructor(options: EndpointOptions) {
    this.options = options
    this.identity = options.identity
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#handshakes = new Handshakes(this)
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  get mtuBytes(): number {
    return this.options.mtuBytes ?? MTU_BYTES_DEFAULT
  }

  setIdentity(identity: LocalIdentity): void {
    this.identity = identity
  }

  refuseNew(): void {
    this.refuses = true
  }

  connect(nowMs: number, to: PeerAddress): Connection {
    const connection = this.newConnection(nowMs, to, true)
    this.#handshakes.begin(nowMs, connection, to)
    return connection
  }

  newConnection(nowMs: number, remote: Address, isInitiator: boolean): ConnectionCore {
    const connection: ConnectionCore = new ConnectionCore(nowMs, {
      isInitiator,
      remote: { host: remote.host, port: remote.port },
      localCid: this.#freshCid(),
      limits: this.limits,
      mtuBytes: this.mtuBytes,
      crypto: this.crypto,
      randomBelow: (below) => this.randomBelow(below),
      emit: (event) => this.emit(event),
      wake: () => this.#wake(connection),
    })
    this.#byCid.set(connection.localCid[0], connection)
    this.#connections.add(connection)
    return connection
  }

  #wake(connection: ConnectionCore): void {
    this.#busy.add(connection)
    this.#moved.add(connection)
  }

  /** The low half alone finds a connection, so it is drawn until it is free. */
  #freshCid(): readonly [number, number] {
    for (;;) {
      const low = this.randomBelow(2 ** 32)
      if (low !== 0 && !this.#byCid.has(low)) return [low, this.randomBelow(2 ** 32)]
    }
  }

  randomBelow(below: number): number {
    const bytes = this.options.random(4)
    const word = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
    return word % below
  }

  emit(event: EndpointEvent): void {
    this.#events.push(event)
  }

  pollEvent(): EndpointEvent | null {
    if (this.#eventHead === this.#events.length) {
      this.#events.length = 0
      this.#eventHead = 0
      return null
    }
    return this.#events[this.#eventHead++] ?? null
  }

  handleDatagram(nowMs: number, bytes: Uint8Array, from: Address): void {
    this.#nowMs = nowMs
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let offset = 0
    let stride = 0
    for (
      let packets = 0;
      packets < PACKETS_PER_DATAGRAM_MAX && offset < buffer.length;
      packets += 1
    ) {
      if (!readHeader(view, offset, buffer.length, header)) {
        this.stats.malformed += 1
        if (stride === 0) return
        offset += stride
        continue
      }
      const packet = buffer.subarray(offset, offset + header.lengthBytes)
      const ok = this.#handlePacket(nowMs, packet, from)
      if (ok && stride === 0) stride = header.lengthBytes
      offset += ok || stride === 0 ? header.lengthBytes : stride
    }
  }

  /** False when the packet is not to be trusted, its length included. */
  #handlePacket(nowMs: number, packet: Buffer, from: Address): boolean {
    const { type, cidLow, cidHigh, crc, packetNumber } = header
    const connection = this.#byCid.get(cidLow)
    const mine = connection && connection.localCid[1] === cidHigh ? connection : null
    const mode = type === PACKET.data ? (mine?.crcMode ?? 'full') : 'full'
    if (packetCrc(packet, mode) !== crc) {
      this.stats.crcErrors += 1
      mine?.handleCrcError()
      return false
    }
    if (type === PACKET.data) {
      if (!mine) {
        this.stats.unknownCid += 1
        return true
      }
      if (mine.state === 'handshaking') {
        // The first DATA packet proves that the initiator got our ACCEPT, and is where it says.
        if (!this.#handshakes.handleFirstData(nowMs, mine)) return true
      }
      this.#wake(mine)
      mine.handlePacket(nowMs, packet, packetNumber)
      return true
    }
    if (type === PACKET.hello) {
      if (packet.length >= HELLO_BYTES_MIN) this.#handshakes.handleHello(nowMs, packet, from)
      else this.stats.malformed += 1
      return true
    }
    if (!mine || packet.length < LONG_HEADER_BYTES) {
      this.stats.unknownCid += 1
      return true
    }
    this.#wake(mine)
    this.#handshakes.handleReply(nowMs, mine, { type, packet, version: header.version })
    return true
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs
    this.#handshakes.handleTimeout(nowMs)
    this.#askDeadlines()
    for (;;) {
      const connection = this.#deadlines.takeDue(nowMs)
      if (connection === null) return
      this.#wake(connection)
      connection.handleTimeout(nowMs)
      if (connection.state === 'closed') this.forget(connection)
    }
  }

  #askDeadlines(): void {
    for (const connection of this.#moved) {
      this.#deadlines.set(connection, connection.pollTimeout(this.#nowMs))
    }
    this.#moved.clear()
  }

  forget(connection: ConnectionCore): void {
    this.#byCid.delete(connection.localCid[0])
    this.#connections.delete(connection)
    this.#busy.delete(connection)
    this.#moved.delete(connection)
    this.#deadlines.delete(connection)
    this.#handshakes.forget(connection)
  }

  pollTimeout(): number {
    this.#askDeadlines()
    return Math.min(this.#handshakes.pollTimeout(), this.#deadlines.firstMs)
  }

  pollTransmit(nowMs: number, out: Transmit): boolean {
    this.#nowMs = nowMs
    const buffer = Buffer.from(out.bytes.buffer, out.bytes.byteOffset, out.bytes.length)
    const view = new DataView(out.bytes.buffer, out.bytes.byteOffset, out.bytes.length)
    const length = this.#handshakes.pollTransmit(nowMs, buffer, out)
    if (length > 0) return fill(out, length)
    // Connections take turns, one packet each, so that none starves behind a busy one.
    for (const connection of this.#busy) {
      this.#busy.delete(connection)
      this.#moved.add(connection)
      const built = connection.buildPacket(nowMs, buffer, view)
      if (built === 0) continue
      this.#busy.add(connection) // behind the others
      out.to = connection.remote
      return fill(out, built)
    }
    return false
  }

  failed(nowMs: number, connection: ConnectionCore, error: TransportError): void {
    connection.abandon(nowMs, error.code, error.message)
    this.forget(connection)
  }
}

function fill(out: Transmit, length: number): boolean {
  out.lengthBytes = length
  out.segmentBytes = length
  return true
}

const header: PacketHeader = {
  version: VERSION,
  type: 0,
  keyPhase: 0,
  lengthBytes: HEADER_BYTES,
  cidLow: 0,
  cidHigh: 0,
  crc: 0,
  packetNumber: 0,
}
