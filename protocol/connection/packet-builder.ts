// protocol/connection/packet-builder.ts — how do frames that are owed become a packet?

import { packetCrc } from '../wire/crc.ts'
import { FRAME, FrameWriter, REASON_BYTES_MAX, STREAM_OVERHEAD_BYTES } from '../wire/frames.ts'
import {
  HEADER_BYTES,
  HELLO_BYTES_MIN,
  PACKET,
  TAG_BYTES,
  VERSION,
  writeHeader,
} from '../wire/header.ts'
import type { AckState } from './ack-state.ts'
import type { ConnectionIds } from './connection-ids.ts'
import type { ControlFrames } from './control-frames.ts'
import type { ConnectionKeys } from './keys.ts'
import type { Recovery, SentFrame } from './recovery.ts'
import type { Streams } from './streams.ts'

const SKIP_GAP_MIN = 2 ** 8
const SKIP_GAP_MAX = 2 ** 17

/** Where the packet goes: the same bytes twice. */
export interface Target {
  readonly out: Buffer
  readonly view: DataView
}

export interface BuilderParts {
  readonly streams: Streams
  readonly acks: AckState
  readonly control: ControlFrames
  readonly recovery: Recovery
  readonly ids: ConnectionIds
  readonly keys: ConnectionKeys
  readonly randomBelow: (below: number) => number
}

/** Writes packets with the next packet number; whoever sends them tells the recovery. */
export class PacketBuilder {
  crc: 'full' | 'header' = 'full'
  readonly #streams: Streams
  readonly #acks: AckState
  readonly #control: ControlFrames
  readonly #recovery: Recovery
  readonly #ids: ConnectionIds
  readonly #keys: ConnectionKeys
  readonly #randomBelow: (below: number) => number
  readonly #writer = new FrameWriter(Buffer.alloc(0))
  #skipGap = SKIP_GAP_MIN
  #nextSkip: number

  constructor(parts: BuilderParts) {
    this.#streams = parts.streams
    this.#acks = parts.acks
    this.#control = parts.control
    this.#recovery = parts.recovery
    this.#ids = parts.ids
    this.#keys = parts.keys
    this.#randomBelow = parts.randomBelow
    const first = parts.recovery.nextPacketNumber
    this.#nextSkip = first + SKIP_GAP_MIN + parts.randomBelow(SKIP_GAP_MIN)
  }

  /** One packet of frames; length 0 when there was nothing to say. `frames` is null when nothing in
   * it obliges the peer to an ACK. */
  buildData(
    into: Target,
    wish: { nowMs: number; isProbe: boolean; mayData: boolean; mtuBytes: number },
  ): { length: number; frames: SentFrame[] | null } {
    const { nowMs, isProbe, mayData, mtuBytes } = wish
    this.#maybeSkip()
    const sizeBytes = isProbe ? Math.min(HELLO_BYTES_MIN, mtuBytes) : mtuBytes
    const writer = this.#writerFor(into.out, sizeBytes)
    const frames: SentFrame[] = []
    if (isProbe) writer.u8(FRAME.immediateAck) // who probes has waited long enough
    let told: SentFrame | null = null
    if (this.#acks.isDue(nowMs) || this.#acks.isWorthwhile) {
      const largest = this.#acks.largest
      if (this.#acks.write(nowMs, writer)) {
        told = { kind: FRAME.ack, id: 0, offset: largest - 64, lengthBytes: 0, fin: false }
      }
    }
    this.#control.write(writer, frames)
    if (mayData) this.#writeStreams(writer, frames)
    const eliciting = frames.length > 0 || isProbe
    if (writer.offset === HEADER_BYTES) return { length: 0, frames: null }
    if (eliciting && told) frames.push(told)
    const length = this.#wrap(into, writer.offset, nowMs)
    return { length, frames: eliciting ? frames : null }
  }

  #writerFor(out: Buffer, sizeBytes: number): FrameWriter {
    const writer = this.#writer
    ;(writer as { bytes: Buffer }).bytes = out
    writer.offset = HEADER_BYTES
    writer.end = sizeBytes - TAG_BYTES
    return writer
  }

  #writeStreams(writer: FrameWriter, frames: SentFrame[]): void {
    const streams = this.#streams
    const hadRoom = writer.roomBytes > STREAM_OVERHEAD_BYTES
    const before = frames.length
    streams.scheduler.beginPacket()
    streams.scheduler.visit((stream) => {
      const room = writer.roomBytes - STREAM_OVERHEAD_BYTES
      if (room < 1) return -1
      const credit = Math.max(0, streams.sendLimit - streams.sentBytes)
      const sentBefore = stream.nextOffset
      const piece = stream.take(Math.min(room, 65_535), credit)
      if (piece === null) {
        if (credit === 0) streams.noteConnectionBlocked()
        return stream.hasLost ? -1 : 0
      }
      streams.sentBytes += stream.nextOffset - sentBefore
      writer.u8(piece.fin ? FRAME.streamFin : FRAME.stream)
      writer.u32(stream.id)
      writer.u48(piece.offset)
      writer.u16(piece.lengthBytes)
      stream.copy(piece.offset, piece.lengthBytes, writer.bytes, writer.offset)
      writer.offset += piece.lengthBytes
      frames.push({ kind: FRAME.stream, id: stream.id, ...piece })
      streams.touch(stream)
      return piece.lengthBytes
    })
    streams.isStarved = hadRoom && frames.length === before
  }

  /** A number left out now and then shows up peers that acknowledge what they never saw. */
  #maybeSkip(): void {
    if (this.#recovery.nextPacketNumber < this.#nextSkip) return
    this.#recovery.skip()
    this.#skipGap = Math.min(this.#skipGap * 2, SKIP_GAP_MAX)
    this.#nextSkip =
      this.#recovery.nextPacketNumber + this.#skipGap + this.#randomBelow(this.#skipGap)
  }

  #wrap({ out, view }: Target, end: number, nowMs: number): number {
    const length = end + TAG_BYTES
    const [cidLow, cidHigh] = this.#ids.remoteCid
    const packetNumber = this.#recovery.nextPacketNumber
    writeHeader(view, {
      version: VERSION,
      type: PACKET.data,
      keyPhase: this.#keys.phaseBit,
      lengthBytes: length,
      cidLow,
      cidHigh,
      packetNumber,
    })
    this.#recovery.log?.packetSent(nowMs, out.subarray(0, length), end)
    this.#keys.seal(out, 0, end)
    view.setUint32(12, packetCrc(out, 0, length, this.crc), true)
    return length
  }

  buildClose(
    into: Target,
    close: { code: number; reason: string; application: boolean },
    nowMs: number,
  ): number {
    const writer = this.#writerFor(into.out, HELLO_BYTES_MIN)
    const reason = Buffer.from(close.reason).subarray(0, REASON_BYTES_MAX)
    writer.u8(close.application ? FRAME.closeApplication : FRAME.closeTransport)
    writer.varint(close.code)
    if (!close.application) writer.varint(0)
    writer.u16(reason.length)
    writer.raw(reason)
    return this.#wrap(into, writer.offset, nowMs)
  }
}
