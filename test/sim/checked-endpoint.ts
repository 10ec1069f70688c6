// test/sim/checked-endpoint.ts — does the core keep its promises to the driver at every call?
import type {
  Connection,
  Endpoint,
  EndpointEvent,
  Transmit,
} from '../../protocol/connection/api.ts'
import type { Address, LocalIdentity, PeerAddress } from '../../protocol/types.ts'

const HEADER_BYTES = 24
const DATA_TYPE = 3
/** Handling a timeout must move it on; a few at one instant are different timers. */
const TIMEOUTS_AT_ONCE_MAX = 8
/** Acknowledgements and limits may go out beside a full window, and two probes per timeout. */
const BESIDE_WINDOW_PACKETS = 8
const PROBES_PER_TIMEOUT = 2

export type Complain = (what: string) => void

/** Passes every call on and complains about what must never be. */
export class CheckedEndpoint implements Endpoint {
  readonly #inner: Endpoint
  readonly #complain: Complain
  readonly #connections = new Set<Connection>()
  readonly #lastNumbers = new Map<bigint, number>()
  readonly #finished = new Map<Connection, Set<number>>()
  #timeoutMs = Number.NEGATIVE_INFINITY
  #timeoutsAtOnce = 0
  #windowBytesMax = 0
  /** A search for the path's MTU is beside the window as well. */
  #packetBytesMax = 0

  constructor(inner: Endpoint, complain: Complain) {
    this.#inner = inner
    this.#complain = complain
  }

  get mayEnter(): Endpoint['mayEnter'] {
    return this.#inner.mayEnter
  }

  set mayEnter(mayEnter: Endpoint['mayEnter']) {
    this.#inner.mayEnter = mayEnter
  }

  get connectionCount(): number {
    return this.#inner.connectionCount
  }

  get stats(): Endpoint['stats'] {
    return this.#inner.stats
  }

  connect(nowMs: number, to: PeerAddress): Connection {
    const connection = this.#inner.connect(nowMs, to)
    this.#connections.add(connection)
    return connection
  }

  setIdentity(identity: LocalIdentity): void {
    this.#inner.setIdentity(identity)
  }

  refuseNew(): void {
    this.#inner.refuseNew()
  }

  handleDatagram(nowMs: number, bytes: Uint8Array, from: Address): void {
    this.#inner.handleDatagram(nowMs, bytes, from)
  }

  handleTooLarge(nowMs: number, to: Address, sizeBytes: number): void {
    this.#inner.handleTooLarge(nowMs, to, sizeBytes)
  }

  handleTimeout(nowMs: number): void {
    this.#timeoutsAtOnce = nowMs === this.#timeoutMs ? this.#timeoutsAtOnce + 1 : 0
    this.#timeoutMs = nowMs
    if (this.#timeoutsAtOnce > TIMEOUTS_AT_ONCE_MAX) this.#complain('a timer does not move on')
    this.#inner.handleTimeout(nowMs)
  }

  pollTimeout(): number {
    const dueMs = this.#inner.pollTimeout()
    if (Number.isNaN(dueMs)) this.#complain('pollTimeout() is not a number')
    return dueMs
  }

  pollEvent(): EndpointEvent | null {
    const event = this.#inner.pollEvent()
    if (event === null) return null
    if (event.type === 'connected' || event.type === 'accepted') {
      this.#connections.add(event.connection)
    } else if (event.type === 'closed') {
      if (!this.#connections.delete(event.connection)) this.#complain('closed twice')
    } else if (event.type === 'stream-acknowledged') this.#checkOnce(event)
    return event
  }

  pollTransmit(nowMs: number, out: Transmit): boolean {
    const hasMore = this.#inner.pollTransmit(nowMs, out)
    if (hasMore) this.#checkPacket(out)
    this.#checkWindows()
    return hasMore
  }

  #checkOnce({ connection, streamId }: { connection: Connection; streamId: number }): void {
    const finished = this.#finished.get(connection) ?? new Set()
    this.#finished.set(connection, finished)
    if (finished.has(streamId)) this.#complain(`stream ${streamId} acknowledged twice`)
    finished.add(streamId)
  }

  #checkWindows(): void {
    for (const connection of this.#connections) {
      if (connection.state !== 'open') continue
      const { cwndBytes, inFlightBytes, mtuBytes, ptoCount } = connection.stats()
      this.#windowBytesMax = Math.max(this.#windowBytesMax, cwndBytes)
      if (cwndBytes < 2 * mtuBytes) this.#complain(`window of ${cwndBytes} bytes`)
      if (inFlightBytes < 0) this.#complain(`${inFlightBytes} bytes in flight`)
      const beside = BESIDE_WINDOW_PACKETS + PROBES_PER_TIMEOUT * ptoCount
      const mostBytes = this.#windowBytesMax + beside * mtuBytes + this.#packetBytesMax
      if (inFlightBytes > mostBytes) this.#complain(`${inFlightBytes} bytes in flight`)
    }
  }

  #checkPacket({ bytes, lengthBytes }: Transmit): void {
    const packet = Buffer.from(bytes.buffer, bytes.byteOffset, lengthBytes)
    if (lengthBytes < HEADER_BYTES || packet.readUInt16LE(2) !== lengthBytes) {
      this.#complain(`a datagram of ${lengthBytes} bytes is not one packet`)
    }
    if (((packet[1]! >> 1) & 15) !== DATA_TYPE) return
    this.#packetBytesMax = Math.max(this.#packetBytesMax, lengthBytes)
    const destination = packet.readBigUInt64LE(4)
    const number = packet.readUIntBE(18, 6)
    if (number <= (this.#lastNumbers.get(destination) ?? -1)) {
      this.#complain(`packet number ${number} is not above the one before`)
    }
    this.#lastNumbers.set(destination, number)
  }
}
