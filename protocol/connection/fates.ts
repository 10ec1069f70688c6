// protocol/connection/fates.ts — who is told that a frame arrived, or that it was lost?
import { FRAME } from '../wire/frames.ts'
import type { AckFrequency } from './ack-frequency.ts'
import type { AckState } from './ack-state.ts'
import type { ControlFrames } from './control-frames.ts'
import type { Counters } from './counters.ts'
import type { PathMtu } from './path-mtu.ts'
import type { Recovery } from './recovery.ts'
import type { FrameFate, SentFrame } from './sent-frame.ts'
import type { Streams } from './streams.ts'

export class Fates implements FrameFate {
  readonly #streams: Streams
  readonly #acks: AckState
  readonly #ackFrequency: AckFrequency
  readonly #control: ControlFrames
  readonly #counts: Counters
  readonly #mtu: PathMtu
  readonly #recovery: Recovery

  constructor(parts: {
    streams: Streams
    acks: AckState
    ackFrequency: AckFrequency
    control: ControlFrames
    counts: Counters
    mtu: PathMtu
    recovery: Recovery
  }) {
    this.#streams = parts.streams
    this.#acks = parts.acks
    this.#ackFrequency = parts.ackFrequency
    this.#control = parts.control
    this.#counts = parts.counts
    this.#mtu = parts.mtu
    this.#recovery = parts.recovery
  }

  handlePacketAcked(packetNumber: number, bytes: number): void {
    this.#mtu.handleArrived(packetNumber, bytes)
  }

  handlePacketLost(nowMs: number, packetNumber: number, bytes: number, sentMs: number): void {
    const { rtt, peerAckDelayMsMax } = this.#recovery
    this.#mtu.handleLost(nowMs, packetNumber, bytes, sentMs, rtt.ptoMs(peerAckDelayMsMax, 0))
  }

  handleFrameAcked(frame: SentFrame): void {
    if (frame.kind === FRAME.stream) {
      this.#streams.handleAcked(frame.id, frame.offset, frame.lengthBytes, frame.fin)
    } else if (frame.kind === FRAME.ack) this.#acks.handleAckOfAck(frame.offset)
    else if (frame.kind === FRAME.resetStream) this.#streams.handleResetAcked(frame.id)
    else if (frame.kind === FRAME.ackFrequency) this.#ackFrequency.handleAcked(frame.id)
    else if (frame.kind === FRAME.padding) this.#mtu.handleProbeArrived(frame.offset)
  }

  handleFrameLost(frame: SentFrame, nowMs: number): void {
    if (frame.kind === FRAME.stream) {
      this.#streams.handleLost(frame.id, frame.offset, frame.lengthBytes, frame.fin)
      this.#counts.retransmitted += frame.lengthBytes
    } else if (frame.kind === FRAME.padding) {
      this.#mtu.handleProbeLost(nowMs, frame.offset, this.#recovery.rtt.smoothedMs)
    } else this.#control.handleLost(frame)
  }
}
