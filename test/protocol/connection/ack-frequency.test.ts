// test/protocol/connection/ack-frequency.test.ts — do we ask for as few ACKs as do no harm?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AckFrequency } from '../../../protocol/connection/ack-frequency.ts'

const test = suite('protocol: ACK frequency')
const path = { windowBytes: 320_000, segmentBytes: 1_250, rttMs: 40, packetThreshold: 3 }

/** What the frame says after this; null when there is no frame. */
function wishOf(frequency: AckFrequency, circumstances: Partial<typeof path> = {}) {
  frequency.update({ ...path, ...circumstances })
  if (!frequency.isOwed) return null
  frequency.handleSent()
  const { threshold, delayMs, reorder } = frequency
  return [threshold, delayMs, reorder]
}

test('eight ACKs per window, a quarter of a round trip late, within bounds', () => {
  assert.equal(wishOf(new AckFrequency()), [32, 10, 3])
  assert.equal(wishOf(new AckFrequency(), { windowBytes: 5_000, rttMs: 2 }), [2, 1, 3])
  assert.equal(wishOf(new AckFrequency(), { windowBytes: 1e8, rttMs: 300 }), [64, 25, 3])
})

test('on loopback about one ACK for half a megabyte', () => {
  const lo = { windowBytes: 4 << 20, segmentBytes: 65_507, rttMs: 0.2 }
  const [threshold = 0] = wishOf(new AckFrequency(), lo) ?? []
  assert.ok(threshold * lo.segmentBytes > 400_000 && threshold * lo.segmentBytes < 700_000)
})

test('small changes are not worth a frame, larger ones are, one at a time', () => {
  const frequency = new AckFrequency()
  assert.ok(wishOf(frequency))
  assert.is(wishOf(frequency, { packetThreshold: 90 }), null, 'one is under way')
  frequency.handleAcked(0)
  assert.is(wishOf(frequency, { windowBytes: 370_000, rttMs: 34 }), null)
  assert.equal(wishOf(frequency, { packetThreshold: 90 }), [32, 10, 90])
  frequency.handleLost(0) // an older frame: nobody cares
  assert.is(frequency.isOwed, false)
  frequency.handleLost(1)
  assert.is(frequency.isOwed, true)
})

test('a timeout allows for the longest delay that the peer may be keeping to', () => {
  const frequency = new AckFrequency()
  frequency.establish(7)
  assert.is(frequency.peersDelayMsMax, 7)
  wishOf(frequency, { rttMs: 80 })
  assert.is(frequency.peersDelayMsMax, 22, 'the peer may follow from now on')
  frequency.handleAcked(0)
  wishOf(frequency, { rttMs: 8 })
  assert.is(frequency.peersDelayMsMax, 22, 'it may not have heard yet')
  frequency.handleAcked(1)
  assert.is(frequency.peersDelayMsMax, 4)
})

test.run()
