// protocol/qlog/frames.ts — what are the frames of a packet called in qlog's words?
//
// A reader of its own: the log shows all that is on the wire, also what the connection ignores. It
// leaves out what would help an attacker: reset tokens and stream content.
import { ACK_RANGES_MAX, FRAME, FrameReader } from '../wire/frames.ts'

/** In field names of qlog 0.3's QUIC events. Frames that QUIC does not have are `unknown`, with
 * our name beside. */
export interface QlogFrame {
  frame_type: string
  [field: string]: unknown
}

type Read = (reader: FrameReader) => QlogFrame

const directionOf = (word: number): string => (word === 1 ? 'unidirectional' : 'bidirectional')
const named = (frame_type: string): Read => {
  return () => ({ frame_type })
}
const ours = (type: number, name: string, fields: object = {}): QlogFrame => ({
  frame_type: 'unknown',
  raw_frame_type: type,
  name,
  ...fields,
})

const READERS: Readonly<Record<number, Read>> = {
  [FRAME.ping]: named('ping'),
  [FRAME.ack]: readAck,
  [FRAME.ackFrequency]: (r) =>
    ours(FRAME.ackFrequency, 'ack_frequency', {
      sequence_number: r.varint(),
      ack_eliciting_threshold: r.varint(),
      request_max_ack_delay: r.varint() / 1000,
      reordering_threshold: r.varint(),
    }),
  [FRAME.immediateAck]: () => ours(FRAME.immediateAck, 'immediate_ack'),
  [FRAME.stream]: (r) => readStream(r, false),
  [FRAME.streamFin]: (r) => readStream(r, true),
  [FRAME.resetStream]: (r) => ({
    frame_type: 'reset_stream',
    stream_id: r.u32(),
    error_code: r.varint(),
    final_size: r.u48(),
  }),
  [FRAME.stopSending]: (r) => ({
    frame_type: 'stop_sending',
    stream_id: r.u32(),
    error_code: r.varint(),
  }),
  [FRAME.maxData]: (r) => ({ frame_type: 'max_data', maximum: r.u48() }),
  [FRAME.maxStreamData]: (r) => ({
    frame_type: 'max_stream_data',
    stream_id: r.u32(),
    maximum: r.u48(),
  }),
  [FRAME.maxStreams]: (r) => ({
    frame_type: 'max_streams',
    stream_type: directionOf(r.u8()),
    maximum: r.u32(),
  }),
  [FRAME.dataBlocked]: (r) => ({ frame_type: 'data_blocked', limit: r.u48() }),
  [FRAME.streamDataBlocked]: (r) => ({
    frame_type: 'stream_data_blocked',
    stream_id: r.u32(),
    limit: r.u48(),
  }),
  [FRAME.streamsBlocked]: (r) => ({
    frame_type: 'streams_blocked',
    stream_type: directionOf(r.u8()),
    limit: r.u32(),
  }),
  [FRAME.pathChallenge]: (r) => ({ frame_type: 'path_challenge', data: hex(r, 8) }),
  [FRAME.pathResponse]: (r) => ({ frame_type: 'path_response', data: hex(r, 8) }),
  [FRAME.newCid]: (r) => {
    const [sequence_number, retire_prior_to] = [r.varint(), r.varint()]
    const connection_id = hex(r, 8)
    r.skip(16)
    return { frame_type: 'new_connection_id', sequence_number, retire_prior_to, connection_id }
  },
  [FRAME.retireCid]: (r) => ({ frame_type: 'retire_connection_id', sequence_number: r.varint() }),
  [FRAME.closeTransport]: (r) => readClose(r, 'transport'),
  [FRAME.closeApplication]: (r) => readClose(r, 'application'),
  [FRAME.handshakeDone]: named('handshake_done'),
  [FRAME.datagram]: (r) => {
    const length = r.u16()
    r.skip(length)
    return { frame_type: 'datagram', length }
  },
  [FRAME.drain]: (r) => ours(FRAME.drain, 'drain', { last_peer_stream: r.u32() }),
  [FRAME.streamPriority]: (r) =>
    ours(FRAME.streamPriority, 'stream_priority', {
      stream_id: r.u32(),
      urgency: r.u8(),
      incremental: r.u8() === 1,
    }),
}

/** The frames of bytes[start, end). After one that cannot be read nothing more is known; it is the
 * last, with `details`. Never throws. */
export function describeFrames(bytes: Buffer, start: number, end: number): QlogFrame[] {
  const reader = new FrameReader(bytes, start, end)
  const frames: QlogFrame[] = []
  while (reader.offset < end) {
    const type = bytes[reader.offset++] as number
    if (type === FRAME.padding) {
      frames.push(readPadding(reader))
      continue
    }
    const frame = READERS[type]?.(reader)
    if (frame && !reader.failed) {
      frames.push(frame)
      continue
    }
    const details = frame ? 'truncated' : 'no such frame type'
    frames.push({ frame_type: 'unknown', raw_frame_type: type, details })
    break
  }
  return frames
}

/** A run of padding is one entry. */
function readPadding(reader: FrameReader): QlogFrame {
  let length = 1
  while (reader.offset < reader.end && reader.bytes[reader.offset] === FRAME.padding) {
    reader.offset += 1
    length += 1
  }
  return { frame_type: 'padding', length }
}

/** `acked_ranges` holds [lowest, highest], both included; the newest range first. */
function readAck(reader: FrameReader): QlogFrame {
  const largest = reader.u48()
  const ack_delay = reader.u32() / 1000
  const count = Math.min(reader.u8(), ACK_RANGES_MAX)
  const acked_ranges: [number, number][] = []
  let high = largest
  for (let index = 0; index < count && !reader.failed; index += 1) {
    if (index > 0) high -= reader.varint() + 2
    const low = high - reader.varint()
    acked_ranges.push([low, high])
    high = low
  }
  return { frame_type: 'ack', ack_delay, acked_ranges }
}

function readStream(reader: FrameReader, fin: boolean): QlogFrame {
  const stream_id = reader.u32()
  const offset = reader.u48()
  const length = reader.u16()
  reader.skip(length)
  return { frame_type: 'stream', stream_id, offset, length, ...(fin && { fin }) }
}

function readClose(reader: FrameReader, error_space: 'transport' | 'application'): QlogFrame {
  const code = reader.varint()
  const trigger = error_space === 'transport' ? { trigger_frame_type: reader.varint() } : {}
  const reason = reader.text(reader.u16())
  const codes = { error_code: code, raw_error_code: code }
  return { frame_type: 'connection_close', error_space, ...codes, reason, ...trigger }
}

function hex(reader: FrameReader, length: number): string {
  const at = reader.skip(length)
  return reader.bytes.toString('hex', at, at + length)
}
