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
import type { Recovery } from './recovery.ts'
import type { SendStream } from './send-stream.ts'
import type { SentFrame } from './sent-frame.ts'
import type { Streams } from './streams.ts'

const SKIP_GAP_MIN = 2 ** 8
const SKIP_GAP_MAX = 2 ** 17

/** Where packets go, one behind the other: the same bytes twice. */
export interface Target {
  readonly out: Buffer
  readonly view: DataView
  /** Where the next packet begins. */
  at: number
}

/** What a packet of frames may hold. */
export interface Wish {
  nowMs: number
  /** A tail probe: small, and never empty. */
  isProbe: boolean
  /** Window and pacer allow streams' bytes. */
  mayData: boolean
  sizeBytesMax: number
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
  /** Reused from packet to packet. */
  readonly #header = {
    version: VERSION,
    type: PACKET.data as number,
    keyPhase: 0,
    lengthBytes: 0,
    cidLow: 0,
    cidHigh: 0,
    packetNumber: 0,
  }
  /** Of the packet that was built last: null when nothing in it obliges the peer to an ACK. */
  frames: SentFrame[] | null = null
  /** … and whether it is larger than the path is known to take. */
  isMtuProbe = false
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

  /** One packet of frames at `into.at`; its length, 0 when there was nothing to say. */
  buildData(into: Target, { nowMs, isProbe, mayData, sizeBytesMax }: Wish): number {
    this.#maybeSkip()
    this.isMtuProbe = false
    const sizeBytes = isProbe ? Math.min(HELLO_BYTES_MIN, sizeBytesMax) : sizeBytesMax
    const writer = this.#writerFor(into, sizeBytes)
    const start = writer.offset
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
    if (mayData) this.#writeStreams(frames)
    const eliciting = frames.length > 0 || isProbe
    this.frames = null
    if (writer.offset === start) return 0
    if (eliciting) {
      if (told) frames.push(told)
      this.frames = frames
    }
    return this.#wrap(into, nowMs)
  }

  /** PING and PADDING: it proves that so large a datagram passes, and nothing is lost with it. */
  buildMtuProbe(into: Target, nowMs: number, sizeBytes: number): number {
    this.#maybeSkip()
    this.isMtuProbe = true
    const writer = this.#writerFor(into, sizeBytes)
    writer.u8(FRAME.ping)
    into.out.fill(FRAME.padding, writer.offset, writer.end)
    writer.offset = writer.end
    this.frames = [{ kind: FRAME.padding, id: 0, offset: sizeBytes, lengthBytes: 0, fin: false }]
    return this.#wrap(into, nowMs)
  }

  #writerFor({ out, at }: Target, sizeBytes: number): FrameWriter {
    const writer = this.#writer
    writer.bytes = out
    writer.offset = at + HEADER_BYTES
    writer.end = at + sizeBytes - TAG_BYTES
    return writer
  }

  #writeStreams(frames: SentFrame[]): void {
    const streams = this.#streams
    const hadRoom = this.#writer.roomBytes > STREAM_OVERHEAD_BYTES
    const before = frames.length
    this.#streamFrames = frames
    streams.scheduler.visit(this.#writeStream)
    streams.isStarved = hadRoom && frames.length === before
  }

  #streamFrames: SentFrame[] = []

  /** The scheduler's question to a stream; see Scheduler.visit for the answers. */
  readonly #writeStream = (stream: SendStream): number => {
    const streams = this.#streams
    const writer = this.#writer
    const room = writer.roomBytes - STREAM_OVERHEAD_BYTES
    if (room < 1) return -1
    const credit = streams.credit.roomFor(stream.urgency)
    const sentBefore = stream.nextOffset
    const piece = stream.take(Math.min(room, 65_535), credit)
    if (piece === null) {
      if (credit === 0) streams.credit.noteBlocked()
      return stream.hasLost ? -1 : 0
    }
    streams.credit.sentBytes += stream.nextOffset - sentBefore
    const { offset, lengthBytes, fin } = piece
    writer.streamHead(stream.id, offset, lengthBytes, fin)
    stream.copy(offset, lengthBytes, writer.bytes, writer.offset)
    writer.offset += lengthBytes
    this.#streamFrames.push({ kind: FRAME.stream, id: stream.id, offset, lengthBytes, fin })
    streams.touch(stream)
    return lengthBytes
  }

  /** A number left out now and then shows up peers that acknowledge what they never saw. */
  #maybeSkip(): void {
    if (this.#recovery.nextPacketNumber < this.#nextSkip) return
    this.#recovery.skip()
    this.#skipGap = Math.min(this.#skipGap * 2, SKIP_GAP_MAX)
    this.#nextSkip =
      this.#recovery.nextPacketNumber + this.#skipGap + this.#randomBelow(this.#skipGap)
  }

  /** Header, cipher and checksum around what was written. */
  #wrap({ out, view, at }: Target, nowMs: number): number {
    const plaintextEnd = this.#writer.offset
    const end = plaintextEnd + TAG_BYTES
    const header = this.#header
    header.keyPhase = this.#keys.phaseBit
    header.lengthBytes = end - at
    const { remoteCid } = this.#ids
    header.cidLow = remoteCid[0]
    header.cidHigh = remoteCid[1]
    header.packetNumber = this.#recovery.nextPacketNumber
    writeHeader(view, header, at)
    this.#recovery.log?.packetSent(nowMs, out.subarray(at, end), plaintextEnd - at)
    this.#keys.seal(out, at, plaintextEnd)
    view.setUint32(at + 12, packetCrc(out, at, end, this.crc), true)
    return end - at
  }

  buildClose(
    into: Target,
    close: { code: number; reason: string; application: boolean },
    nowMs: number,
  ): number {
    this.isMtuProbe = false
    const writer = this.#writerFor(into, HELLO_BYTES_MIN)
    const reason = Buffer.from(close.reason).subarray(0, REASON_BYTES_MAX)
    writer.u8(close.application ? FRAME.closeApplication : FRAME.closeTransport)
    writer.varint(close.code)
    if (!close.application) writer.varint(0)
    writer.u16(reason.length)
    writer.raw(reason)
    return this.#wrap(into, nowMs)
  }
}
