// protocol/connection/frame-inbox.ts — what does each frame of a packet that arrived change?
import type { Cid } from '../handshake/messages.ts'
import type { FrameSink } from '../wire/frames.ts'
import type { AckState } from './ack-state.ts'
import type { ConnectionIds } from './connection-ids.ts'
import type { ControlFrames } from './control-frames.ts'
import type { Arrival, Path } from './path.ts'
import type { Streams } from './streams.ts'

/** What only the connection as a whole can deal with. */
export interface InboxHost {
  handleAckFrame(ranges: Float64Array, count: number, delayUs: number): void
  handleClose(application: boolean, code: number, reason: string): void
  handleHandshakeDone(): void
  /** The peer is proven to be at another machine's address. */
  handleNewPath(): void
  fail(code: number, reason: string): void
}

/** Hands the frames of one packet to those who deal with them. */
export class FrameInbox implements FrameSink {
  readonly #streams: Streams
  readonly #acks: AckState
  readonly #control: ControlFrames
  readonly #ids: ConnectionIds
  readonly #path: Path
  readonly #host: InboxHost
  #nowMs = 0
  #bytes: Buffer = Buffer.alloc(0)
  #arrival: Pick<Arrival, 'cidLow' | 'cidHigh'> = { cidLow: 0, cidHigh: 0 }
  /** Did a frame of this packet oblige us to an ACK? */
  isEliciting = false
  /** Packets are missing right before this one: it came early, or they are lost. */
  overtook = false

  constructor(
    parts: {
      streams: Streams
      acks: AckState
      control: ControlFrames
      ids: ConnectionIds
      path: Path
    },
    host: InboxHost,
  ) {
    this.#streams = parts.streams
    this.#acks = parts.acks
    this.#control = parts.control
    this.#ids = parts.ids
    this.#path = parts.path
    this.#host = host
  }

  begin(nowMs: number, bytes: Buffer, arrival: Arrival, overtook: boolean): void {
    this.#nowMs = nowMs
    this.#bytes = bytes
    this.#arrival = arrival
    this.isEliciting = false
    this.overtook = overtook
  }

  handlePing(): void {
    this.isEliciting = true
  }

  handleAck(ranges: Float64Array, count: number, delayUs: number): void {
    this.#host.handleAckFrame(ranges, count, delayUs)
  }

  handleAckFrequency(sequence: number, threshold: number, delayUs: number, reorder: number): void {
    this.isEliciting = true
    this.#acks.setPolicy(sequence, threshold, delayUs / 1000, reorder)
  }

  handleImmediateAck(): void {
    this.isEliciting = true
    this.#acks.requestNow(this.#nowMs)
  }

  handleStream(id: number, offset: number, start: number, end: number, fin: boolean): void {
    this.isEliciting = true
    this.#streams.handleStream(id, offset, this.#bytes, start, end, fin)
  }

  handleResetStream(id: number, code: number, finalSize: number): void {
    this.isEliciting = true
    this.#streams.handleReset(id, code, finalSize)
  }

  handleStopSending(id: number, code: number): void {
    this.isEliciting = true
    this.#streams.handleStop(id, code)
  }

  handleMaxData(limit: number): void {
    this.isEliciting = true
    this.#streams.handleMaxData(limit)
  }

  handleMaxStreamData(id: number, limit: number): void {
    this.isEliciting = true
    this.#streams.handleMaxStreamData(id, limit)
  }

  handleMaxStreams(uni: boolean, limit: number): void {
    this.isEliciting = true
    this.#streams.handleMaxStreams(uni, limit)
  }

  handleDataBlocked(limit: number): void {
    this.isEliciting = true
    this.#streams.handleBlocked(null, limit)
  }

  handleStreamDataBlocked(id: number, limit: number): void {
    this.isEliciting = true
    this.#streams.handleBlocked(id, limit)
  }

  handleStreamsBlocked(): void {
    this.isEliciting = true
  }

  handlePathChallenge(start: number): void {
    this.isEliciting = true
    this.#control.queuePathResponse(Buffer.from(this.#bytes.subarray(start, start + 8)))
  }

  handlePathResponse(start: number): void {
    this.isEliciting = true
    const echo = this.#bytes.subarray(start, start + 8)
    if (this.#path.handleResponse(echo)) this.#host.handleNewPath()
  }

  handleNewCid(sequence: number, retirePrior: number, start: number): void {
    this.isEliciting = true
    const cid: Cid = [this.#bytes.readUInt32LE(start), this.#bytes.readUInt32LE(start + 4)]
    const resetToken = Buffer.from(this.#bytes.subarray(start + 8, start + 24))
    const code = this.#ids.handleNew({ sequence, retirePrior, cid, resetToken })
    if (code !== null) this.#host.fail(code, 'NEW_CID against the rules')
  }

  handleRetireCid(sequence: number): void {
    this.isEliciting = true
    const { cidLow, cidHigh } = this.#arrival
    const code = this.#ids.handleRetire(sequence, [cidLow, cidHigh])
    if (code !== null) this.#host.fail(code, 'RETIRE_CID against the rules')
  }

  handleHandshakeDone(): void {
    this.isEliciting = true
    this.#host.handleHandshakeDone()
  }

  handleDrain(): void {
    this.isEliciting = true // The peer will close; its streams end by themselves.
  }

  handleStreamPriority(id: number, urgency: number): void {
    this.isEliciting = true
    if (urgency < 8) this.#streams.setUrgency(id, urgency)
  }

  handleClose(application: boolean, code: number, reason: string): void {
    this.#host.handleClose(application, code, reason)
  }
}
