// test/perf/content.test.ts — is a byte that is wrong, missing, doubled or elsewhere ever taken for right?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ContentCheck, ContentSource, UNIT_BYTES } from '../../src/perf/content.ts'
import { chosenSeed, Random } from '../sim/random.ts'

const seed = chosenSeed()
const test = suite(`perf: content, replay with SEED=${seed}`)
const STREAM = 6

function contentOf(bytes: number, stream = STREAM): Buffer {
  const source = new ContentSource(stream)
  const parts: Buffer[] = []
  while (source.offset < bytes) parts.push(...source.next(bytes - source.offset))
  return Buffer.concat(parts)
}

/** Hands it over in pieces, as a network does. */
function checked(content: Buffer, random: Random, stream = STREAM): ContentCheck {
  const check = new ContentCheck(stream)
  for (let at = 0; at < content.length; ) {
    const length = random.chance(0.2) ? 1 + random.below(40) : 1 + random.below(2 * UNIT_BYTES)
    check.take(content.subarray(at, at + length))
    at += length
  }
  return check
}

test('content is right however it is cut, and as long as it was meant to be', () => {
  const random = new Random(seed, 'cuts')
  for (const bytes of [1, 15, 16, 17, UNIT_BYTES, UNIT_BYTES + 7, 3 * 2 ** 20 + 99]) {
    const content = contentOf(bytes)
    assert.is(content.length, bytes)
    const check = checked(content, random)
    assert.equal([check.bytes, check.wrongAt], [bytes, null], `${bytes} bytes`)
  }
})

test('one flipped bit is found where it is', () => {
  const random = new Random(seed, 'bits')
  const content = contentOf(2 ** 21 + 5)
  for (let time = 0; time < 100; time += 1) {
    const at = time < 40 ? time : random.below(content.length)
    const bit = 1 << random.below(8)
    content[at]! ^= bit
    assert.is(checked(content, random).wrongAt, at)
    content[at]! ^= bit
  }
})

test('what is missing, doubled, or meant for another stream or place is found', () => {
  const random = new Random(seed, 'moves')
  const content = contentOf(4 * 2 ** 20)
  const without = (from: number, to: number): Buffer =>
    Buffer.concat([content.subarray(0, from), content.subarray(to)])
  const at = (1 + random.below(60)) * UNIT_BYTES
  const block = 2 ** 20
  for (const [what, wrong] of [
    ['a byte is missing', without(at + 100, at + 101)],
    ['a unit is missing', without(at, at + UNIT_BYTES)],
    ['a whole block is missing', without(block, 2 * block)],
    ['a whole block came twice', Buffer.concat([content.subarray(0, block), content])],
    ['another stream', contentOf(content.length, STREAM + 4)],
  ] as const) {
    assert.type(checked(wrong, random).wrongAt, 'number', what)
  }
})

test.run()
