// protocol/qlog/log.ts — what does a connection tell whoever keeps a record of it?
//
// The core calls these behind one null test each; without a log no object is built for it. Times
// are the caller's monotonic milliseconds. Nothing here may throw.
import type { Parameters } from '../handshake/payload.ts'
import type { Address, TransportError } from '../types.ts'

export interface TransportLog {
  /** A log for one new connection; null when this one is not recorded. */
  open(nowMs: number, about: ConnectionAbout): ConnectionLog | null
  /** Resolves, never rejects, when all that was told is written. */
  close(): Promise<void>
}

export interface ConnectionAbout {
  readonly isInitiator: boolean
  readonly remote: Address
  /** Destination CID of the initiator's first HELLO, 8 bytes: both ends know it. */
  readonly originalCid: Uint8Array
  readonly parameters: Parameters
}

/** qlog's words: the tag, or the Noise message, was wrong; it came twice; the checksum was wrong; an
 * answer to a handshake that is over. */
export type DropTrigger =
  | 'payload_decrypt_error'
  | 'duplicate'
  | 'header_parse_error'
  | 'unexpected_packet'

/** What the log reads of the recovery; any congestion controller fits. */
export interface RecoveryMetrics {
  readonly rtt: {
    readonly hasSample: boolean
    readonly minMs: number
    readonly smoothedMs: number
    readonly latestMs: number
    readonly variationMs: number
  }
  readonly congestion: { readonly windowBytes: number; readonly state: string }
  readonly inFlightBytes: number
  readonly ptoCount: number
}

export interface ConnectionLog {
  /** Any packet but DATA, whole, as it is on the wire. */
  handshakeSent(nowMs: number, packet: Buffer): void
  handshakeReceived(nowMs: number, packet: Buffer): void
  /** Both sides know the other's parameters; packets may flow. */
  established(nowMs: number, theirs: Parameters): void
  /** A DATA packet before it is sealed: `packet` has its full length, its frames end at
   * `framesEnd`. */
  packetSent(nowMs: number, packet: Buffer, framesEnd: number): void
  /** A DATA packet after it was opened, and before its frames are acted on. */
  packetReceived(nowMs: number, packet: Buffer, framesEnd: number): void
  packetDropped(nowMs: number, packet: Buffer, trigger: DropTrigger): void
  /** `byTime`: sent too long ago; else too many later ones were acknowledged. */
  packetLost(nowMs: number, packetNumber: number, byTime: boolean): void
  metrics(nowMs: number, recovery: RecoveryMetrics): void
  /** The application was told that it is over; packets may still follow. */
  closed(nowMs: number, owner: 'local' | 'remote', error: TransportError | null): void
  /** The connection is forgotten: nothing follows. */
  end(nowMs: number): void
}
