// protocol/connection/sender.ts — may we send now, and what: an ACK, a probe, data?
import type { AckFrequency } from './ack-frequency.ts'
import type { AckState } from './ack-state.ts'
import type { ControlFrames } from './control-frames.ts'
import { LimitTimes } from './limit-times.ts'
import { SILENT_PACKETS_MAX } from './limits.ts'
import { Pacer } from './pacer.ts'
import type { PacketBuilder, Target, Wish } from './packet-builder.ts'
import type { Path } from './path.ts'
import type { PathMtu } from './path-mtu.ts'
import type { Recovery } from './recovery.ts'
import type { Streams } from './streams.ts'

const PROBES_PER_PTO = 2

export interface SenderParts {
  readonly streams: Streams
  readonly acks: AckState
  readonly ackFrequency: AckFrequency
  readonly control: ControlFrames
  readonly recovery: Recovery
  readonly path: Path
  readonly mtu: PathMtu
  readonly builder: PacketBuilder
}

/** Window, pacer, path and what is owed, asked before each packet. */
export class Sender {
  /** Datagrams are no longer than this. */
  mtuBytes: number
  readonly #parts: SenderParts
  readonly #pacer: Pacer
  readonly limitTimes: LimitTimes
  #probes = 0
  /** Packets sent since the last that obliged the peer to an ACK. */
  #silentPackets = 0
  /** Reused from packet to packet. */
  readonly #wish: Wish = { nowMs: 0, isProbe: false, mayData: false, sizeBytesMax: 0 }

  constructor(nowMs: number, parts: SenderParts) {
    this.#parts = parts
    this.limitTimes = new LimitTimes(nowMs)
    this.mtuBytes = parts.mtu.sizeBytes
    this.#pacer = new Pacer(parts.recovery, this.mtuBytes)
  }

  /** The path may be known to take more, or less. */
  followMtu(): void {
    const bytes = this.#parts.mtu.sizeBytes
    if (bytes === this.mtuBytes) return
    this.mtuBytes = bytes
    this.#pacer.segmentBytes = bytes
    this.#parts.recovery.congestion.setSegmentBytes(bytes)
  }

  /** The peer owes an answer and has not given it. */
  probe(): void {
    this.#probes = PROBES_PER_PTO
  }

  /** Window or round trip have changed. */
  handleAck(): void {
    const { streams, recovery } = this.#parts
    this.followMtu()
    streams.buffer.windowBytes = recovery.congestion.windowBytes
    if (!recovery.congestion.isSlowStart) this.#tuneAcks()
  }

  /** Once the rate is found, fewer ACKs do; how late they may come is part of every timeout. */
  #tuneAcks(): void {
    const { recovery, ackFrequency } = this.#parts
    ackFrequency.update({
      windowBytes: recovery.congestion.windowBytes,
      segmentBytes: this.mtuBytes,
      rttMs: recovery.rtt.smoothedMs,
      packetThreshold: recovery.packetThreshold,
    })
    recovery.peerAckDelayMsMax = ackFrequency.peersDelayMsMax
  }

  handleSent(lengthBytes: number, isEliciting: boolean): void {
    if (lengthBytes === this.mtuBytes) this.#parts.mtu.handleFull()
    if (isEliciting) this.#pacer.handleSent(lengthBytes)
    this.#silentPackets = isEliciting ? 0 : this.#silentPackets + 1
    if (this.#silentPackets >= SILENT_PACKETS_MAX) this.#parts.control.ping = true
  }

  get #hasStreamData(): boolean {
    const { scheduler, isStarved } = this.#parts.streams
    return !scheduler.isEmpty && !isStarved
  }

  get #hasWindow(): boolean {
    const { inFlightBytes, congestion } = this.#parts.recovery
    return inFlightBytes + this.mtuBytes <= congestion.windowBytes
  }

  /** When there may be more to send; Infinity when only an event can bring it. */
  pollTimeout(nowMs: number): number {
    const mayData = this.#hasWindow && this.#parts.path.mayAnswer
    return this.#hasStreamData && mayData ? this.#pacer.releaseMs(nowMs) : Number.POSITIVE_INFINITY
  }

  /** A train may follow a packet of this length: it is as long as they get. */
  isFull(lengthBytes: number): boolean {
    return lengthBytes === this.mtuBytes
  }

  /**
   * Builds one packet at `into.at`; its length, or 0 when there is nothing to send now. In a train
   * behind a packet of `segmentBytes` no packet is longer, and probes wait: they travel alone.
   */
  build(nowMs: number, into: Target, segmentBytes: number): number {
    const { acks, control, path, builder } = this.#parts
    const isProbe = this.#probes > 0
    if (isProbe && into.at > 0) return 0
    const hasWindow = this.#hasWindow
    const hasStreamData = this.#hasStreamData
    const mayData = isProbe || (hasWindow && this.#pacer.maySend(nowMs))
    if (this.#pacer.hasFallenBehind) this.#noteLateness()
    const wants = control.isOwed || (mayData && hasStreamData) || isProbe
    if (!wants && !acks.isDue(nowMs)) {
      this.#noteLimit(nowMs, hasStreamData, hasWindow)
      return 0
    }
    this.limitTimes.enter(nowMs, 'sending')
    if (mayData && !isProbe && into.at === 0) {
      const length = this.#buildMtuProbe(nowMs, into)
      if (length > 0) return length
    }
    const wish = this.#wish
    wish.nowMs = nowMs
    wish.isProbe = isProbe
    wish.mayData = mayData
    wish.sizeBytesMax = Math.min(this.mtuBytes, path.roomBytes, segmentBytes)
    const length = builder.buildData(into, wish)
    if (isProbe) this.#probes -= 1
    return length
  }

  /** The search for the path's MTU goes on beside data, in datagrams of its own. */
  #buildMtuProbe(nowMs: number, into: Target): number {
    const { mtu, path, builder } = this.#parts
    const sizeBytes = mtu.wantedBytes(nowMs)
    if (sizeBytes === 0 || path.roomBytes !== Number.POSITIVE_INFINITY) return 0
    mtu.handleProbeSent(sizeBytes)
    return builder.buildMtuProbe(into, nowMs, sizeBytes)
  }

  /** No rate is measured in a round trip in which we were too slow ourselves. */
  #noteLateness(): void {
    this.#pacer.hasFallenBehind = false
    const { sampler, inFlightBytes } = this.#parts.recovery
    sampler.markAppLimited(inFlightBytes)
  }

  /** Why is nothing sent now? What is measured of the path depends on it. */
  #noteLimit(nowMs: number, hasStreamData: boolean, hasWindow: boolean): void {
    const { sampler, inFlightBytes } = this.#parts.recovery
    if (hasStreamData) {
      this.limitTimes.enter(nowMs, hasWindow ? 'pacing' : 'congestion')
      if (!hasWindow) sampler.handleWindowFull(inFlightBytes)
      return
    }
    this.limitTimes.enter(nowMs, this.#parts.streams.isHeldByPeer ? 'flow' : 'application')
    if (!hasWindow) return
    sampler.handleDry(this.#pacer.releaseMs(nowMs))
    this.#pacer.handleDry()
  }
}
