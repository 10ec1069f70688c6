// protocol/connection/endpoint.ts — which connection does a datagram belong to, and who may begin one?
import type { Cid } from '../handshake/messages.ts'
import type { Parameters } from '../handshake/payload.ts'
import { isSame } from '../handshake/sodium.ts'
import { aes256Gcm } from '../protection/aes-256-gcm.ts'
import { chacha20Poly1305 } from '../protection/chacha20-poly1305.ts'
import type { Suite } from '../protection/suite.ts'
import type { Address, LocalIdentity, PeerAddress } from '../types.ts'
import { packetCrc } from '../wire/crc.ts'
import {
  HELLO_BYTES_MIN,
  LONG_HEADER_BYTES,
  newHeader,
  PACKET,
  readHeader,
  TAG_BYTES,
  VERSION,
} from '../wire/header.ts'
import { Accepting } from './accepting.ts'
import type {
  Connection,
  Endpoint,
  EndpointEvent,
  EndpointOptions,
  Transmit,
  TransportLimits,
} from './api.ts'
import { ConnectionCore } from './connection.ts'
import type { CidRegistry } from './connection-ids.ts'
import { noStrangers } from './counters.ts'
import { Deadlines } from './deadlines.ts'
import { Dialling } from './dialling.ts'
import { EventQueue } from './event-queue.ts'
import { HostCounts } from './host-counts.ts'
import { ACK_DELAY_MS_ADVERTISED, DEFAULT_LIMITS, MEMORY_BUDGET_BYTES } from './limits.ts'
import { MemoryBudget } from './memory-budget.ts'
import { Resets } from './resets.ts'
import { isLoopback } from './source.ts'
import { firstWindowBytesOf } from './streams.ts'
import { Train, toBuffer } from './train.ts'

const PACKETS_PER_DATAGRAM_MAX = 64
const MTU_BYTES_DEFAULT = 1472
const SUITES_DEFAULT: readonly Suite[] = [chacha20Poly1305, aes256Gcm]

export function createCoreEndpoint(options: EndpointOptions): Endpoint {
  return new EndpointCore(options)
}

export class EndpointCore implements Endpoint {
  readonly stats = noStrangers()
  readonly limits: TransportLimits
  readonly #loopbackLimits: TransportLimits
  readonly options: EndpointOptions
  readonly suites: readonly Suite[]
  identity: LocalIdentity
  /** By the low half of each of our CIDs. */
  readonly #byCid = new Map<number, ConnectionCore>()
  /** By the low half of the CID that we address: a RESET names nothing else. */
  readonly #byRemoteCid = new Map<number, ConnectionCore>()
  readonly #connections = new Set<ConnectionCore>()
  readonly hosts = new HostCounts()
  readonly #events = new EventQueue()
  readonly #dialling: Dialling
  readonly #accepting: Accepting
  readonly #resets: Resets
  /** Those that may have something to send, and those whose deadline may have moved: what an idle
   * connection costs is its memory. */
  readonly #busy = new Set<ConnectionCore>()
  readonly #moved = new Set<ConnectionCore>()
  readonly #deadlines = new Deadlines<ConnectionCore>()
  #nowMs = 0
  #view: DataView<ArrayBufferLike> = new DataView(new ArrayBuffer(0))
  readonly #train: Train
  refuses = false
  mayEnter: Endpoint['mayEnter'] = null
  readonly budget: MemoryBudget

  constructor(options: EndpointOptions) {
    this.options = options
    this.identity = options.identity
    this.suites = options.suites ?? SUITES_DEFAULT
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#loopbackLimits = loopbackLimitsOf(this.limits, options.loopbackWindowBytesMax)
    this.budget = new MemoryBudget(options.memoryBudgetBytes ?? MEMORY_BUDGET_BYTES)
    this.#resets = new Resets(options.identity, options.random)
    this.#train = new Train(options.trainSegmentsMax ?? 1)
    this.#dialling = new Dialling(this)
    this.#accepting = new Accepting(this)
  }

  /** Strangers get little until the application admits them. */
  get holdsBack(): boolean {
    return this.options.admission === 'by-application'
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  get mtuBytes(): number {
    return this.options.mtuBytes ?? MTU_BYTES_DEFAULT
  }

  setIdentity(identity: LocalIdentity): void {
    this.identity = identity
    this.#resets.setIdentity(identity)
  }

  refuseNew(): void {
    this.refuses = true
  }

  parameters({ suites }: { suites: number }): Parameters {
    const { limits, options, mtuBytes } = this
    return {
      version: VERSION,
      idleTimeoutMs: limits.idleTimeoutMs,
      ackDelayMsMax: ACK_DELAY_MS_ADVERTISED,
      streamWindowBytes: limits.streamWindowBytes,
      connectionWindowBytes: firstWindowBytesOf(limits),
      streamsMax: limits.streamsMax,
      mtuBytes,
      crc: options.crc ?? 'full',
      suites,
    }
  }

  resetTokenOf(cid: Cid): Uint8Array {
    return this.#resets.tokenOf(cid)
  }

  connect(nowMs: number, to: PeerAddress): Connection {
    const connection = this.newConnection(nowMs, to, true)
    this.#dialling.begin(nowMs, connection, to)
    return connection
  }

  newConnection(nowMs: number, remote: Address, isInitiator: boolean): ConnectionCore {
    const localCid = this.#freshCid()
    const connection: ConnectionCore = new ConnectionCore(nowMs, {
      isInitiator,
      remote: { host: remote.host, port: remote.port },
      localCid,
      cids: this.#registryFor(() => connection),
      limits: isLoopback(remote.host) ? this.#loopbackLimits : this.limits,
      budget: this.budget,
      isAdmitted: isInitiator || !this.holdsBack,
      mtuBytes: this.mtuBytes,
      mtuHintBytes: this.options.mtuHintBytes ?? ethernetBytesFor(remote),
      setsDontFragment: this.options.setsDontFragment ?? false,
      congestion: this.options.congestion ?? 'bbr',
      packetsPerKeyMax: this.options.packetsPerKeyMax ?? Number.POSITIVE_INFINITY,
      random: this.options.random,
      randomBelow: (below) => this.randomBelow(below),
      emit: (event) => this.emit(event),
      wake: () => this.#wake(connection),
      onKeys: this.options.onKeys ?? null,
    })
    this.#byCid.set(localCid[0], connection)
    this.#connections.add(connection)
    this.hosts.add(remote.host)
    return connection
  }

  #wake(connection: ConnectionCore): void {
    if (!this.#connections.has(connection)) return // ended; the application may not know yet
    this.#busy.add(connection)
    this.#moved.add(connection)
  }

  #registryFor(connection: () => ConnectionCore): CidRegistry {
    return {
      issue: () => {
        const cid = this.#freshCid()
        this.#byCid.set(cid[0], connection())
        return { cid, resetToken: this.resetTokenOf(cid) }
      },
      release: (cid) => this.#byCid.delete(cid[0]),
      handleRemoteCid: (before, now) => {
        if (before) this.#byRemoteCid.delete(before[0])
        this.#byRemoteCid.set(now[0], connection())
      },
    }
  }

  /** The low half alone finds a connection, so it is drawn until it is free. */
  #freshCid(): Cid {
    for (;;) {
      const cid = this.randomCid()
      if (cid[0] !== 0 && !this.#byCid.has(cid[0])) return cid
    }
  }

  randomCid(): Cid {
    return [this.randomBelow(2 ** 32), this.randomBelow(2 ** 32)]
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
    return this.#events.poll()
  }

  handleDatagram(nowMs: number, bytes: Uint8Array, from: Address, strideBytes = 0): void {
    this.#nowMs = nowMs
    const buffer = toBuffer(bytes)
    const view = this.#viewOf(bytes.buffer)
    const { byteOffset, length } = bytes
    let at = 0
    let stride = strideBytes
    for (let packets = 0; packets < PACKETS_PER_DATAGRAM_MAX && at < length; packets += 1) {
      if (!readHeader(view, byteOffset + at, byteOffset + length, header)) {
        this.stats.malformed += 1
        if (stride === 0) return
        at += stride
        continue
      }
      const { lengthBytes } = header // handling the packet may write into the shared header
      const ok = this.#handlePacket(nowMs, buffer, at, at + lengthBytes, from)
      if (ok && stride === 0) stride = lengthBytes
      at += ok || stride === 0 ? lengthBytes : stride
    }
  }

  /** Sockets fill the same memory again and again. */
  #viewOf(memory: ArrayBufferLike): DataView {
    if (this.#view.buffer !== memory) this.#view = new DataView(memory)
    return this.#view
  }

  /** The packet `bytes[at, end)`. False when it is not to be trusted, its length included. */
  #handlePacket(nowMs: number, bytes: Buffer, at: number, end: number, from: Address): boolean {
    const { type, version, cidLow, cidHigh, crc } = header
    const found = this.#byCid.get(cidLow)
    const mine = found?.ids.isOurs(cidLow, cidHigh) ? found : null
    const mode = type === PACKET.data ? (mine?.crcMode ?? 'full') : 'full'
    if (packetCrc(bytes, at, end, mode) !== crc) {
      this.stats.crcErrors += 1
      mine?.handleCrcError()
      mine?.recovery.log?.packetDropped(nowMs, bytes.subarray(at, end), 'header_parse_error')
      return false
    }
    if (type === PACKET.data && version === VERSION) {
      this.#handleData(nowMs, bytes, at, end, mine, from)
    } else this.#handleOther(nowMs, bytes.subarray(at, end), mine, from)
    return true
  }

  #handleOther(nowMs: number, packet: Buffer, mine: ConnectionCore | null, from: Address): void {
    const { type, version, cidLow, cidHigh } = header
    const dcid: Cid = [cidLow, cidHigh]
    if (type === PACKET.hello) {
      if (packet.length < HELLO_BYTES_MIN) this.stats.malformed += 1
      else this.#accepting.handleHello(nowMs, packet, { version, dcid, from })
    } else if (version !== VERSION && type !== PACKET.versions) this.stats.malformed += 1
    else if (type === PACKET.reset) this.#handleReset(nowMs, packet, dcid, from)
    else if (!mine || packet.length < LONG_HEADER_BYTES) this.stats.unknownCid += 1
    else {
      this.#wake(mine)
      this.#dialling.handleReply(nowMs, mine, type, packet)
    }
  }

  #handleData(
    nowMs: number,
    bytes: Buffer,
    at: number,
    end: number,
    mine: ConnectionCore | null,
    from: Address,
  ): void {
    const { cidLow, cidHigh } = header
    if (!mine) {
      this.stats.unknownCid += 1
      const isTold = this.#resets.answer(nowMs, end - at, [cidLow, cidHigh], from)
      if (isTold) this.stats.resetsSent += 1
      return
    }
    arrival.from = from
    arrival.packetNumber = header.packetNumber
    arrival.cidLow = cidLow
    arrival.cidHigh = cidHigh
    if (mine.state === 'handshaking') {
      // The first DATA packet proves that the initiator got our ACCEPT, and is where it says.
      const isHere = from.host === mine.remote.host && from.port === mine.remote.port
      if (!isHere || !this.#accepting.isHalfOpen(mine)) return
      if (!mine.open(nowMs, bytes, at, end, header)) return
      this.#accepting.handleFirstData(nowMs, mine)
    } else if (!mine.open(nowMs, bytes, at, end, header)) return
    this.#wake(mine)
    mine.handlePacket(nowMs, bytes, at, end, arrival)
  }

  /** It names the CID that we address, and proves to be of the peer by the token that came sealed. */
  #handleReset(nowMs: number, packet: Buffer, dcid: Cid, from: Address): void {
    const connection = this.#byRemoteCid.get(dcid[0])
    const token = connection?.ids.resetToken
    const claimed = packet.subarray(packet.length - TAG_BYTES)
    const { remote } = connection ?? {}
    const isTheirs = remote?.host === from.host && remote?.port === from.port
    if (connection && token && isTheirs && isSame(token, claimed)) {
      this.#wake(connection)
      connection.recovery.log?.handshakeReceived(nowMs, packet)
      connection.handleStatelessReset(nowMs)
    } else this.stats.unknownCid += 1
  }

  handleTooLarge(nowMs: number, to: Address, sizeBytes: number): void {
    for (const connection of this.#connections) {
      const { remote } = connection
      if (remote.host !== to.host || remote.port !== to.port) continue
      connection.handleTooLarge(nowMs, sizeBytes)
      this.#wake(connection)
    }
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs
    this.#dialling.handleTimeout(nowMs)
    this.#accepting.handleTimeout(nowMs)
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

  /** A connection of which nobody was told. */
  drop(connection: ConnectionCore): void {
    connection.drop()
    this.forget(connection)
  }

  forget(connection: ConnectionCore): void {
    if (!this.#connections.delete(connection)) return
    this.#busy.delete(connection)
    this.#moved.delete(connection)
    this.#deadlines.delete(connection)
    const { ids, firstHost } = connection
    const [remoteLow] = ids.remoteCid
    if (this.#byRemoteCid.get(remoteLow) === connection) this.#byRemoteCid.delete(remoteLow)
    connection.end()
    this.hosts.remove(firstHost)
    this.#dialling.forget(connection)
    this.#accepting.forget(connection)
    connection.recovery.log?.end(this.#nowMs)
    connection.recovery.log = null
  }

  pollTimeout(): number {
    this.#askDeadlines()
    const handshakesMs = Math.min(this.#dialling.pollTimeout(), this.#accepting.pollTimeout())
    return Math.min(handshakesMs, this.#deadlines.firstMs)
  }

  pollTransmit(nowMs: number, out: Transmit): boolean {
    this.#nowMs = nowMs
    const buffer = this.#train.bufferOf(out)
    const length =
      this.#accepting.pollTransmit(nowMs, buffer, out) ||
      this.#dialling.pollTransmit(nowMs, buffer, out) ||
      this.#resets.pollTransmit(buffer, out)
    if (length > 0) {
      out.lengthBytes = length
      out.segmentBytes = length
      return true
    }
    // Connections take turns, one train each, so that none starves behind a busy one.
    for (const connection of this.#busy) {
      this.#busy.delete(connection)
      this.#moved.add(connection)
      if (!this.#train.fill(nowMs, connection, out)) continue
      this.#busy.add(connection) // behind the others
      return true
    }
    return false
  }
}

/** What overflows the socket of a peer on this machine is lost: nothing else is between us. */
function loopbackLimitsOf(limits: TransportLimits, bytesMax = Number.POSITIVE_INFINITY) {
  const connectionWindowBytesMax = Math.min(limits.connectionWindowBytesMax, bytesMax)
  const connectionWindowBytes = Math.min(limits.connectionWindowBytes, bytesMax)
  return { ...limits, connectionWindowBytes, connectionWindowBytesMax }
}

/** A 1500-byte frame less the IP and UDP headers. */
const ethernetBytesFor = ({ host }: Address): number => (host.includes(':') ? 1_452 : 1_472)

/** How the packet in hand came; reused. */
const arrival = { packetNumber: 0, from: { host: '', port: 0 } as Address, cidLow: 0, cidHigh: 0 }

const header = newHeader()
