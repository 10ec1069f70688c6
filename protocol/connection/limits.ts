// protocol/connection/limits.ts — what are the defaults, and how much may a peer cost us?
import type { TransportLimits } from './api.ts'

export const DEFAULT_LIMITS: TransportLimits = {
  idleTimeoutMs: 30_000, // NAT bindings live about as long (RFC 9308 §3.2).
  handshakeTimeoutMs: 10_000,
  keepAliveMs: 12_000,
  connectionsMax: 4_096,
  connectionsPerSourceMax: 64,
  streamsMax: 1_024,
  streamWindowBytes: 1 << 20,
  streamWindowBytesMax: 32 << 20,
  connectionWindowBytesFirst: 1 << 16,
  connectionWindowBytes: 3 << 19,
  connectionWindowBytesMax: 64 << 20,
  sendBufferBytes: 1 << 20,
}
export const MEMORY_BUDGET_BYTES = 256 << 20
/** Streams of each direction that a peer may open while the application has not admitted it. */
export const STRANGER_STREAMS_MAX = 8
/** What one stream's send buffer may hold, unless the path's window asks for more. */
export const STREAM_SEND_BUFFER_BYTES = 4 << 20
/** Of the peer's connection window: kept free for what is urgent. */
export const RESERVED_CREDIT_BYTES = 65_536
export const RESERVED_URGENCY_MAX = 1
/** Every path takes so much (RFC 9000 §14). */
export const BASE_DATAGRAM_BYTES = 1_200
/** Jumbo frames of 9000 bytes, less the IPv6 and UDP headers. */
export const JUMBO_DATAGRAM_BYTES = 8_952
export const ACK_DELAY_MS_MAX = 5
/** Timers fire late. */
export const ACK_TIMER_SLOP_MS = 2
export const ACK_DELAY_MS_ADVERTISED = ACK_DELAY_MS_MAX + ACK_TIMER_SLOP_MS
export const PACKETS_PER_ACK = 10
export const EAGER_ACK_PACKETS = 32
/** After so many packets that nobody acknowledges one obliges the peer: what both keep of the others
 * can be forgotten then. */
export const SILENT_PACKETS_MAX = 64
export const ACK_RANGES_KEPT = 128
export const QUANTUM_BYTES = 65_536

/** Why a connection was closed (CLOSE transport). */
export const CLOSE_CODE = {
  none: 0,
  internal: 1,
  flowControl: 3,
  streamLimit: 4,
  streamState: 5,
  finalSize: 6,
  frameEncoding: 7,
  connectionIdLimit: 9,
  protocol: 10,
  tooMuchDisorder: 13,
  keyUpdate: 14,
  aeadLimit: 15,
  tooSlow: 16,
} as const
