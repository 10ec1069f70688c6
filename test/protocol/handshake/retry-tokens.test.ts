// test/protocol/handshake/retry-tokens.test.ts — whom does a retry token let in, and for how long?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cid } from '../../../protocol/handshake/messages.ts'
import { RetryTokens } from '../../../protocol/handshake/retry-tokens.ts'
import { chosenSeed, Random } from '../../sim/random.ts'

const seed = chosenSeed()
const random = new Random(seed, 'tokens')
const test = suite(`handshake: retry tokens, replay with SEED=${seed}`)
const FROM = { host: '192.0.2.1', port: 1_234 }
const CID: Cid = [1, 2]
const FIRST: Cid = [3, 4]
const tokens = (): RetryTokens => new RetryTokens((lengthBytes) => random.bytes(lengthBytes))

test('it holds for its address and its CID, for ten seconds', () => {
  const ours = tokens()
  const token = ours.make(1_000, FROM, CID, FIRST)
  assert.ok(ours.isGood(1_000, token, FROM, CID))
  assert.ok(ours.isGood(11_000, token, FROM, CID))
  assert.not(ours.isGood(11_002, token, FROM, CID), 'ended')
  assert.not(ours.isGood(1_001, token, { ...FROM, port: 1_235 }, CID), 'another port')
  assert.not(ours.isGood(1_001, token, { ...FROM, host: '192.0.2.2' }, CID), 'another host')
  assert.not(ours.isGood(1_001, token, FROM, [1, 3]), 'another CID')
  assert.not(ours.isGood(1_001, token, FROM, FIRST))
})

test('no flipped bit, no cut, no stranger\u2019s token', () => {
  const ours = tokens()
  const token = ours.make(1_000, FROM, CID, FIRST)
  for (let bit = 0; bit < token.length * 8; bit += 1) {
    const forged = Buffer.from(token)
    forged[bit >> 3] = forged[bit >> 3]! ^ (1 << (bit & 7))
    assert.not(ours.isGood(1_001, forged, FROM, CID), `bit ${bit}`)
  }
  assert.not(ours.isGood(1_001, token.subarray(1), FROM, CID))
  assert.not(ours.isGood(1_001, Buffer.alloc(0), FROM, CID))
  assert.not(tokens().isGood(1_001, token, FROM, CID))
})

test('a token outlives the change of the secret, and no second one', () => {
  const ours = tokens()
  ours.make(0, FROM, CID, FIRST)
  const token = ours.make(59_000, FROM, CID, FIRST)
  assert.ok(ours.isGood(61_000, token, FROM, CID), 'made under the secret before')
  const old = ours.make(61_500, FROM, CID, FIRST)
  ours.make(250_000, FROM, CID, FIRST)
  assert.not(ours.isGood(250_001, old, FROM, CID))
})

test.run()
