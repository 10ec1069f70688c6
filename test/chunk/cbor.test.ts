// test/chunk/cbor.test.ts — has every value one spelling, and is every other one refused?
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CborReader, CborWriter, encodeCbor } from '../../src/chunk/cbor.ts'
import { isHoldfastError } from '../../src/errors.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`chunk: canonical CBOR, replay with SEED=${seed}`)

// RFC 8949, appendix A.
const INTEGERS: readonly [number | bigint, string][] = [
  [0, '00'],
  [1, '01'],
  [10, '0a'],
  [23, '17'],
  [24, '1818'],
  [25, '1819'],
  [100, '1864'],
  [1000, '1903e8'],
  [1_000_000, '1a000f4240'],
  [1_000_000_000_000, '1b000000e8d4a51000'],
  [18_446_744_073_709_551_615n, '1bffffffffffffffff'],
  [-1, '20'],
  [-10, '29'],
  [-100, '3863'],
  [-1000, '3903e7'],
]

test('integers, bytes, text and arrays are spelled as in RFC 8949, appendix A', () => {
  for (const [value, hex] of INTEGERS) {
    const writer = new CborWriter()
    writer.int(value)
    assert.is(writer.take().toString('hex'), hex)
    const again = new CborWriter()
    again.int(BigInt(value))
    assert.is(again.take().toString('hex'), hex, 'a bigint is spelled like the number')
  }
  assert.is(encodeCbor(Buffer.from('01020304', 'hex')).toString('hex'), '4401020304')
  assert.is(encodeCbor('').toString('hex'), '60')
  assert.is(encodeCbor('IETF').toString('hex'), '6449455446')
  assert.is(encodeCbor('\u6c34').toString('hex'), '63e6b0b4')
  assert.is(encodeCbor([]).toString('hex'), '80')
})

test('another spelling of the same value is CORRUPT', () => {
  const refused: [string, (reader: CborReader) => unknown][] = [
    ['1817', (reader) => reader.uint(1000, 'n')], // 23 in two bytes
    ['190018', (reader) => reader.uint(1000, 'n')],
    ['1a000000ff', (reader) => reader.uint(1000, 'n')],
    ['1b00000000000000ff', (reader) => reader.uint64('n')],
    ['1b00000000ffffffff', (reader) => reader.uint64('n')],
    ['3800', (reader) => reader.int64('n')],
    ['5803010203', (reader) => reader.bytes(0, 9, 'b')],
    ['5f4101ff', (reader) => reader.bytes(0, 9, 'b')], // indefinite
    ['9f01ff', (reader) => reader.array(0, 9, 'a')],
    ['f90000', (reader) => reader.uint(9, 'n')], // a float
    ['c100', (reader) => reader.uint(9, 'n')], // a tag
    ['61ff', (reader) => reader.text(0, 9, 't')], // no UTF-8
    ['63eda080', (reader) => reader.text(0, 9, 't')], // half a surrogate pair
    ['3b8000000000000000', (reader) => reader.int64('n')], // under -2^63
    ['1b8000000000000000', (reader) => reader.int64('n')],
    ['1b0020000000000000', (reader) => reader.uint(Number.MAX_SAFE_INTEGER, 'n')],
    ['4401', (reader) => reader.bytes(0, 9, 'b')],
    ['5bffffffffffffffff', (reader) => reader.bytes(0, 9, 'b')],
    ['', (reader) => reader.uint(9, 'n')],
    ['19', (reader) => reader.uint(1000, 'n')],
  ]
  for (const [hex, read] of refused) {
    const code = codeOf(() => read(new CborReader(Buffer.from(hex, 'hex'), 'test')))
    assert.is(code, 'CORRUPT', `${hex}: ${code}`)
  }
  const trailing = new CborReader(Buffer.from('0000', 'hex'), 'test')
  trailing.uint(9, 'n')
  assert.is(
    codeOf(() => trailing.end()),
    'CORRUPT',
  )
})

test('what was written comes back, and again gives the same bytes', () => {
  const value = fc.record({
    int: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    uint: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    bytes: fc.uint8Array({ maxLength: 300 }),
    text: fc.string({ unit: 'grapheme', maxLength: 60 }),
  })
  const write = ({ int, uint, bytes, text }: Fields): Buffer => {
    const writer = new CborWriter(1)
    writer.int(int)
    writer.int(uint)
    writer.bytes(bytes)
    writer.text(text)
    return writer.take()
  }
  fc.assert(
    fc.property(value, (fields) => {
      const encoded = write(fields)
      const reader = new CborReader(encoded, 'test')
      const back = {
        int: reader.int64('int'),
        uint: reader.uint64('uint'),
        bytes: new Uint8Array(reader.bytes(0, 300, 'bytes')),
        text: reader.text(0, 600, 'text'),
      }
      reader.end()
      assert.equal(back, { ...fields, bytes: new Uint8Array(fields.bytes) })
      assert.ok(write(back).equals(encoded))
    }),
    { seed },
  )
})

test('whatever the bytes, a reader answers with a value or with CORRUPT', () => {
  const calls: ((reader: CborReader) => unknown)[] = [
    (reader) => reader.uint(Number.MAX_SAFE_INTEGER, 'n'),
    (reader) => reader.uint64('n'),
    (reader) => reader.int64('n'),
    (reader) => reader.bytes(0, 100, 'b'),
    (reader) => reader.hex(3, 'h'),
    (reader) => reader.text(0, 100, 't'),
    (reader) => reader.array(0, 100, 'a'),
    (reader) => reader.map(0, 100, 'm'),
  ]
  const input = fc.tuple(fc.uint8Array({ maxLength: 20 }), fc.array(fc.nat({ max: 7 })))
  fc.assert(
    fc.property(input, ([bytes, order]) => {
      const reader = new CborReader(bytes, 'test')
      const code = codeOf(() => {
        for (const call of order) calls[call]!(reader)
      })
      assert.ok(code === 'CORRUPT' || code === 'no error', code)
    }),
    { seed, numRuns: 2_000 },
  )
})

test('a writer refuses what has no spelling', () => {
  const writer = new CborWriter()
  for (const value of [0.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n]) {
    assert.throws(() => writer.int(value), /RangeError|safe|64 bits/)
  }
  assert.throws(() => writer.text('\ud800'), /surrogate/)
  for (const hex of ['abc', 'zz', 'aag0']) assert.throws(() => new CborWriter().hex(hex), /hex/)
})

interface Fields {
  readonly int: bigint
  readonly uint: bigint
  readonly bytes: Uint8Array
  readonly text: string
}

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'no error'
  } catch (error) {
    return isHoldfastError(error) ? error.code : `another throw: ${String(error)}`
  }
}

test.run()
