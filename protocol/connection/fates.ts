// protocol/connection/fates.ts — who is told that a frame arrived, or that it was lost?
import { FRAME } from '../wire/frames.ts'
import type { AckFrequency } from './ack-frequency.ts'
import type { AckState } from './ack-state.ts'
import type { ControlFrames } from './control-frames.ts'
import type { Counters } from './counters.ts'
import type { FrameFate, SentFrame } from './recovery.ts'
import type { Streams } from './streams.ts'

export class Fates implements FrameFate {
  readonly #streams: Streams
  readonly #acks: AckState
  readonly #ackFrequency: AckFrequency
  readonly #control: ControlFrames
  readonly #counts: Counters

  constructor(parts: {
    streams: Streams
    acks: AckState
    ackFrequency: AckFrequency
    control: ControlFrames
    counts: Counters
  }) {
    this.#streams = parts.streams
    this.#acks = parts.acks
    this.#ackFrequency = parts.ackFrequency
    this.#control = parts.control
    this.#counts = parts.counts
  }

  handleFrameAcked(frame: SentFrame): void {
    if (frame.kind === FRAME.stream) {
      this.#streams.handleAcked(frame.id, frame.offset, frame.lengthBytes, frame.fin)
    } else if (frame.kind === FRAME.ack) this.#acks.handleAckOfAck(frame.offset)
    else if (frame.kind === FRAME.resetStream) this.#streams.handleResetAcked(frame.id)
    else if (frame.kind === FRAME.ackFrequency) this.#ackFrequency.handleAcked(frame.id)
  }

  handleFrameLost(frame: SentFrame): void {
    if (frame.kind === FRAME.stream) {
      this.#streams.handleLost(frame.id, frame.offset, frame.lengthBytes, frame.fin)
      this.#counts.retransmitted += frame.lengthBytes
    } else this.#control.handleLost(frame)
  }
}
