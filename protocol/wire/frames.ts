// protocol/wire/frames.ts — which frames exist, and what are their bytes?
//
// Integers are little-endian: u16, u32, u48, or a varint `v` of 1, 2 or 4 bytes whose first two
// bits are the length (00, 01, 10; 11 is an error) and whose other bits are big-endian.

export const FRAME = {
  padding: 0x00,
  ping: 0x01,
  ack: 0x02,
  ackFrequency: 0x03,
  immediateAck: 0x04,
  stream: 0x08,
  streamFin: 0x09,
  resetStream: 0x0a,
  stopSending: 0x0b,
  maxData: 0x10,
  maxStreamData: 0x11,
  maxStreams: 0x12,
  dataBlocked: 0x13,
  streamDataBlocked: 0x14,
  streamsBlocked: 0x15,
  pathChallenge: 0x18,
  pathResponse: 0x19,
  newCid: 0x1a,
  retireCid: 0x1b,
  closeTransport: 0x1c,
  closeApplication: 0x1d,
  handshakeDone: 0x1e,
  datagram: 0x20,
  drain: 0x21,
  streamPriority: 0x22,
} as const

/** STREAM: type, id u32, offset u48, length u16. */
export const STREAM_OVERHEAD_BYTES = 13
export const VARINT_MAX = 2 ** 30 - 1
/** What stands on the wire for "no code was given", or none that a varint holds. */
export const CODE_UNSPECIFIED = 1
/** Stream ids are u32, and two of their bits are taken. */
export const STREAMS_MAX = 2 ** 30
export const ACK_RANGES_MAX = 128
export const REASON_BYTES_MAX = 512
const U48 = 6

/** Called once per frame, in order. Positions point into the parsed bytes. */
export interface FrameSink {
  handlePing(): void
  /** `ranges` holds [low, high] pairs, highest first, `count` of them; reused between calls. */
  handleAck(ranges: Float64Array, count: number, delayUs: number): void
  handleAckFrequency(sequence: number, threshold: number, delayUsMax: number, reorder: number): void
  handleImmediateAck(): void
  handleStream(id: number, offset: number, start: number, end: number, fin: boolean): void
  handleResetStream(id: number, code: number, finalSize: number): void
  handleStopSending(id: number, code: number): void
  handleMaxData(limit: number): void
  handleMaxStreamData(id: number, limit: number): void
  handleMaxStreams(uni: boolean, limit: number): void
  handleDataBlocked(limit: number): void
  handleStreamDataBlocked(id: number, limit: number): void
  handleStreamsBlocked(uni: boolean, limit: number): void
  /** 8 bytes at `start`. */
  handlePathChallenge(start: number): void
  handlePathResponse(start: number): void
  /** 8 bytes of CID at `start`, then 16 of reset token. */
  handleNewCid(sequence: number, retirePrior: number, start: number): void
  handleRetireCid(sequence: number): void
  handleClose(application: boolean, code: number, reason: string): void
  handleHandshakeDone(): void
  handleDrain(lastPeerStream: number): void
  handleStreamPriority(id: number, urgency: number): void
}

const ranges = new Float64Array(2 * ACK_RANGES_MAX)

/** Hands every frame of bytes[start, end) to the sink. Null, or what is wrong with the first bad
 * frame (those before it were handed over). Never throws by itself. */
export function parseFrames(
  bytes: Buffer,
  start: number,
  end: number,
  sink: FrameSink,
): string | null {
  reader.begin(bytes, start, end)
  while (reader.offset < end) {
    const type = bytes[reader.offset++] as number
    const defect = parseFrame(reader, type, sink)
    if (defect !== null) return defect
  }
  return null
}

function parseFrame(reader: FrameReader, type: number, sink: FrameSink): string | null {
  switch (type) {
    case FRAME.padding:
      return null
    case FRAME.ping:
      sink.handlePing()
      return null
    case FRAME.ack:
      return parseAck(reader, sink)
    case FRAME.stream:
    case FRAME.streamFin:
      return parseStream(reader, type === FRAME.streamFin, sink)
    default:
      return parseCold(reader, type, sink)
  }
}

function parseAck(reader: FrameReader, sink: FrameSink): string | null {
  const largest = reader.u48()
  const delayUs = reader.u32()
  const count = reader.u8()
  if (reader.failed) return 'ACK: truncated'
  if (count === 0 || count > ACK_RANGES_MAX) return `ACK: ${count} ranges`
  let high = largest
  for (let index = 0; index < count; index += 1) {
    if (index > 0) high -= reader.varint() + 2
    const low = high - reader.varint()
    if (reader.failed) return 'ACK: truncated'
    if (low < 0) return 'ACK: below zero'
    ranges[2 * index] = low
    ranges[2 * index + 1] = high
    high = low
  }
  sink.handleAck(ranges, count, delayUs)
  return null
}

function parseStream(reader: FrameReader, fin: boolean, sink: FrameSink): string | null {
  const id = reader.u32()
  const offset = reader.u48()
  const length = reader.u16()
  const start = reader.skip(length)
  if (reader.failed) return 'STREAM: truncated'
  sink.handleStream(id, offset, start, start + length, fin)
  return null
}

/** The frames that are rare enough not to be unrolled. */
function parseCold(reader: FrameReader, type: number, sink: FrameSink): string | null {
  const act = readCold(reader, type, sink)
  if (act === null) return `unknown frame type 0x${type.toString(16)}`
  if (reader.failed) return `frame 0x${type.toString(16)}: truncated`
  act()
  return null
}

function readCold(r: FrameReader, type: number, sink: FrameSink): (() => void) | null {
  switch (type) {
    case FRAME.ackFrequency: {
      const [sequence, threshold, delay, reorder] = [r.varint(), r.varint(), r.varint(), r.varint()]
      return () => sink.handleAckFrequency(sequence, threshold, delay, reorder)
    }
    case FRAME.immediateAck:
      return () => sink.handleImmediateAck()
    case FRAME.resetStream: {
      const [id, code, finalSize] = [r.u32(), r.varint(), r.u48()]
      return () => sink.handleResetStream(id, code, finalSize)
    }
    case FRAME.stopSending: {
      const [id, code] = [r.u32(), r.varint()]
      return () => sink.handleStopSending(id, code)
    }
    case FRAME.maxData: {
      const limit = r.u48()
      return () => sink.handleMaxData(limit)
    }
    case FRAME.maxStreamData: {
      const [id, limit] = [r.u32(), r.u48()]
      return () => sink.handleMaxStreamData(id, limit)
    }
    case FRAME.maxStreams: {
      const [direction, limit] = [r.u8(), r.u32()]
      if (limit > STREAMS_MAX) r.failed = true
      return () => sink.handleMaxStreams(direction === 1, limit)
    }
    case FRAME.dataBlocked: {
      const limit = r.u48()
      return () => sink.handleDataBlocked(limit)
    }
    case FRAME.streamDataBlocked: {
      const [id, limit] = [r.u32(), r.u48()]
      return () => sink.handleStreamDataBlocked(id, limit)
    }
    case FRAME.streamsBlocked: {
      const [direction, limit] = [r.u8(), r.u32()]
      return () => sink.handleStreamsBlocked(direction === 1, limit)
    }
    case FRAME.pathChallenge: {
      const start = r.skip(8)
      return () => sink.handlePathChallenge(start)
    }
    case FRAME.pathResponse: {
      const start = r.skip(8)
      return () => sink.handlePathResponse(start)
    }
    case FRAME.newCid: {
      const [sequence, retirePrior, start] = [r.varint(), r.varint(), r.skip(24)]
      return () => sink.handleNewCid(sequence, retirePrior, start)
    }
    case FRAME.retireCid: {
      const sequence = r.varint()
      return () => sink.handleRetireCid(sequence)
    }
    case FRAME.closeTransport:
    case FRAME.closeApplication: {
      const code = r.varint()
      if (type === FRAME.closeTransport) r.varint()
      const length = r.u16()
      if (length > REASON_BYTES_MAX) r.failed = true
      const reason = r.text(length)
      return () => sink.handleClose(type === FRAME.closeApplication, code, reason)
    }
    case FRAME.handshakeDone:
      return () => sink.handleHandshakeDone()
    case FRAME.datagram:
      r.skip(r.u16())
      return () => undefined
    case FRAME.drain: {
      const last = r.u32()
      return () => sink.handleDrain(last)
    }
    case FRAME.streamPriority: {
      const [id, urgency] = [r.u32(), r.u8()]
      r.u8()
      return () => sink.handleStreamPriority(id, urgency)
    }
    default:
      return null
  }
}

/** Reads fields; past the end it yields zeros and sets `failed`, so callers check once. */
export class FrameReader {
  bytes: Buffer
  offset: number
  end: number
  failed = false
  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes
    this.offset = start
    this.end = end
  }

  /** The same reader for other bytes. */
  begin(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.offset = start
    this.end = end
    this.failed = false
  }

  /** Where `length` bytes begin, after stepping over them. */
  skip(length: number): number {
    const start = this.offset
    if (start + length > this.end) {
      this.failed = true
      this.offset = this.end
      return start
    }
    this.offset = start + length
    return start
  }

  u8(): number {
    const at = this.skip(1)
    return this.failed ? 0 : (this.bytes[at] as number)
  }

  u16(): number {
    const at = this.skip(2)
    return this.failed ? 0 : this.bytes.readUInt16LE(at)
  }

  u32(): number {
    const at = this.skip(4)
    return this.failed ? 0 : this.bytes.readUInt32LE(at)
  }

  u48(): number {
    const at = this.skip(U48)
    return this.failed ? 0 : this.bytes.readUIntLE(at, U48)
  }

  varint(): number {
    const first = this.u8()
    const prefix = first >> 6
    if (prefix === 0) return first
    if (prefix === 1) return ((first & 0x3f) << 8) | this.u8()
    if (prefix === 3) {
      this.failed = true
      return 0
    }
    const at = this.skip(3)
    if (this.failed) return 0
    return (first & 0x3f) * 2 ** 24 + this.bytes.readUIntBE(at, 3)
  }

  text(length: number): string {
    const at = this.skip(length)
    return this.failed ? '' : this.bytes.toString('utf8', at, at + length)
  }
}

/** One for all: sinks do not parse frames themselves. */
const reader = new FrameReader(Buffer.alloc(0), 0, 0)

/** Writes fields; callers make sure first that they fit. */
export class FrameWriter {
  bytes: Buffer
  offset = 0
  end = 0
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get roomBytes(): number {
    return this.end - this.offset
  }

  u8(value: number): void {
    this.bytes[this.offset++] = value
  }

  u16(value: number): void {
    this.offset = this.bytes.writeUInt16LE(value, this.offset)
  }

  u32(value: number): void {
    this.offset = this.bytes.writeUInt32LE(value, this.offset)
  }

  u48(value: number): void {
    this.offset = this.bytes.writeUIntLE(value, this.offset, U48)
  }

  varint(value: number): void {
    if (value < 2 ** 6) this.u8(value)
    else if (value < 2 ** 14) this.offset = this.bytes.writeUInt16BE(0x4000 | value, this.offset)
    else this.offset = this.bytes.writeUInt32BE(0x80000000 + value, this.offset)
  }

  /** All of a STREAM frame but its bytes. */
  streamHead(id: number, offset: number, lengthBytes: number, fin: boolean): void {
    this.u8(fin ? FRAME.streamFin : FRAME.stream)
    this.u32(id)
    this.u48(offset)
    this.u16(lengthBytes)
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.offset)
    this.offset += bytes.length
  }
}

export const isCode = (code: number): boolean =>
  Number.isInteger(code) && code >= 0 && code <= VARINT_MAX

export const varintBytes = (value: number): number => (value < 2 ** 6 ? 1 : value < 2 ** 14 ? 2 : 4)
