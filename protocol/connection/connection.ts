// protocol/connection/connection.ts — what does one connection do with packets, time and wishes?
//
// Inputs: handlePacket, handleTimeout, the application's calls. Outputs: pollTransmit, pollTimeout,
// events. No clock, no socket. RFC 9000 and 9002 in shape; protocol/README.md has the bytes.

import { chooseCongestion } from '../congestion/choose.ts'
import type { Cid } from '../handshake/messages.ts'
import type { Payload } from '../handshake/payload.ts'
import type { Suite } from '../protection/suite.ts'
import { type Address, type PeerIdentity, type SessionStats, TransportError } from '../types.ts'
import { parseFrames } from '../wire/frames.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import { AckFrequency } from './ack-frequency.ts'
import { AckState } from './ack-state.ts'
import type { Connection, EndpointEvent } from './api.ts'
import { ConnectionIds } from './connection-ids.ts'
import { ControlFrames } from './control-frames.ts'
import { Counters } from './counters.ts'
import { Fates } from './fates.ts'
import { FrameInbox, type InboxHost } from './frame-inbox.ts'
import { ConnectionKeys } from './keys.ts'
import { Lifecycle } from './lifecycle.ts'
import { BASE_DATAGRAM_BYTES, CLOSE_CODE } from './limits.ts'
import { Liveness } from './liveness.ts'
import { MemoryShare } from './memory-budget.ts'
import type { ConnectionOptions } from './options.ts'
import { PacketBuilder, type Target } from './packet-builder.ts'
import { type Arrival, Path } from './path.ts'
import { PathMtu } from './path-mtu.ts'
import { Recovery } from './recovery.ts'
import { Sender } from './sender.ts'
import type { SentFrame } from './sent-frame.ts'
import { isLoopback } from './source.ts'
import { StreamCalls } from './stream-calls.ts'
import type { PeerLimits, StreamEventType, StreamsHost } from './stream-events.ts'
import { Streams } from './streams.ts'

const FIRST_PACKET_NUMBER_MAX = 2 ** 20

export class ConnectionCore extends StreamCalls implements Connection, InboxHost, StreamsHost {
  readonly isInitiator: boolean
  readonly localCid: Cid
  peer: PeerIdentity = { publicKey: new Uint8Array(0), certificate: new Uint8Array(0) }
  readonly streams: Streams
  readonly recovery: Recovery
  readonly ids: ConnectionIds
  readonly #options: ConnectionOptions
  readonly #acks = new AckState()
  readonly #ackFrequency = new AckFrequency()
  readonly #control: ControlFrames
  readonly #path: Path
  readonly #mtu: PathMtu
  readonly #keys: ConnectionKeys
  readonly #liveness: Liveness
  #nowMs = 0
  /** The largest datagram that both ends take. */
  #limitBytes = BASE_DATAGRAM_BYTES
  readonly #fates: Fates
  readonly #inbox: FrameInbox
  readonly #builder: PacketBuilder
  readonly #sender: Sender
  readonly #lifecycle: Lifecycle
  readonly #counts = new Counters()

  constructor(nowMs: number, options: ConnectionOptions) {
    super()
    this.#options = options
    this.isInitiator = options.isInitiator
    this.localCid = options.localCid
    this.#nowMs = nowMs
    this.#liveness = new Liveness(nowMs, { ...options.limits, isInitiator: options.isInitiator })
    this.#keys = new ConnectionKeys(options)
    this.#lifecycle = new Lifecycle((error, reason) => {
      this.recovery.log?.closed(this.#nowMs, this.state === 'draining' ? 'remote' : 'local', error)
      options.emit({ type: 'closed', connection: this, error, reason })
    })
    const { randomBelow, mtuHintBytes: hintBytes, setsDontFragment } = options
    const begin = { nowMs, segmentBytes: BASE_DATAGRAM_BYTES, randomBelow }
    this.#mtu = new PathMtu({ hintBytes, setsDontFragment })
    const congestion = chooseCongestion(options.congestion, begin)
    this.recovery = new Recovery(randomBelow(FIRST_PACKET_NUMBER_MAX), congestion)
    const { limits, isAdmitted } = options
    const share = new MemoryShare(options.budget)
    this.streams = new Streams(this.isInitiator, this, { limits, share, isAdmitted })
    this.#path = new Path(options.remote, options.random)
    this.ids = new ConnectionIds(options.cids, options.localCid)
    const { ids, recovery, streams } = this
    const ackFrequency = this.#ackFrequency
    this.#control = new ControlFrames({ streams, ids, path: this.#path, ackFrequency })
    const parts = { streams, ids, acks: this.#acks, ackFrequency, control: this.#control }
    const mtu = this.#mtu
    this.#fates = new Fates({ ...parts, counts: this.#counts, mtu, recovery })
    this.#inbox = new FrameInbox({ ...parts, path: this.#path }, this)
    this.#builder = new PacketBuilder({ ...parts, recovery, keys: this.#keys, randomBelow })
    const route = { path: this.#path, mtu, builder: this.#builder }
    this.#sender = new Sender(nowMs, { ...parts, ...route, recovery })
  }

  get state(): Connection['state'] {
    return this.#lifecycle.state
  }

  /** Where it was at first: what it counts against. */
  get firstHost(): string {
    return this.#options.remote.host
  }

  get remote(): Address {
    return this.#path.remote
  }

  // — the handshake's side —

  /** The keys are known: packets can be opened, and sealed once the rest is. */
  protect(
    nowMs: number,
    suite: Suite,
    secrets: { send: Buffer; receive: Buffer; remoteCid: Cid },
  ): void {
    this.#keys.begin(nowMs, suite, secrets)
  }

  /** Who the peer is and what it takes is known as well: packets may flow. */
  establish(
    nowMs: number,
    {
      peer,
      parameters: theirs,
      remoteCid,
      resetToken,
    }: Omit<Payload, 'certificate'> & { peer: PeerIdentity; remoteCid: Cid },
  ): void {
    this.peer = peer
    this.ids.establish(remoteCid, resetToken)
    this.#limitBytes = Math.min(this.#options.mtuBytes, theirs.mtuBytes)
    this.#beginMtu()
    this.#liveness.establish(nowMs, theirs.idleTimeoutMs)
    this.#builder.crc = theirs.crc
    this.#ackFrequency.establish(theirs.ackDelayMsMax)
    this.recovery.peerAckDelayMsMax = theirs.ackDelayMsMax
    this.streams.begin(theirs satisfies PeerLimits)
    this.#nowMs = nowMs
    this.#lifecycle.state = 'open'
    this.recovery.log?.established(nowMs, theirs)
    // The initiator's first packet proves to the acceptor that it is where it says.
    if (this.isInitiator) this.#control.ping = true
    else {
      this.#control.handshakeDone = true
      this.#handleConfirmed()
    }
  }

  #handleConfirmed(): void {
    if (this.#keys.isConfirmed) return
    this.#keys.isConfirmed = true
    this.ids.issueSpares()
  }

  get crcMode(): 'full' | 'header' {
    return this.#builder.crc
  }

  set crcMode(mode: 'full' | 'header') {
    this.#builder.crc = mode
  }

  // — packets in —

  /** Decrypts the DATA packet `bytes[at, end)`, whose checksum is right, in place. False: it changes
   * nothing. */
  open(
    nowMs: number,
    bytes: Buffer,
    at: number,
    end: number,
    header: { readonly keyPhase: number; readonly packetNumber: number },
  ): boolean {
    this.#nowMs = nowMs
    this.#counts.received += 1
    this.#counts.bytesReceived += end - at
    const opened = this.#keys.open(nowMs, bytes, at, end, header, this.#ptoMs)
    if (opened === 'ok') return true
    this.#counts.authErrors += 1
    this.recovery.log?.packetDropped(nowMs, bytes.subarray(at, end), 'payload_decrypt_error')
    if (opened === 'key-update-error') this.fail(CLOSE_CODE.keyUpdate, 'old keys after new ones')
    if (opened === 'too-many-failures') this.fail(CLOSE_CODE.aeadLimit, 'too many forged packets')
    return false
  }

  /** The DATA packet `bytes[at, end)`, opened. Nothing of the bytes is kept. */
  handlePacket(nowMs: number, bytes: Buffer, at: number, end: number, arrival: Arrival): void {
    const { packetNumber } = arrival
    if (this.state === 'closing') {
      this.#lifecycle.closing?.handlePacket(nowMs)
      return
    }
    if (this.state !== 'open') return
    const { log } = this.recovery
    if (this.#acks.isDuplicate(packetNumber)) {
      this.#counts.duplicates += 1 // Told before, and told again with the next ACK.
      log?.packetDropped(nowMs, bytes.subarray(at, end), 'duplicate')
      return
    }
    this.#liveness.handleReceived(nowMs)
    this.streams.window.handleQuiet(nowMs)
    // Whoever watched the old path shall not know us on the new one.
    if (this.#path.handleArrival(arrival, nowMs, end - at, this.#keys.isConfirmed, this.#ptoMs)) {
      this.ids.rotate()
    }
    log?.packetReceived(nowMs, bytes.subarray(at, end), end - at - TAG_BYTES)
    this.#inbox.begin(nowMs, bytes, arrival, packetNumber > this.#acks.largest + 1)
    const defect = parseFrames(bytes, at + HEADER_BYTES, end - TAG_BYTES, this.#inbox)
    const { isEliciting } = this.#inbox
    this.#acks.handlePacket(nowMs, packetNumber, isEliciting, this.recovery.rtt.smoothedMs)
    if (defect !== null) this.fail(CLOSE_CODE.frameEncoding, defect)
    const { isOwed, movedBytes } = this.streams
    if (this.#liveness.isTooSlow(nowMs, isOwed, movedBytes)) {
      this.fail(CLOSE_CODE.tooSlow, 'hardly anything moved for 5 minutes')
    }
  }

  /** A RESET with our token. */
  handleStatelessReset(nowMs: number): void {
    this.#nowMs = nowMs
    this.#lifecycle.handleStatelessReset(this.#at)
  }

  handleCrcError(): void {
    this.#counts.crcErrors += 1
  }

  handleAckFrame(ranges: Float64Array, count: number, delayUs: number): void {
    const ack = { ranges, count, delayMs: delayUs / 1000, overtook: this.#inbox.overtook }
    if (!this.recovery.handleAck(this.#nowMs, ack, this.#fates)) {
      this.fail(CLOSE_CODE.protocol, 'ACK of a packet that was never sent')
      return
    }
    this.#keys.handleAcked(ranges[1] as number)
    this.#sender.handleAck()
  }

  handleClose(application: boolean, code: number, reason: string): void {
    this.#lifecycle.handlePeerClose(this.#at, { application, code, reason })
  }

  handleHandshakeDone(): void {
    if (this.isInitiator) this.#handleConfirmed()
    else this.fail(CLOSE_CODE.protocol, 'HANDSHAKE_DONE from the initiator')
  }

  /** The peer is proven to be on another machine: what was learnt is of the old path. */
  handleNewPath(): void {
    this.recovery.handleNewPath(this.#nowMs, BASE_DATAGRAM_BYTES)
    this.#beginMtu()
  }

  #beginMtu(): void {
    this.#mtu.begin(this.#limitBytes, isLoopback(this.remote.host))
    this.#sender.followMtu()
  }

  /** So large a datagram does not leave this machine for where the peer is. */
  handleTooLarge(nowMs: number, sizeBytes: number): void {
    this.#mtu.handleTooLarge(nowMs, sizeBytes)
    this.#sender.followMtu()
  }

  // — StreamsHost —

  emitStream(type: StreamEventType, streamId: number, code: number): void {
    if (this.#lifecycle.hasEnded) return
    this.#options.emit({ type, connection: this, streamId, code } as EndpointEvent)
  }

  emitStreamsAvailable(direction: 'bidi' | 'uni'): void {
    this.#options.emit({ type: 'streams-available', connection: this, direction })
  }

  fail(code: number, reason: string): void {
    this.#lifecycle.fail(this.#at, code, reason)
  }

  // — the application's side —

  protected get woken(): Streams {
    this.#options.wake()
    return this.streams
  }

  read(streamId: number, maxBytes: number): Uint8Array | null {
    return this.woken.read(streamId, maxBytes, this.#nowMs, this.recovery.rtt.smoothedMs)
  }

  drain(): void {
    this.#options.wake()
    this.#control.drain = true
  }

  close(nowMs: number, code: number, reason: string): void {
    this.#nowMs = nowMs
    this.#options.wake()
    this.#lifecycle.close(this.#at, code, reason)
  }

  /** Ends without a word to the peer. */
  abandon(nowMs: number, error: TransportError): void {
    this.#nowMs = nowMs
    this.#lifecycle.abandon(nowMs, error)
  }

  /** Nothing of it is remembered any more. */
  end(): void {
    this.streams.release()
    this.ids.end()
  }

  /** Ends without a word to anybody: nobody was told of it. */
  drop(): void {
    this.#lifecycle.state = 'closed'
  }

  silentMs(nowMs: number): number {
    return this.recovery.hasElicitingInFlight ? this.#liveness.silentMs(nowMs) : 0
  }

  ping(): void {
    this.#options.wake()
    if (!this.recovery.hasElicitingInFlight) this.#control.ping = true
  }

  // — time —

  get #at(): { nowMs: number; ptoMs: number } {
    return { nowMs: this.#nowMs, ptoMs: this.#ptoMs }
  }

  get #ptoMs(): number {
    return this.recovery.rtt.ptoMs(this.recovery.peerAckDelayMsMax, 0)
  }

  get #idleDeadlineMs(): number {
    return this.#liveness.idleDeadlineMs(this.#ptoMs)
  }

  get #keepAliveMs(): number {
    return this.#liveness.keepAliveMs(this.recovery.lastElicitingSentMs)
  }

  pollTimeout(nowMs: number): number {
    const ending = this.#lifecycle.pollTimeout()
    if (ending !== null) return ending
    const acksMs = Math.min(this.#acks.pollTimeout(), this.recovery.timeoutMs())
    const deadlinesMs = Math.min(this.#idleDeadlineMs, this.#keepAliveMs, this.#path.pollTimeout())
    return Math.min(acksMs, deadlinesMs, this.#sender.pollTimeout(nowMs))
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs
    this.#lifecycle.handleTimeout(nowMs)
    if (this.state !== 'open') return
    if (nowMs >= this.#idleDeadlineMs) {
      const seconds = Math.round(this.#liveness.idleTimeoutMs / 1000)
      const detail = `nothing was heard for ${seconds} s`
      this.abandon(nowMs, new TransportError('ERR_HOLDFAST_IDLE_TIMEOUT', detail))
      return
    }
    if (nowMs >= this.recovery.timeoutMs() && this.recovery.handleTimeout(nowMs, this.#fates)) {
      this.#sender.probe()
    }
    this.#sender.followMtu()
    if (nowMs >= this.#keepAliveMs) this.#control.ping = true
    this.streams.window.handleQuiet(nowMs)
    this.#path.handleTimeout(nowMs, this.#ptoMs)
  }

  // — packets out —

  /** See Sender.build. */
  buildPacket(nowMs: number, into: Target, segmentBytes = Number.POSITIVE_INFINITY): number {
    this.#nowMs = nowMs
    if (this.state === 'closing') return this.#buildClose(into)
    if (this.state !== 'open' || !this.#path.mayAnswer) return 0
    if (this.#keys.refresh(nowMs, this.recovery.nextPacketNumber)) this.#control.ping = true
    return this.#account(this.#sender.build(nowMs, into, segmentBytes), this.#builder.frames)
  }

  isFull(lengthBytes: number): boolean {
    return this.#sender.isFull(lengthBytes)
  }

  #account(length: number, frames: SentFrame[] | null): number {
    if (length === 0) return 0
    this.#path.handleSent(length)
    this.#counts.sent += 1
    this.#counts.bytesSent += length
    if (frames && !this.recovery.hasElicitingInFlight) this.#liveness.handleAsked(this.#nowMs)
    this.recovery.handleSent(this.#nowMs, length, frames, this.#builder.isMtuProbe)
    this.#sender.handleSent(length, frames !== null)
    if (this.recovery.isExhausted) this.fail(CLOSE_CODE.internal, 'out of packet numbers')
    return length
  }

  #buildClose(into: Target): number {
    const { closing } = this.#lifecycle
    if (!closing?.isOwed || into.at > 0) return 0
    closing.handleSent(this.#nowMs, this.#ptoMs)
    return this.#account(this.#builder.buildClose(into, closing.why, this.#nowMs), null)
  }

  stats(): SessionStats {
    const { cipher } = this.#keys
    const { crc } = this.#builder
    const { sizeBytes: mtuBytes, probesLost: mtuProbesLost, blackHoles } = this.#mtu
    const limitedMs = this.#sender.limitTimes.at(this.#nowMs)
    const inUse = { mtuBytes, mtuProbesLost, blackHoles, cipher, crc, limitedMs }
    return this.#counts.stats(this.recovery, inUse)
  }
}
