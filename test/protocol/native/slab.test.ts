// test/protocol/native/slab.test.ts — is an address given for nothing but bytes that are ours?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openSocketCalls } from '../../../protocol/native/libc.ts'
import { addressIn, addressOf, koffi, newSlab } from '../../../protocol/native/slab.ts'
import { testUnless } from '../../support/skip.ts'

const test = suite('native: slabs')
const withKoffi = testUnless(test, koffi === null ? 'no koffi for this machine' : null)

withKoffi('an address is where JavaScript writes, and no range reaches beyond its bytes', () => {
  const slab = newSlab(5_000)
  slab.writeUInt32LE(0x1234_5678, 4_996)
  assert.is(koffi!.decode.uint32(addressOf(slab, 4_996, 4)), 0x1234_5678)
  const part = slab.subarray(100, 200)
  assert.is(addressIn(part, 10, 90), addressOf(slab) + 110)
  for (const [at, length] of [
    ...[
      [10, 91],
      [101, 0],
      [-1, 5],
      [0, -1],
      [0.5, 4],
      [0, 4.5],
    ],
    ...[
      [Number.NaN, 4],
      [0, Number.NaN],
      [2 ** 32, 4],
      [4, 2 ** 32],
      [Number.POSITIVE_INFINITY, 0],
    ],
  ] as [number, number][]) {
    assert.is(addressIn(part, at, length), 0, `${at}+${length}`)
    assert.throws(() => addressOf(part, at, length), RangeError)
  }
})

withKoffi('memory that is no slab has no address, nor has one that was given away', () => {
  for (const other of [Buffer.alloc(10_000), new Uint8Array(16), Buffer.from('pooled')]) {
    assert.is(addressIn(other, 0, other.length), 0)
  }
  const resizable = new Uint8Array(new ArrayBuffer(64, { maxByteLength: 128 }))
  assert.is(addressIn(resizable, 0, 64), 0)
  const slab = newSlab(8_192)
  assert.ok(addressOf(slab, 0, 8_192) > 0)
  assert.throws(() => structuredClone(slab.buffer, { transfer: [slab.buffer as ArrayBuffer] }))
  assert.ok(addressOf(slab, 0, 8_192) > 0)
})

withKoffi('calls refuse what would not fit their memory', () => {
  const calls = openSocketCalls()
  assert.ok(calls, 'koffi is here, and the calls are not')
  const fd = calls.socket(4)
  const to = new Uint8Array(16)
  assert.throws(() => calls.sendTrain(fd, new Uint8Array(70_000), to, 1_000), RangeError)
  assert.throws(() => calls.sendTrain(fd, new Uint8Array(10), new Uint8Array(29), 10), RangeError)
  for (const segmentBytes of [0, -1, Number.NaN]) {
    assert.throws(() => calls.sendEach(fd, new Uint8Array(10), to, segmentBytes), RangeError)
  }
  assert.is(calls.close(fd), 0)
})

test.run()
