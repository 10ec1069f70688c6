// protocol/connection/api.ts — how do drivers (sockets, simulator) turn the state machine's crank?
//
// Sans-IO: nothing here sleeps, sends or looks at a clock. Times are float milliseconds on the
// caller's monotonic clock. The driver's order, each turn:
//   1. handleDatagram(now, …) for each datagram that waits
//   2. handleTimeout(now) when pollTimeout() <= now, and only after 1 came up empty
//   3. pollEvent() until null, acting on each (reading and writing streams)
//   4. pollTransmit(now, out) until false, sending `out.bytes[0, out.lengthBytes)` to `out.to`
//   5. arm one timer for pollTimeout()
import type { CongestionName } from '../congestion/controller.ts'
import type { Suite } from '../protection/suite.ts'
import type { TransportLog } from '../qlog/log.ts'
import type {
  Address,
  EndpointStats,
  LocalIdentity,
  PeerAddress,
  PeerIdentity,
  RandomBytes,
  SessionStats,
  TransportError,
} from '../types.ts'
import type { KeyLog } from './keys.ts'

/** Reused by the driver from call to call: a train of equal segments, or one datagram. */
export interface Transmit {
  /** At least 65 507 bytes; filled from 0. */
  readonly bytes: Uint8Array
  lengthBytes: number
  /** Each datagram's length in a train; equals lengthBytes when there is one only. */
  segmentBytes: number
  to: Address
}

export type EndpointEvent =
  /** Our connect() is done, or the peer's HELLO led to an open connection (`accepted`). */
  | { type: 'connected'; connection: Connection }
  | { type: 'accepted'; connection: Connection }
  /** The connection ended; nothing follows for it. error is null after a clean close. */
  | { type: 'closed'; connection: Connection; error: TransportError | null; reason: string }
  /** The peer may not open more, but we may again: openStream() works now. */
  | { type: 'streams-available'; connection: Connection; direction: 'bidi' | 'uni' }
  | { type: 'stream-opened'; connection: Connection; streamId: number }
  /** read() has bytes, or the end (`isReadFinished`). Once per transition; read until empty. */
  | { type: 'stream-readable'; connection: Connection; streamId: number }
  /** write() accepts bytes again after it accepted fewer than offered. */
  | { type: 'stream-writable'; connection: Connection; streamId: number }
  /** All bytes and the FIN that we sent are acknowledged. */
  | { type: 'stream-acknowledged'; connection: Connection; streamId: number }
  /** The peer gave up sending (RESET_STREAM) or reading (STOP_SENDING; we have reset our half). */
  | { type: 'stream-reset'; connection: Connection; streamId: number; code: number }
  | { type: 'stream-stopped'; connection: Connection; streamId: number; code: number }

export type Admission = 'at-once' | 'by-application'

export interface Connection {
  readonly state: 'handshaking' | 'open' | 'closing' | 'draining' | 'closed'
  readonly remote: Address
  readonly isInitiator: boolean
  /** Known from `connected`/`accepted` on. */
  readonly peer: PeerIdentity

  /** The application knows the peer: windows may grow from now on. */
  admit(): void
  /** Null when the peer's stream limit is reached; `streams-available` follows. */
  openStream(direction: 'bidi' | 'uni', urgency: number): number | null
  setUrgency(streamId: number, urgency: number): void
  /** Takes up to the whole of `bytes` into the send buffer, without a copy: the caller must not
   * change them afterwards. Returns how many were taken; fewer: wait for `stream-writable`. */
  write(streamId: number, bytes: Uint8Array): number
  /** FIN after what was written. */
  finish(streamId: number): void
  /** The next bytes in order, owned by the caller, at most `maxBytes` and maybe fewer than wait;
   * null when none do. Reading opens the flow-control windows. */
  read(streamId: number, maxBytes: number): Uint8Array | null
  /** True once all bytes up to the peer's FIN were read. */
  isReadFinished(streamId: number): boolean
  /** True once every byte and FIN that we sent is acknowledged. */
  isAcknowledged(streamId: number): boolean
  reset(streamId: number, code: number): void
  stopSending(streamId: number, code: number): void
  /** True when no stream of ours has unacknowledged data: close() loses nothing then. */
  readonly isDrained: boolean
  /** Tells the peer that we will close: it may drain as well (DRAIN frame). */
  drain(): void
  close(nowMs: number, code: number, reason: string): void
  /** Since when nothing came while the peer owes an acknowledgement; 0 when it owes none. */
  silentMs(nowMs: number): number
  /** Makes the peer owe an acknowledgement, unless it does already. */
  ping(): void
  stats(): SessionStats
}

export interface Endpoint {
  /** Asked of each peer that dials us and has proven its key, before anything is kept of it: false
   * refuses it as busy. Null: all may. */
  mayEnter: ((peer: PeerIdentity) => boolean) | null
  /** Begins a handshake; `connected` or `closed` follows. */
  connect(nowMs: number, to: PeerAddress): Connection
  /** A datagram, or a run of them: see DatagramPort.onDatagram. */
  handleDatagram(nowMs: number, bytes: Uint8Array, from: Address, strideBytes?: number): void
  /** The port says that so large a datagram does not leave this machine (EMSGSIZE). */
  handleTooLarge(nowMs: number, to: Address, sizeBytes: number): void
  handleTimeout(nowMs: number): void
  /** Fills `out` and returns true, or returns false when nothing may be sent now. */
  pollTransmit(nowMs: number, out: Transmit): boolean
  /** When handleTimeout is due; Infinity when there is nothing to wait for. */
  pollTimeout(): number
  pollEvent(): EndpointEvent | null
  setIdentity(identity: LocalIdentity): void
  /** Sheds new handshakes with REFUSED(draining). */
  refuseNew(): void
  readonly connectionCount: number
  /** Packets that no connection took, by cause; crcErrors counts every packet that failed it. */
  readonly stats: EndpointStats
}

export interface EndpointOptions {
  readonly identity: LocalIdentity
  readonly random: RandomBytes
  /** Accept handshakes of others. Default true. */
  readonly accepts?: boolean
  /** 'full' (default) or 'header': what the CRC-32 of DATA packets covers. */
  readonly crc?: 'full' | 'header'
  /** Largest datagram (UDP payload) to send and to take, bytes. Default 1472. */
  readonly mtuBytes?: number
  /** What the interface takes, bytes: off the loopback larger ones are only tried where
   * `setsDontFragment`. Default: what Ethernet takes. */
  readonly mtuHintBytes?: number
  /** Datagrams leave whole or not at all: see DatagramPort. Default false. */
  readonly setsDontFragment?: boolean
  /** How many equal datagrams the port sends in one call. Default 1: no trains. */
  readonly trainSegmentsMax?: number
  readonly limits?: Partial<TransportLimits>
  /** The largest connection window for peers on this machine, whose datagrams wait nowhere but in
   * our socket. Default: as for others. */
  readonly loopbackWindowBytesMax?: number
  /** What all connections together may hold, bytes. Default 256 MiB. */
  readonly memoryBudgetBytes?: number
  /** `by-application`: what a peer that dialled us may send stays small until Connection.admit().
   * Default `at-once`. */
  readonly admission?: Admission
  /** Default 'bbr'. */
  readonly congestion?: CongestionName
  /** Ciphers, the preferred one first. Default: all that this machine is good at. */
  readonly suites?: readonly Suite[]
  /** New keys after so many packets, if that is sooner than the suite asks for. */
  readonly packetsPerKeyMax?: number
  /** Every HELLO must prove its address, also when few are half open. */
  readonly alwaysRetry?: boolean
  /** For tools that look into packets: told of every key. Whoever has it can read everything. */
  readonly onKeys?: KeyLog
  /** Keeps a record of every connection (qlog). Default none, at no cost. */
  readonly log?: TransportLog
}

/** Every queue that a peer can feed has a cap here; defaults in connection/limits.ts. */
export interface TransportLimits {
  readonly idleTimeoutMs: number
  readonly handshakeTimeoutMs: number
  readonly keepAliveMs: number
  readonly connectionsMax: number
  /** From one address, the loopback's apart. */
  readonly connectionsPerSourceMax: number
  readonly streamsMax: number
  readonly streamWindowBytes: number
  readonly streamWindowBytesMax: number
  /** Before anything arrived. */
  readonly connectionWindowBytesFirst: number
  readonly connectionWindowBytes: number
  readonly connectionWindowBytesMax: number
  /** Per connection; twice the path's window where that is more. */
  readonly sendBufferBytes: number
}
