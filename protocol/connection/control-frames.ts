// protocol/connection/control-frames.ts — which frames other than data and ACKs do we owe?
//
// Frames are not queued but flagged: each is written with the value of the moment it leaves, so a
// lost limit is repeated with the current one (RFC 9000 §13.3).
import { FRAME, type FrameWriter } from '../wire/frames.ts'
import type { AckFrequency } from './ack-frequency.ts'
import type { ConnectionIds } from './connection-ids.ts'
import type { Path } from './path.ts'
import type { SentFrame } from './sent-frame.ts'
import { BIDI, UNI } from './stream-ids.ts'
import type { Streams } from './streams.ts'

const PATH_RESPONSES_MAX = 4
const FRAME_BYTES_MAX = 16

export class ControlFrames {
  ping = false
  handshakeDone = false
  drain = false
  readonly #streams: Streams
  readonly #ids: ConnectionIds
  readonly #path: Path
  readonly #ackFrequency: AckFrequency
  #pathResponses: Uint8Array[] = []

  constructor(parts: {
    streams: Streams
    ids: ConnectionIds
    path: Path
    ackFrequency: AckFrequency
  }) {
    this.#streams = parts.streams
    this.#ids = parts.ids
    this.#path = parts.path
    this.#ackFrequency = parts.ackFrequency
  }

  queuePathResponse(data: Uint8Array): void {
    if (this.#pathResponses.length < PATH_RESPONSES_MAX) this.#pathResponses.push(data)
  }

  get isOwed(): boolean {
    const s = this.#streams
    return (
      this.ping ||
      this.handshakeDone ||
      this.drain ||
      this.#ackFrequency.isOwed ||
      s.window.isOwed ||
      s.credit.owedBlockedAt >= 0 ||
      s.windows.owed.size > 0 ||
      s.owedResets.size > 0 ||
      s.owedStops.size > 0 ||
      s.owedStreamBlocked.size > 0 ||
      s.ids.isOwed[BIDI] === true ||
      s.ids.isOwed[UNI] === true ||
      this.#pathResponses.length > 0 ||
      this.#path.owedChallenge !== null ||
      this.#ids.isOwed
    )
  }

  /** Writes what fits; the rest waits for the next packet. */
  write(writer: FrameWriter, frames: SentFrame[]): void {
    this.#writeConnection(writer, frames)
    this.#writeStreamFrames(writer, frames)
  }

  #writeConnection(writer: FrameWriter, frames: SentFrame[]): void {
    const s = this.#streams
    if (this.ping && fits(writer)) {
      this.ping = false
      writer.u8(FRAME.ping)
      frames.push(sent(FRAME.ping))
    }
    if (this.handshakeDone && fits(writer)) {
      this.handshakeDone = false
      writer.u8(FRAME.handshakeDone)
      frames.push(sent(FRAME.handshakeDone))
    }
    if (this.drain && fits(writer)) {
      this.drain = false
      writer.u8(FRAME.drain)
      writer.u32(s.ids.lastAccepted)
      frames.push(sent(FRAME.drain))
    }
    if (s.window.isOwed && fits(writer)) {
      s.window.isOwed = false
      writer.u8(FRAME.maxData)
      writer.u48(s.window.limit)
      frames.push(sent(FRAME.maxData))
    }
    const { credit } = s
    if (credit.owedBlockedAt >= 0 && fits(writer)) {
      if (credit.owedBlockedAt === credit.limit) {
        writer.u8(FRAME.dataBlocked)
        writer.u48(credit.limit)
        frames.push(sent(FRAME.dataBlocked, 0, credit.limit))
      }
      credit.owedBlockedAt = -1
    }
    if (this.#ackFrequency.isOwed && fits(writer)) this.#writeAckFrequency(writer, frames)
    for (const kind of [BIDI, UNI] as const) {
      if (!s.ids.isOwed[kind] || !fits(writer)) continue
      s.ids.isOwed[kind] = false
      writer.u8(FRAME.maxStreams)
      writer.u8(kind)
      writer.u32(s.ids.acceptMax(kind))
      frames.push(sent(FRAME.maxStreams, kind))
    }
    while (this.#pathResponses.length > 0 && fits(writer)) {
      writer.u8(FRAME.pathResponse)
      writer.raw(this.#pathResponses.shift() as Uint8Array)
      frames.push(sent(FRAME.pathResponse))
    }
    const challenge = this.#path.owedChallenge
    if (challenge && fits(writer)) {
      this.#path.owedChallenge = null // The path makes a new one when it stays unanswered.
      writer.u8(FRAME.pathChallenge)
      writer.raw(challenge)
      frames.push(sent(FRAME.pathChallenge))
    }
    this.#ids.write(writer, frames)
  }

  #writeAckFrequency(writer: FrameWriter, frames: SentFrame[]): void {
    const wish = this.#ackFrequency
    writer.u8(FRAME.ackFrequency)
    writer.varint(wish.sequence)
    writer.varint(wish.threshold)
    writer.varint(Math.round(wish.delayMs * 1000))
    writer.varint(wish.reorder)
    wish.handleSent()
    frames.push(sent(FRAME.ackFrequency, wish.sequence))
  }

  #writeStreamFrames(writer: FrameWriter, frames: SentFrame[]): void {
    const s = this.#streams
    for (const id of s.windows.owed) {
      if (!fits(writer)) return
      s.windows.owed.delete(id)
      const stream = s.receiving.get(id)
      if (!stream || stream.finalSize !== null || stream.stopped) continue
      writer.u8(FRAME.maxStreamData)
      writer.u32(id)
      writer.u48(stream.limit)
      frames.push(sent(FRAME.maxStreamData, id))
    }
    for (const id of s.owedResets) {
      if (!fits(writer)) return
      s.owedResets.delete(id)
      const stream = s.sending.get(id)
      if (!stream) continue
      writer.u8(FRAME.resetStream)
      writer.u32(id)
      writer.varint(stream.resetCode)
      writer.u48(stream.endOffset)
      frames.push(sent(FRAME.resetStream, id))
    }
    for (const [id, code] of s.owedStops) {
      if (!fits(writer)) return
      s.owedStops.delete(id)
      writer.u8(FRAME.stopSending)
      writer.u32(id)
      writer.varint(code)
      frames.push(sent(FRAME.stopSending, id, code))
    }
    for (const [id, limit] of s.owedStreamBlocked) {
      if (!fits(writer)) return
      s.owedStreamBlocked.delete(id)
      writer.u8(FRAME.streamDataBlocked)
      writer.u32(id)
      writer.u48(limit)
      frames.push(sent(FRAME.streamDataBlocked, id, limit))
    }
  }

  handleLost(frame: SentFrame): void {
    const s = this.#streams
    switch (frame.kind) {
      case FRAME.handshakeDone:
        this.handshakeDone = true
        return
      case FRAME.drain:
        this.drain = true
        return
      case FRAME.ackFrequency:
        this.#ackFrequency.handleLost(frame.id)
        return
      case FRAME.maxData:
        s.window.isOwed = true
        return
      case FRAME.dataBlocked:
        if (s.credit.isBlockedBy(frame.offset)) s.credit.owedBlockedAt = frame.offset
        return
      case FRAME.maxStreams:
        s.ids.isOwed[frame.id] = true
        return
      case FRAME.maxStreamData:
        s.windows.owed.add(frame.id)
        return
      case FRAME.resetStream:
        s.owedResets.add(frame.id)
        return
      case FRAME.stopSending:
        if (s.receiving.get(frame.id)?.finalSize === null) s.owedStops.set(frame.id, frame.offset)
        return
      case FRAME.streamDataBlocked:
        s.repeatStreamBlocked(frame.id, frame.offset)
        return
      default:
        this.#ids.handleLost(frame)
    }
  }
}

const fits = (writer: FrameWriter): boolean => writer.roomBytes >= FRAME_BYTES_MAX

const sent = (kind: number, id = 0, offset = 0): SentFrame => ({
  kind,
  id,
  offset,
  lengthBytes: 0,
  fin: false,
})
