// protocol/congestion/controller.ts — what does the transport tell a congestion controller, and what
// does it want to know of it?
//
// All times are ms, all rates bytes per ms, all bytes float64: they outgrow 32 bits within a minute.

/** What one batch of acknowledgements told. One object per connection, filled anew each time. */
export interface AckSample {
  nowMs: number
  /** Newly acknowledged, and newly lost. */
  ackedBytes: number
  lostBytes: number
  /** Since the connection began, after this batch. */
  deliveredTotalBytes: number
  lostTotalBytes: number
  /** In flight before this batch, and after it. */
  priorInFlightBytes: number
  inFlightBytes: number
  /** Of the newest packet that this batch acknowledges: the round trip (the usual one, when it
   * overtook others), and what the ACK waited of it … */
  rttMs: number
  ackDelayMs: number
  sentMs: number
  /** … what had been delivered when it was sent, and what has been since … */
  priorDeliveredBytes: number
  deliveredBytes: number
  /** … what was in flight with it, and what was lost since. */
  sentInFlightBytes: number
  lostSinceBytes: number
  /** deliveredBytes by the time that it took; 0 where no reliable rate can be told. */
  deliveryRate: number
  /** Within the round trip before it there was nothing to send. */
  isAppLimited: boolean
  /** Within the last round trip the window held back what was there to send. */
  isWindowLimited: boolean
  smoothedRttMs: number
  minRttMs: number
}

/** A packet that is taken for lost. One object per connection, filled anew each time. */
export interface LostPacket {
  bytes: number
  sentMs: number
  /** In flight when it was sent, itself included. */
  sentInFlightBytes: number
  /** Lost since it was sent, itself included. */
  lostSinceBytes: number
  deliveredTotalBytes: number
  isAppLimited: boolean
  /** The packet before it was not lost: losses in a row count as one. */
  beginsRun: boolean
}

export interface CongestionController {
  readonly name: CongestionName
  /** A word for logs and statistics. */
  readonly state: string
  readonly windowBytes: number
  /** Infinity: as fast as the window allows. */
  readonly pacingRateBytesPerMs: number
  /** How long the path's queue has been of late; Infinity where that is not watched. */
  readonly queueMs: number
  /** What should leave in one go. */
  readonly sendQuantumBytes: number
  readonly isSlowStart: boolean
  /** It sends less than the path takes, on purpose: what is delivered now is no measure. */
  readonly isHoldingBack: boolean
  /** The share of packets that the path loses whatever is sent; 0 where it is not estimated. */
  readonly baselineLossRatio: number
  /** What the path delivers, as far as is known; 0 when nothing is. */
  readonly bandwidthBytesPerMs: number
  /** Both ends have said how large datagrams may be, or the path takes larger or smaller ones. */
  setSegmentBytes(bytes: number): void
  /** About to send while nothing is in flight. */
  handleRestart(nowMs: number, isAppLimited: boolean): void
  /** For each lost packet, before the `handleAck` of the batch that showed the loss, if any did. */
  handlePacketLost(nowMs: number, lost: LostPacket): void
  /** After the packets of one detection of losses. True: an episode of losses begins. */
  handleLosses(nowMs: number, newestSentMs: number): boolean
  handleAck(sample: AckSample): void
  /** Nothing got through for a long time (RFC 9002 §7.6). */
  handlePersistentCongestion(nowMs: number, inFlightBytes: number): void
  /** All losses of the last episode turned out to have arrived. */
  undo(nowMs: number): void
  /** Another path: begin anew. */
  reset(nowMs: number, segmentBytes: number): void
}

/** `bbr-draft` is `bbr` without the estimate of inherent loss; `newreno` is there for tests. */
export const CONGESTION_NAMES = ['bbr', 'bbr-draft', 'cubic', 'newreno'] as const
export type CongestionName = (typeof CONGESTION_NAMES)[number]

export const INITIAL_WINDOW_SEGMENTS = 32 // RFC 9002 says 10; a closed deployment may start higher.
export const MIN_WINDOW_SEGMENTS = 4

/** A train: one millisecond's worth, so that timers of 1 ms suffice, and no more than the kernel
 * takes at once. */
export const quantumBytes = (rateBytesPerMs: number, segmentBytes: number): number =>
  Math.max(2 * segmentBytes, Math.min(rateBytesPerMs, 65_000))
