// protocol/types.ts — what do the users and the drivers of the transport see?
import type { Duplex } from 'node:stream'

/** Time and timers come in as an argument, so that a simulator can own them. */
export interface Clock {
  /** Milliseconds (float) since any origin; never goes back. */
  nowMs(): number
  /** Milliseconds since 1970 UTC, as the machine believes. For certificates and records only. */
  wallMs(): number
  /** Calls `fire` once, not before `delayMs`. */
  setTimer(fire: () => void, delayMs: number): Timer
  /** Calls `fire` after the input that is already waiting, as setImmediate does. */
  defer(fire: () => void): void
}

export interface Timer {
  cancel(): void
}

/** Random bytes come in as an argument too. */
export type RandomBytes = (lengthBytes: number) => Uint8Array

/** An IP literal and a UDP port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** What a driver must be able to do with datagrams: a UDP socket, or a simulated one. */
export interface DatagramPort {
  readonly local: Address
  /** How many datagrams one send() may carry at present; 1 where trains bring nothing. */
  readonly trainSegmentsMax: number
  /** Hands a train of datagrams to the network: each has `segmentBytes`, the last one what is left
   * (one datagram: segmentBytes >= bytes.length). At most 65 507 bytes in all.
   * False: none was sent, no room (EAGAIN); `onWritable` follows.
   * The bytes may be reused by the caller as soon as this returns, unless `keepsBytes` is set. */
  send(bytes: Uint8Array, to: Address, segmentBytes: number): boolean
  /** True after a send() that was queued by reference: the caller takes fresh memory. */
  readonly keepsBytes?: boolean
  /** Set once by the driver before the first datagram can arrive. One datagram, or a run of them
   * that the kernel joined: each but the last has `strideBytes` (0 or undefined: one, or unknown).
   * The bytes are the callee's to change, and valid only during the call. */
  onDatagram: ((bytes: Uint8Array, from: Address, strideBytes?: number) => void) | null
  onWritable: (() => void) | null
  /** Set by whoever must know: so large a datagram does not leave this machine (EMSGSIZE). It
   * counts as sent and lost. */
  onTooLarge?: ((to: Address, sizeBytes: number) => void) | null
  /** Reads what waits in the socket now, through onDatagram. True: nothing is left there. Absent
   * where nobody can tell: the event loop reads at most 32 datagrams before its timers. */
  receive?(): boolean
  /** Datagrams leave whole or not at all (DF): only then does a probe of the path's MTU prove it. */
  readonly setsDontFragment?: boolean
  stats?(): PortStats
  close(): Promise<void>
}

/** How a socket is driven, and what it met. */
export interface PortStats {
  /** `segmented`: the kernel cuts trains and joins runs. `batched`: many datagrams with one call.
   * `plain`: Node's own dgram, a call each. */
  readonly driver: 'segmented' | 'batched' | 'plain'
  /** What the kernel granted for arriving datagrams, bytes. */
  readonly receiveBufferBytes: number
  /** Trains that the kernel cut, and the datagrams in them. */
  readonly gsoTrains: number
  readonly segments: number
  /** Trains that it refused to cut; their datagrams were sent one by one. */
  readonly gsoFallbacks: number
  /** The socket was full. */
  readonly sendEagain: number
  /** Datagrams that failed outright (no route, too large, …): losses to the transport. */
  readonly sendErrors: number
  /** Reading gave way to others though more waited. */
  readonly recvBatchFull: number
}

/** Who the other end is: the key is proven in the handshake, the certificate is for others to judge. */
export interface PeerIdentity {
  /** Static X25519 public key, 32 bytes. */
  readonly publicKey: Uint8Array
  /** The certificate it presented, at most 512 bytes, opaque here; empty when it has none. */
  readonly certificate: Uint8Array
}

/** Who this end is. */
export interface LocalIdentity extends PeerIdentity {
  /** Static X25519 secret key, 32 bytes. */
  readonly secretKey: Uint8Array
}

/** Where to connect, and to whom: a connection to any other key fails. */
export interface PeerAddress extends Address {
  readonly publicKey: Uint8Array
}

/** The transport's own failures. `remote`: the peer caused or reported it. */
export const TRANSPORT_ERRORS = {
  /** Nobody answered the handshake. Check host, port and that the peer runs. */
  ERR_HOLDFAST_HANDSHAKE_TIMEOUT: 'handshake-timeout',
  /** The peer refused the handshake: busy, draining, wrong version. */
  ERR_HOLDFAST_REFUSED: 'refused',
  /** Somebody answers there, and has another key than the one expected. */
  ERR_HOLDFAST_WRONG_PEER: 'wrong-peer',
  /** Nothing arrived for the idle timeout. */
  ERR_HOLDFAST_IDLE_TIMEOUT: 'idle-timeout',
  /** The connection was closed, by either side, without an error. */
  ERR_HOLDFAST_CLOSED: 'closed',
  /** A packet or frame broke the protocol. */
  ERR_HOLDFAST_PROTOCOL: 'protocol',
  /** The peer reset this stream. `wireCode` says why. */
  ERR_HOLDFAST_STREAM_RESET: 'stream-reset',
  /** The peer no longer reads this stream. */
  ERR_HOLDFAST_STREAM_STOPPED: 'stream-stopped',
  /** The caller's AbortSignal fired. */
  ERR_HOLDFAST_ABORTED: 'aborted',
  /** The socket could not be opened or failed. `cause` has the system's error (EADDRINUSE …). */
  ERR_HOLDFAST_SOCKET: 'socket',
  /** Not allowed in this state or with these values; a mistake of the caller. */
  ERR_HOLDFAST_INVALID: 'invalid',
} as const

export type TransportErrorCode = keyof typeof TRANSPORT_ERRORS

export class TransportError extends Error {
  readonly code: TransportErrorCode
  readonly wireCode: number
  readonly remote: boolean
  constructor(
    code: TransportErrorCode,
    detail: string,
    options: ErrorOptions & { wireCode?: number; remote?: boolean } = {},
  ) {
    super(detail, options)
    this.name = 'TransportError'
    this.code = code
    this.wireCode = options.wireCode ?? 0
    this.remote = options.remote ?? false
  }
}

/** Milliseconds since the connection began, by what kept this end from sending more. */
export interface LimitedMs {
  /** Nothing: packets were being made. */
  readonly sending: number
  /** The congestion window was full. */
  readonly congestion: number
  readonly pacing: number
  /** The peer's flow control. */
  readonly flow: number
  /** There was nothing to send. */
  readonly application: number
}

/** See protocol/README.md for each. Bytes and packets since the connection began. */
export interface SessionStats {
  /** What both ends have agreed on, and how this end sends: names for people. */
  readonly cipher: string
  readonly crc: 'full' | 'header'
  readonly congestion: string
  /** In which phase the congestion control is: a word of its own. */
  readonly congestionState: string
  /** The share of packets that the path is believed to lose whatever is sent; 0 where that is not
   * estimated (all but BBR). */
  readonly baselineLossRatio: number
  /** What the path delivers, as far as is known; 0 when nothing is, or nothing is measured (CUBIC). */
  readonly deliveryBytesPerSecond: number
  /** How often nothing got through for so long that the window began anew. */
  readonly persistentCongestions: number
  readonly limitedMs: LimitedMs
  readonly rttMs: number
  readonly minRttMs: number
  readonly cwndBytes: number
  readonly inFlightBytes: number
  /** What a datagram on this path may hold, as far as is found out. */
  readonly mtuBytes: number
  /** Probes of the path's MTU that were lost: they count as lost packets, too. */
  readonly mtuProbesLost: number
  /** How often the path ceased to take datagrams of a size that it had taken. */
  readonly blackHoles: number
  readonly packetsSent: number
  readonly packetsReceived: number
  readonly packetsLost: number
  readonly packetsAcked: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly bytesRetransmitted: number
  readonly crcErrors: number
  readonly authErrors: number
  readonly duplicates: number
  readonly spuriousLosses: number
  readonly ptoCount: number
}

/** What strangers sent, and what it led to. */
export interface EndpointStats {
  /** Noise of the line: every packet whose CRC-32 was wrong. */
  crcErrors: number
  unknownCid: number
  malformed: number
  /** Handshakes that were answered with REFUSED. */
  refused: number
  /** HELLOs of those who do not know our key; some of them were refused. */
  badMac1: number
  /** HELLOs that knew it, and held nothing that opens. */
  badHandshakes: number
  /** HELLOs that were asked to prove their address. */
  retries: number
  resetsSent: number
  /** Of the socket; absent where there is none. */
  socket?: PortStats
}

export interface StreamOptions {
  /** Default 'bidi'. */
  readonly direction?: 'bidi' | 'uni'
  /** 0 (first) to 7 (last): TRANSPORT urgencies. 0 control and replica confirmations, 2 requests,
   * 4 interactive restore, 5 bulk, 7 repair. Default 2. */
  readonly urgency?: number
}

/** One stream as a Node Duplex with backpressure both ways. `end()` sends FIN; `'end'` means the
 * peer's FIN arrived and all was read; errors are TransportErrors. Written bytes are not copied:
 * the caller must not change them afterwards, not even after write's callback. */
export interface TransportStream extends Duplex {
  /** -1 while the peer's limit keeps the stream from beginning. */
  readonly streamId: number
  readonly session: Session
  setUrgency(urgency: number): void
  /** Gives up sending: the peer reads an error with this code (0 to 2^30 - 1). */
  reset(code: number): void
  /** Gives up reading: the peer's writes fail with this code. Code 0 says "enough, no error": the
   * peer's further writes are dropped in silence, and it can still read our half. */
  stopReceiving(code: number): void
  /** Resolves when all written bytes and FIN are acknowledged by the peer's transport (not: on
   * its disk). Rejects when the stream or the session fails first. */
  acknowledged(): Promise<void>
}

export interface CloseInfo {
  /** Null after a close without an error. */
  readonly error: TransportError | null
  readonly reason: string
}

/** One connection to one peer. Closed for good once `closed` has resolved. */
export interface Session extends AsyncDisposable {
  readonly remote: Address
  readonly peer: PeerIdentity
  readonly isOpen: boolean
  /** Opens lazily: the first write tells the peer. Waits inside for stream credit.
   * Throws ERR_HOLDFAST_CLOSED on a session that is not open. */
  openStream(options?: StreamOptions): TransportStream
  /** Streams that the peer opens. Set once; streams that came before are handed over at once. */
  onStream(handle: (stream: TransportStream) => void): void
  stats(): SessionStats
  /** The application knows the peer: what it may send may grow from now on. Only where the endpoint
   * was opened with `admission: 'by-application'`; elsewhere, and on sessions that were dialled, it
   * may from the start. */
  admit(): void
  /** For how long the peer has left unanswered what obliges it to answer; 0 when it owes nothing.
   * A peer that lives acknowledges within a round trip and its delay, lost packets apart. */
  readonly silentMs: number
  /** Obliges the peer to answer, unless it owes an answer already. */
  ping(): void
  /** Sends what was written, waits until it is acknowledged (at most `drainMs`, default 5000),
   * then closes. Never rejects; safe to call twice. */
  close(options?: { code?: number; reason?: string; drainMs?: number }): Promise<void>
  /** Closes now. Streams fail with `error` or ERR_HOLDFAST_CLOSED. */
  destroy(error?: Error): void
  /** Resolves, never rejects, when the session has ended. */
  readonly closed: Promise<CloseInfo>
}

/** One socket: accepts sessions and dials them, any number at once. */
export interface TransportEndpoint extends AsyncDisposable {
  readonly local: Address
  /** Rejects with ERR_HOLDFAST_HANDSHAKE_TIMEOUT, _REFUSED, _WRONG_PEER or _ABORTED. */
  connect(to: PeerAddress, options?: { signal?: AbortSignal }): Promise<Session>
  /** Sessions that peers open. Without a handler the endpoint refuses them. Set once. `mayEnter` is
   * asked in the handshake: who is refused there (ERR_HOLDFAST_REFUSED) costs no memory. */
  onSession(handle: (session: Session) => void, mayEnter?: (peer: PeerIdentity) => boolean): void
  /** Replaces certificate (renewal) for handshakes from now on. */
  setIdentity(identity: LocalIdentity): void
  /** Packets that no session took, by cause, since the endpoint was opened. */
  stats(): EndpointStats
  /** Closes all sessions (gracefully, at most `drainMs`) and the socket. */
  close(options?: { drainMs?: number }): Promise<void>
}
