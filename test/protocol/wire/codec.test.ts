// test/protocol/wire/codec.test.ts — does any byte string have an answer, and the wire its bytes?
import { crc32 as zlibCrc32 } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RangeSet } from '../../../protocol/connection/ranges.ts'
import { ReceiveStream } from '../../../protocol/connection/receive-stream.ts'
import { SendStream } from '../../../protocol/connection/send-stream.ts'
import { crc32, packetCrc } from '../../../protocol/wire/crc.ts'
import {
  FrameReader,
  type FrameSink,
  FrameWriter,
  parseFrames,
} from '../../../protocol/wire/frames.ts'
import { type PacketHeader, readHeader, writeHeader } from '../../../protocol/wire/header.ts'
import { Random } from '../../sim/random.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`wire, replay with SEED=${seed}`)
const options = { seed, numRuns: 500 }

/** Notes the names of the frames that it is given. */
function recorder(): { sink: FrameSink; names: string[]; args: unknown[][] } {
  const names: string[] = []
  const args: unknown[][] = []
  const sink = new Proxy({} as FrameSink, {
    get:
      (_, name) =>
      (...given: unknown[]) => {
        names.push(String(name))
        args.push(given)
      },
  })
  return { sink, names, args }
}

test('the checksum is CRC-32 (ISO-HDLC), whichever of the two packages counts it', () => {
  assert.is(crc32(Buffer.from('123456789')), 0xcbf43926)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
      assert.is(crc32(a), zlibCrc32(a))
      assert.is(crc32(b, crc32(a)), zlibCrc32(Buffer.concat([a, b])))
    }),
    options,
  )
})

test('the checksum of long packets, anywhere in a buffer, is the one that zlib makes', () => {
  const random = new Random(seed, 'long')
  const bytes = Buffer.from(random.bytes(70_000))
  for (const length of [64, 65, 100, 1_472, 8_192, 65_507]) {
    for (let i = 0; i < 20; i += 1) {
      const at = random.below(bytes.length - length)
      const part = bytes.subarray(at, at + length)
      assert.is(crc32(part, i), zlibCrc32(part, i), `${length} bytes at ${at}`)
      const whole = Buffer.concat([part.subarray(0, 12), part.subarray(16)])
      assert.is(packetCrc(bytes, at, at + length, 'full'), zlibCrc32(whole))
    }
  }
})

test('a golden packet has its bytes: header, and a checksum over the header alone', () => {
  // key phase 0, dcid 0102030405060708, packet number 1, PING + STREAM|FIN{4, 0, "hello"}.
  const packet = Buffer.alloc(59)
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  const header = { version: 1, type: 3, keyPhase: 0, lengthBytes: 59, packetNumber: 1 }
  writeHeader(view, { ...header, cidLow: 0x04030201, cidHigh: 0x08070605 })
  const writer = new FrameWriter(packet)
  writer.offset = 24
  writer.u8(0x01)
  writer.u8(0x09)
  writer.u32(4)
  writer.u48(0)
  writer.u16(5)
  writer.raw(Buffer.from('hello'))
  assert.is(packet.toString('hex', 24, 43), '010904000000000000000000050068656c6c6f')
  assert.is(packet.toString('hex', 0, 12), '0b263b000102030405060708')
  assert.is(packet.toString('hex', 16, 24), '0000000000000001')
  assert.is(packetCrc(packet, 0, packet.length, 'header'), 0xeceeb15d)
})

test('headers come back as they were written, and rubbish is no header', () => {
  const out: PacketHeader = {
    version: 0,
    type: 0,
    keyPhase: 0,
    lengthBytes: 0,
    cidLow: 0,
    cidHigh: 0,
    crc: 0,
    packetNumber: 0,
  }
  fc.assert(
    fc.property(
      fc.record({
        type: fc.integer({ min: 0, max: 6 }),
        keyPhase: fc.integer({ min: 0, max: 1 }),
        lengthBytes: fc.integer({ min: 40, max: 200 }),
        cidLow: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        cidHigh: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        packetNumber: fc.maxSafeInteger().map((n) => Math.abs(n) % 2 ** 48),
      }),
      (fields) => {
        const view = new DataView(new ArrayBuffer(200))
        writeHeader(view, { version: 1, ...fields })
        assert.ok(readHeader(view, 0, 200, out))
        const { crc: _, ...found } = out
        assert.equal(found, { version: 1, ...fields })
        assert.not.ok(readHeader(view, 0, fields.lengthBytes - 1, out), 'a length past the end')
      },
    ),
    options,
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      readHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length, out)
    }),
    options,
  )
})

test('any bytes are frames or a defect, never a throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { sink } = recorder()
      const defect = parseFrames(Buffer.from(bytes), 0, bytes.length, sink)
      assert.ok(defect === null || defect.length > 3)
    }),
    { ...options, numRuns: 5_000 },
  )
})

test('frames that are cut off are a defect, wherever the cut is', () => {
  const bytes = Buffer.alloc(100)
  const writer = new FrameWriter(bytes)
  writer.u8(0x0a) // RESET_STREAM
  writer.u32(8)
  writer.varint(70_000)
  writer.u48(2 ** 40)
  const whole = recorder()
  assert.is(parseFrames(bytes, 0, writer.offset, whole.sink), null)
  assert.equal(whole.names, ['handleResetStream'])
  assert.equal(whole.args[0], [8, 70_000, 2 ** 40])
  for (let end = 1; end < writer.offset; end += 1) {
    const { sink, names } = recorder()
    assert.match(parseFrames(bytes, 0, end, sink) ?? '', /truncated/)
    assert.equal(names, [], 'half a frame changes nothing')
  }
})

test('varints take 1, 2 or 4 bytes, and the fourth prefix is an error', () => {
  for (const [value, bytes] of [
    [0, 1],
    [63, 1],
    [64, 2],
    [16_383, 2],
    [16_384, 4],
    [2 ** 30 - 1, 4],
  ]) {
    const buffer = Buffer.alloc(8)
    const writer = new FrameWriter(buffer)
    writer.varint(value ?? 0)
    assert.is(writer.offset, bytes)
    assert.is(new FrameReader(buffer, 0, 8).varint(), value)
  }
  const reader = new FrameReader(Buffer.from([0xc0, 0, 0, 0]), 0, 4)
  reader.varint()
  assert.ok(reader.failed)
})

test('a set of ranges holds what a plain set holds', () => {
  const steps = fc.array(
    fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 12 })),
    { maxLength: 40 },
  )
  fc.assert(
    fc.property(steps, (ops) => {
      const ranges = new RangeSet()
      const plain = new Set<number>()
      for (const [adds, start, length] of ops) {
        if (adds) ranges.add(start, start + length)
        else ranges.remove(start, start + length)
        for (let n = start; n < start + length; n += 1) {
          if (adds) plain.add(n)
          else plain.delete(n)
        }
      }
      for (let n = 0; n < 80; n += 1) assert.is(ranges.has(n), plain.has(n), `${n}`)
      for (let i = 1; i < ranges.count; i += 1) {
        assert.ok((ranges.starts[i] ?? 0) > (ranges.ends[i - 1] ?? 0), 'apart and in order')
      }
    }),
    options,
  )
})

test('pieces in any order, doubled and overlapping, become the stream that was sent', () => {
  const pieces = fc.array(
    fc.tuple(fc.integer({ min: 0, max: 199 }), fc.integer({ min: 1, max: 60 })),
    { maxLength: 60 },
  )
  const content = Buffer.from(Array.from({ length: 200 }, (_, i) => (i * 37) % 251))
  fc.assert(
    fc.property(pieces, (list) => {
      const stream = new ReceiveStream(0, 1_000)
      const all = [...list, [0, 100], [100, 100]] as [number, number][]
      const got: Uint8Array[] = []
      for (const [start, length] of all) {
        const end = Math.min(200, start + length)
        const bytes = Buffer.from(content.subarray(start, end))
        assert.is(stream.insert(start, bytes, 0, bytes.length, end === 200), 'ok')
        for (let part = stream.read(7); part; part = stream.read(7)) got.push(part)
      }
      assert.ok(Buffer.concat(got).equals(content))
      assert.ok(stream.isReadFinished)
    }),
    options,
  )
})

test('a final size that changes, or bytes behind it, are refused', () => {
  const stream = new ReceiveStream(0, 1_000)
  assert.is(stream.insert(0, Buffer.alloc(10), 0, 10, true), 'ok')
  assert.is(stream.insert(5, Buffer.alloc(10), 0, 10, false), 'final-size')
  assert.is(stream.insert(0, Buffer.alloc(5), 0, 5, true), 'final-size')
})

test('what is lost is sent again, whatever was acknowledged in between', () => {
  const fates = fc.array(fc.constantFrom('ack', 'lose', 'late'), { minLength: 5, maxLength: 60 })
  fc.assert(
    fc.property(fates, (list) => {
      const content = Buffer.from(Array.from({ length: 300 }, (_, i) => (i * 7) % 256))
      const stream = new SendStream(0, 2, 10_000)
      stream.write(content.subarray(0, 120))
      stream.write(content.subarray(120))
      stream.finished = true
      const received = Buffer.alloc(300)
      const late: { offset: number; lengthBytes: number; fin: boolean }[] = []
      let step = 0
      for (let tries = 0; tries < 1_000 && !stream.isAcknowledged; tries += 1) {
        const piece = stream.take(40, 10_000)
        if (piece === null) {
          for (const lost of late.splice(0))
            stream.handleLost(lost.offset, lost.lengthBytes, lost.fin)
          continue
        }
        stream.copy(piece.offset, piece.lengthBytes, received, piece.offset)
        const fate = list[step++ % list.length]
        const { offset, lengthBytes, fin } = piece
        if (fate === 'lose') stream.handleLost(offset, lengthBytes, fin)
        else if (fate === 'late') late.push(piece)
        if (fate === 'ack' || (fate === 'lose' && tries > 500)) {
          stream.handleAcked(offset, lengthBytes, fin)
        }
        if (fate === 'late' && tries > 500) stream.handleAcked(offset, lengthBytes, fin)
      }
      assert.ok(stream.isAcknowledged, 'it ends')
      assert.ok(received.equals(content))
      assert.is(stream.bufferedBytes, 0)
    }),
    options,
  )
})

test.run()
