// test/fuzz/targets/frames.ts — do frames and headers say the same after being written again?
import * as assert from 'node:assert/strict'
import { AckState } from '../../../protocol/connection/ack-state.ts'
import {
  FRAME,
  type FrameSink,
  FrameWriter,
  parseFrames,
  VARINT_MAX,
} from '../../../protocol/wire/frames.ts'
import { type PacketHeader, readHeader, writeHeader } from '../../../protocol/wire/header.ts'
import { Choices, coarse, type Target } from '../target.ts'

const WRITTEN_BYTES_MAX = 2 ** 16
const SIZE_BYTES_MAX = 1_500

type Call = readonly [name: keyof FrameSink, ...values: unknown[]]

/** What the parser handed over, ranges and byte positions resolved. */
function parse(bytes: Buffer): { calls: Call[]; defect: string | null } {
  const calls: Call[] = []
  const at = (start: number, lengthBytes: number) =>
    bytes.toString('latin1', start, start + lengthBytes)
  const sink = new Proxy({} as FrameSink, {
    get:
      (_, name: keyof FrameSink) =>
      (...values: number[]): void => {
        const [a = 0, b = 0, c = 0, d = 0] = values
        if (name === 'handleAck') {
          const ranges = [...(values[0] as unknown as Float64Array)].slice(0, 2 * b)
          calls.push([name, ranges, c])
        } else if (name === 'handleStream') calls.push([name, a, b, at(c, d - c), values[4]])
        else if (name === 'handlePathChallenge') calls.push([name, at(a, 8)])
        else if (name === 'handlePathResponse') calls.push([name, at(a, 8)])
        else if (name === 'handleNewCid') calls.push([name, a, b, at(c, 24)])
        else calls.push([name, ...values])
      },
  })
  return { defect: parseFrames(bytes, 0, bytes.length, sink), calls }
}

/** How each field is written; `t` is the type byte and what the sink does not tell is 0. */
const FIELDS: Partial<Record<keyof FrameSink, readonly [type: number, fields: string]>> = {
  handlePing: [FRAME.ping, ''],
  handleAckFrequency: [FRAME.ackFrequency, 'vvvv'],
  handleImmediateAck: [FRAME.immediateAck, ''],
  handleResetStream: [FRAME.resetStream, '4v6'],
  handleStopSending: [FRAME.stopSending, '4v'],
  handleMaxData: [FRAME.maxData, '6'],
  handleMaxStreamData: [FRAME.maxStreamData, '46'],
  handleMaxStreams: [FRAME.maxStreams, '14'],
  handleDataBlocked: [FRAME.dataBlocked, '6'],
  handleStreamDataBlocked: [FRAME.streamDataBlocked, '46'],
  handleStreamsBlocked: [FRAME.streamsBlocked, '14'],
  handlePathChallenge: [FRAME.pathChallenge, 's'],
  handlePathResponse: [FRAME.pathResponse, 's'],
  handleNewCid: [FRAME.newCid, 'vvs'],
  handleRetireCid: [FRAME.retireCid, 'v'],
  handleHandshakeDone: [FRAME.handshakeDone, ''],
  handleDrain: [FRAME.drain, '4'],
  handleStreamPriority: [FRAME.streamPriority, '41'],
}

function write(writer: FrameWriter, [name, ...values]: Call): void {
  const known = FIELDS[name]
  if (known) writeFields(writer, known, values)
  else if (name === 'handleAck') writeAck(writer, values[0] as number[], values[1] as number)
  else if (name === 'handleStream') {
    const [id, offset, text, fin] = values as [number, number, string, boolean]
    writer.u8(fin ? FRAME.streamFin : FRAME.stream)
    writer.u32(id)
    writer.u48(offset)
    writer.u16(text.length)
    writer.raw(Buffer.from(text, 'latin1'))
  } else {
    const [isApplication, code, reason] = values as [boolean, number, string]
    writer.u8(isApplication ? FRAME.closeApplication : FRAME.closeTransport)
    writer.varint(code)
    if (!isApplication) writer.varint(0)
    const bytes = Buffer.from(reason).subarray(0, 512)
    writer.u16(bytes.length)
    writer.raw(bytes)
  }
}

function writeFields(
  writer: FrameWriter,
  [type, fields]: readonly [number, string],
  values: readonly unknown[],
): void {
  writer.u8(type)
  for (const [index, field] of [...fields].entries()) {
    const value = values[index]
    if (field === 's') writer.raw(Buffer.from(String(value), 'latin1'))
    else if (field === 'v') writer.varint(Number(value))
    else if (field === '1') writer.u8(Number(value))
    else if (field === '4') writer.u32(Number(value))
    else writer.u48(Number(value))
  }
  if (type === FRAME.streamPriority) writer.u8(0)
}

function writeAck(writer: FrameWriter, ranges: readonly number[], delayUs: number): void {
  writer.u8(FRAME.ack)
  writer.u48(ranges[1]!)
  writer.u32(delayUs)
  writer.u8(ranges.length / 2)
  for (let i = 0; i < ranges.length; i += 2) {
    const [low = 0, high = 0] = ranges.slice(i)
    if (i > 0) writer.varint(ranges[i - 2]! - high - 2)
    writer.varint(high - low)
  }
}

/** A reason that is not UTF-8 comes back with replacement characters: only its length may differ. */
const isSteady = ([name, ...values]: Call): boolean =>
  name !== 'handleClose' || !String(values[2]).includes('\ufffd')

const frames: Target = {
  name: 'frames',
  sizeBytesMax: SIZE_BYTES_MAX,
  seeds: () => [everyFrame(), Buffer.alloc(3), Buffer.from([FRAME.datagram, 2, 0, 7, 7])],
  run(input) {
    const { calls, defect } = parse(input)
    if (calls.every(isSteady)) {
      const writer = new FrameWriter(Buffer.alloc(WRITTEN_BYTES_MAX))
      for (const call of calls) write(writer, call)
      const again = parse(writer.bytes.subarray(0, writer.offset))
      assert.equal(again.defect, null)
      assert.deepEqual(again.calls, calls)
    }
    return `${coarse(defect ?? 'ok').replace(/ #x.*/, '')} ${calls.at(-1)?.[0]}`
  },
}

/** One frame of each kind. */
export function everyFrame(): Buffer {
  const writer = new FrameWriter(Buffer.alloc(WRITTEN_BYTES_MAX))
  write(writer, ['handleAck', [70, 90, 3, 60], 1_000])
  for (const name of Object.keys(FIELDS) as (keyof FrameSink)[]) {
    const text = 'x'.repeat(name === 'handleNewCid' ? 24 : 8)
    const [, fields] = FIELDS[name]!
    write(writer, [name, ...[...fields].map((field) => (field === 's' ? text : 4))])
  }
  write(writer, ['handleStream', 0, 0, 'hello', true])
  write(writer, ['handleClose', true, 1, 'enough'])
  write(writer, ['handleClose', false, VARINT_MAX, ''])
  return writer.bytes.subarray(0, writer.offset)
}

const blankHeader = (): PacketHeader => ({
  version: 0,
  type: 0,
  keyPhase: 0,
  lengthBytes: 0,
  cidLow: 0,
  cidHigh: 0,
  crc: 0,
  packetNumber: 0,
})

const header: Target = {
  name: 'header',
  sizeBytesMax: 200,
  seeds: () => [Buffer.from(`0b263b000102030405060708eb4a1a91${'00'.repeat(43)}`, 'hex')],
  run(input) {
    const out = blankHeader()
    const view = new DataView(input.buffer, input.byteOffset, input.length)
    if (!readHeader(view, 0, input.length, out)) return 'no header'
    const again = Buffer.from(input)
    const { crc, ...fields } = out
    writeHeader(new DataView(again.buffer, again.byteOffset, again.length), fields)
    again.writeUInt32LE(crc, 12)
    assert.ok(again.equals(input))
    return `header ${out.type}`
  },
}

/** Numbers noted as received, against what the ACK then says. */
const acks: Target = {
  name: 'acks',
  sizeBytesMax: 600,
  seeds: () => [Buffer.from([1, 1, 1, 5, 1, 200, 3]), Buffer.alloc(300, 2)],
  run(input) {
    const state = new AckState()
    const received = new Set<number>()
    const choices = new Choices(input)
    let number = 1_000
    while (!choices.isOver) {
      const step = choices.u8()
      number = Math.max(0, step < 200 ? number + step : number - (step - 199))
      if (state.isDuplicate(number)) continue // as the connection does
      received.add(number)
      state.handlePacket(0, number, true, 100)
    }
    const writer = new FrameWriter(Buffer.alloc(1_500))
    writer.end = 40 + (input[0] ?? 0) * 4
    if (!state.write(1, writer)) return 'nothing'
    assert.ok(writer.offset <= writer.end)
    const { calls, defect } = parse(writer.bytes.subarray(0, writer.offset))
    assert.equal(defect, null)
    const ranges = calls[0]![1] as number[]
    for (let i = 0; i < ranges.length; i += 2) {
      for (let n = ranges[i]!; n <= ranges[i + 1]!; n += 1) assert.ok(received.has(n), `${n}`)
    }
    assert.equal(ranges[1], Math.max(...received))
    return `${Math.ceil(Math.log2(ranges.length))} of ${Math.ceil(Math.log2(received.size + 1))}`
  },
}

export const frameTargets: readonly Target[] = [frames, header, acks]
