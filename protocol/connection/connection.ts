// protocol/connection/connection.ts — what does one connection do with packets, time and wishes?
//
// Inputs: handlePacket, handleTimeout, the application's calls. Outputs: pollTransmit, pollTimeout,
// events. No clock, no socket. RFC 9000 and 9002 in shape; protocol/README.md has the bytes.
import type { Parameters } from '../handshake/messages.ts'
import {
  type Address,
  type PeerIdentity,
  type SessionStats,
  TransportError,
  type TransportErrorCode,
} from '../types.ts'
import { FRAME, parseFrames } from '../wire/frames.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { AckState } from './ack-state.ts'
import type { Connection, Crypto, EndpointEvent, TransportLimits } from './api.ts'
import { type CloseReason, Closing } from './closing.ts'
import { NewReno } from './congestion.ts'
import { ControlFrames } from './control-frames.ts'
import { Counters } from './counters.ts'
import { FrameInbox, type InboxHost } from './frame-inbox.ts'
import { CLOSE_CODE } from './limits.ts'
import { Pacer } from './pacer.ts'
import { PacketBuilder } from './packet-builder.ts'
import { type FrameFate, Recovery, type SentFrame } from './recovery.ts'
import type { PeerLimits, StreamEventType, StreamsHost } from './stream-events.ts'
import { Streams } from './streams.ts'

const FIRST_PACKET_NUMBER_MAX = 2 ** 20
const PROBES_PER_PTO = 2

export interface ConnectionOptions {
  readonly isInitiator: boolean
  readonly remote: Address
  readonly localCid: readonly [low: number, high: number]
  readonly limits: TransportLimits
  readonly mtuBytes: number
  readonly crypto: Crypto
  /** A random whole number in [0, below). */
  readonly randomBelow: (below: number) => number
  readonly emit: (event: EndpointEvent) => void
  /** The application did something: there may be more to send, and another deadline. */
  readonly wake: () => void
}

export class ConnectionCore implements Connection, InboxHost, FrameFate, StreamsHost {
  state: Connection['state'] = 'handshaking'
  readonly isInitiator: boolean
  readonly localCid: readonly [number, number]
  remote: Address
  peer: PeerIdentity = { publicKey: new Uint8Array(0), certificate: new Uint8Array(0) }
  readonly streams: Streams
  readonly recovery: Recovery
  readonly #options: ConnectionOptions
  readonly #acks = new AckState()
  readonly #pacer = new Pacer()
  readonly #control: ControlFrames
  #mtuBytes: number
  #idleTimeoutMs: number
  #nowMs = 0
  #lastReceivedMs = 0
  /** The last sign of life, or the first packet after it that obliges the peer to give one. */
  #silentSinceMs = 0
  #probes = 0
  #limited = false
  readonly #inbox: FrameInbox
  readonly #builder: PacketBuilder
  #closing: Closing | null = null
  #endMs = Number.POSITIVE_INFINITY
  #ended = false
  readonly #counts = new Counters()

  constructor(nowMs: number, options: ConnectionOptions) {
    this.#options = options
    this.isInitiator = options.isInitiator
    this.localCid = options.localCid
    this.remote = options.remote
    this.#mtuBytes = options.mtuBytes
    this.#idleTimeoutMs = options.limits.idleTimeoutMs
    this.#nowMs = nowMs
    this.#lastReceivedMs = nowMs
    const first = options.randomBelow(FIRST_PACKET_NUMBER_MAX)
    this.recovery = new Recovery(first, new NewReno(options.mtuBytes))
    this.streams = new Streams(this.isInitiator, options.limits, this)
    this.#control = new ControlFrames(this.streams)
    const parts = { streams: this.streams, acks: this.#acks, control: this.#control }
    this.#inbox = new FrameInbox(parts, this)
    const { crypto, randomBelow } = options
    this.#builder = new PacketBuilder({ ...parts, recovery: this.recovery, crypto, randomBelow })
  }

  // — the handshake's side —

  /** Keys and parameters are known: packets may flow. */
  establish(
    nowMs: number,
    peer: PeerIdentity,
    theirs: Parameters,
    remoteCid: readonly [number, number],
  ): void {
    this.peer = peer
    this.#builder.remoteCid = remoteCid
    this.#mtuBytes = Math.min(this.#mtuBytes, theirs.mtuBytes)
    this.recovery.congestion.setSegmentBytes(this.#mtuBytes)
    this.#idleTimeoutMs = Math.min(this.#idleTimeoutMs, theirs.idleTimeoutMs)
    this.#builder.crc = theirs.crc
    this.recovery.peerAckDelayMsMax = theirs.ackDelayMsMax
    this.streams.setPeerLimits(theirs satisfies PeerLimits)
    this.#lastReceivedMs = nowMs
    this.#nowMs = nowMs
    this.state = 'open'
    // The initiator's first packet proves to the acceptor that it is where it says.
    if (this.isInitiator) this.#control.ping = true
    else this.#control.handshakeDone = true
  }

  get crcMode(): 'full' | 'header' {
    return this.#builder.crc
  }

  set crcMode(mode: 'full' | 'header') {
    this.#builder.crc = mode
  }

  // — packets in —

  /** A DATA packet whose checksum is right. */
  handlePacket(nowMs: number, packet: Buffer, packetNumber: number): void {
    this.#nowMs = nowMs
    this.#counts.received += 1
    this.#counts.bytesReceived += packet.length
    const tagStart = packet.length - TAG_BYTES
    if (!this.#options.crypto.open(packet, packetNumber, HEADER_BYTES, tagStart)) {
      this.#counts.authErrors += 1
      return
    }
    if (this.state === 'closing') {
      this.#closing?.handlePacket(nowMs)
      return
    }
    if (this.state !== 'open') return
    if (this.#acks.isDuplicate(packetNumber)) {
      this.#counts.duplicates += 1 // Told before, and told again with the next ACK.
      return
    }
    this.#lastReceivedMs = nowMs
    this.#silentSinceMs = nowMs
    this.#inbox.begin(nowMs, packet)
    const defect = parseFrames(packet, HEADER_BYTES, tagStart, this.#inbox)
    this.#acks.handlePacket(nowMs, packetNumber, this.#inbox.isEliciting)
    if (defect !== null) this.fail(CLOSE_CODE.frameEncoding, defect)
  }

  handleCrcError(): void {
    this.#counts.crcErrors += 1
  }

  handleAckFrame(ranges: Float64Array, count: number, delayUs: number): void {
    const ack = { ranges, count, delayMs: delayUs / 1000, limited: this.#limited }
    if (!this.recovery.handleAck(this.#nowMs, ack, this)) {
      this.fail(CLOSE_CODE.protocol, 'ACK of a packet that was never sent')
      return
    }
    const { congestion, rtt } = this.recovery
    this.#pacer.update({
      windowBytes: congestion.windowBytes,
      rttMs: rtt.smoothedMs,
      isSlowStart: congestion.isSlowStart,
      segmentBytes: this.#mtuBytes,
    })
  }

  handleClose(application: boolean, code: number, reason: string): void {
    if (this.state !== 'open' && this.state !== 'closing') return
    const clean = application && code === 0
    const error = clean
      ? null
      : new TransportError(
          application ? 'ERR_HOLDFAST_CLOSED' : 'ERR_HOLDFAST_PROTOCOL',
          `the peer closed the connection: ${reason || `code ${code}`}`,
          { wireCode: code, remote: true },
        )
    this.state = 'draining'
    this.#end(error, reason)
  }

  // — fates of frames —

  handleFrameAcked(frame: SentFrame): void {
    if (frame.kind === FRAME.stream) {
      this.streams.handleAcked(frame.id, frame.offset, frame.lengthBytes, frame.fin)
    } else if (frame.kind === FRAME.ack) this.#acks.handleAckOfAck(frame.offset)
    else if (frame.kind === FRAME.resetStream) this.streams.handleResetAcked(frame.id)
  }

  handleFrameLost(frame: SentFrame): void {
    if (frame.kind === FRAME.stream) {
      this.streams.handleLost(frame.id, frame.offset, frame.lengthBytes, frame.fin)
      this.#counts.retransmitted += frame.lengthBytes
    } else this.#control.handleLost(frame)
  }

  // — StreamsHost —

  emitStream(type: StreamEventType, streamId: number, code: number): void {
    if (this.#ended) return
    this.#options.emit({ type, connection: this, streamId, code } as EndpointEvent)
  }

  emitStreamsAvailable(direction: 'bidi' | 'uni'): void {
    this.#options.emit({ type: 'streams-available', connection: this, direction })
  }

  fail(code: number, reason: string): void {
    if (this.state !== 'open') return
    this.#beginClose({ code, reason, application: false })
    this.#end(new TransportError('ERR_HOLDFAST_PROTOCOL', reason, { wireCode: code }), reason)
  }

  // — the application's side —

  get #woken(): Streams {
    this.#options.wake()
    return this.streams
  }

  openStream(direction: 'bidi' | 'uni', urgency: number): number | null {
    return this.state === 'open' ? this.streams.open(direction, urgency) : null
  }

  setUrgency(streamId: number, urgency: number): void {
    this.streams.setUrgency(streamId, urgency)
  }

  write(streamId: number, bytes: Uint8Array): number {
    const room = Math.max(
      this.#options.limits.sendBufferBytes,
      2 * this.recovery.congestion.windowBytes,
    )
    return this.#woken.write(streamId, bytes, room)
  }

  finish(streamId: number): void {
    this.#woken.finish(streamId)
  }

  read(streamId: number, maxBytes: number): Uint8Array | null {
    return this.#woken.read(streamId, maxBytes, this.#nowMs, this.recovery.rtt.smoothedMs)
  }

  isReadFinished(streamId: number): boolean {
    return this.streams.receiving.get(streamId)?.isReadFinished ?? true
  }

  isAcknowledged(streamId: number): boolean {
    return this.streams.sending.get(streamId)?.isAcknowledged ?? true
  }

  reset(streamId: number, code: number): void {
    this.#woken.reset(streamId, code)
  }

  stopSending(streamId: number, code: number): void {
    this.#woken.stopSending(streamId, code)
  }

  get isDrained(): boolean {
    return this.streams.isAllAcknowledged
  }

  drain(): void {
    this.#options.wake()
    this.#control.drain = true
  }

  close(nowMs: number, code: number, reason: string): void {
    if (this.state === 'closed' || this.state === 'draining' || this.state === 'closing') return
    this.#nowMs = nowMs
    this.#options.wake()
    if (this.state === 'open') this.#beginClose({ code, reason, application: true })
    else this.state = 'closed'
    this.#end(null, reason)
  }

  #beginClose(why: CloseReason): void {
    this.state = 'closing'
    this.#closing = new Closing(why)
  }

  /** Tells the application, once; the state lingers 3 PTO to answer stragglers (RFC 9000 §10.2). */
  #end(error: TransportError | null, reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#endMs = this.#nowMs + 3 * this.#ptoMs
    this.#options.emit({ type: 'closed', connection: this, error, reason })
  }

  /** Ends without a word to the peer. */
  abandon(nowMs: number, code: TransportErrorCode, detail: string): void {
    this.#nowMs = nowMs
    this.state = 'closed'
    this.#end(new TransportError(code, detail), detail)
    this.#endMs = nowMs
  }

  silentMs(nowMs: number): number {
    return this.recovery.hasElicitingInFlight ? nowMs - this.#silentSinceMs : 0
  }

  ping(): void {
    this.#options.wake()
    if (!this.recovery.hasElicitingInFlight) this.#control.ping = true
  }

  // — time —

  get #ptoMs(): number {
    return this.recovery.rtt.ptoMs(this.recovery.peerAckDelayMsMax, 0)
  }

  get #idleDeadlineMs(): number {
    return this.#lastReceivedMs + Math.max(this.#idleTimeoutMs, 3 * this.#ptoMs)
  }

  get #keepAliveMs(): number {
    if (!this.isInitiator) return Number.POSITIVE_INFINITY
    const { keepAliveMs } = this.#options.limits
    const periodMs = Math.min(keepAliveMs, this.#idleTimeoutMs / 2)
    return Math.max(this.#lastReceivedMs, this.recovery.lastElicitingSentMs) + periodMs
  }

  pollTimeout(nowMs: number): number {
    if (this.state === 'closing') {
      return Math.min(this.#endMs, this.#closing?.pollTimeout() ?? this.#endMs)
    }
    if (this.state === 'draining' || this.state === 'closed') return this.#endMs
    if (this.state === 'handshaking') return Number.POSITIVE_INFINITY
    let due = Math.min(this.#acks.pollTimeout(), this.recovery.timeoutMs())
    due = Math.min(due, this.#idleDeadlineMs, this.#keepAliveMs)
    if (this.#hasStreamData && this.#hasWindow) due = Math.min(due, this.#pacer.releaseMs(nowMs))
    return due
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs
    if (this.state === 'closing' || this.state === 'draining') {
      if (nowMs >= this.#endMs) this.state = 'closed'
      else if (this.state === 'closing') this.#closing?.handleTimeout(nowMs)
      return
    }
    if (this.state !== 'open') return
    if (nowMs >= this.#idleDeadlineMs) {
      const seconds = Math.round(this.#idleTimeoutMs / 1000)
      this.abandon(nowMs, 'ERR_HOLDFAST_IDLE_TIMEOUT', `nothing was heard for ${seconds} s`)
      return
    }
    if (nowMs >= this.recovery.timeoutMs() && this.recovery.handleTimeout(nowMs, this)) {
      this.#probes = PROBES_PER_PTO
    }
    if (nowMs >= this.#keepAliveMs) this.#control.ping = true
  }

  // — packets out —

  get #hasStreamData(): boolean {
    return !this.streams.scheduler.isEmpty && !this.streams.isStarved
  }

  get #hasWindow(): boolean {
    return this.recovery.inFlightBytes + this.#mtuBytes <= this.recovery.congestion.windowBytes
  }

  /** Builds one packet into `out`; its length, or 0 when there is nothing to send now. */
  buildPacket(nowMs: number, out: Buffer, view: DataView): number {
    this.#nowMs = nowMs
    if (this.state === 'closing') return this.#buildClose(out, view)
    if (this.state !== 'open') return 0
    const isProbe = this.#probes > 0
    const window = this.#hasWindow
    const mayData = isProbe || (window && this.#pacer.maySend(nowMs))
    const ackDue = this.#acks.isDue(nowMs)
    if (this.#hasStreamData && !window) this.#limited = true
    const wants = this.#control.isOwed || (mayData && this.#hasStreamData) || isProbe
    if (!ackDue && !wants) {
      if (!this.#hasStreamData) this.#limited = false
      return 0
    }
    const wish = { nowMs, isProbe, mayData, mtuBytes: this.#mtuBytes }
    const { length, frames } = this.#builder.buildData({ out, view }, wish)
    if (isProbe) this.#probes -= 1
    return this.#seal(length, frames)
  }

  #seal(length: number, frames: SentFrame[] | null): number {
    if (length === 0) return 0
    this.#counts.sent += 1
    this.#counts.bytesSent += length
    if (frames && !this.recovery.hasElicitingInFlight) this.#silentSinceMs = this.#nowMs
    this.recovery.handleSent(this.#nowMs, length, frames)
    if (frames) {
      this.#pacer.handleSent(length)
    }
    if (this.recovery.isExhausted) this.fail(CLOSE_CODE.internal, 'out of packet numbers')
    return length
  }

  #buildClose(out: Buffer, view: DataView): number {
    const closing = this.#closing
    if (!closing?.isOwed) return 0
    closing.handleSent(this.#nowMs, this.#ptoMs)
    return this.#seal(this.#builder.buildClose({ out, view }, closing.why), null)
  }

  stats(): SessionStats {
    return this.#counts.stats(this.recovery, this.#mtuBytes)
  }
}
