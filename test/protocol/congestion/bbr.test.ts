// test/protocol/congestion/bbr.test.ts — the example test cases of draft-ietf-ccwg-bbr, and what
// batches of acknowledgements may not change
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Bbr } from '../../../protocol/congestion/bbr.ts'
import type { Connection } from '../../../protocol/connection/api.ts'
import { Recovery } from '../../../protocol/connection/recovery.ts'
import type { SentFrame } from '../../../protocol/connection/sent-frame.ts'
import type { LinkOptions } from '../../sim/link.ts'
import { chosenSeed } from '../../sim/random.ts'
import { Stage } from '../scenarios/stage.ts'

const BYTES_PER_MBIT_S = 125_000
const FOR_EVER_BYTES = 2 ** 40

const seed = chosenSeed()
const test = suite(`congestion: BBR, replay with SEED=${seed}`)

function open(link: Partial<LinkOptions>): { stage: Stage; connection: Connection } {
  const stage = new Stage(seed, { link, client: { endpoint: { congestion: 'bbr-draft' } } })
  return { stage, connection: stage.connect() }
}

const path = (rateMbit: number, rttMs: number, bdps: number): Partial<LinkOptions> => ({
  rateMbit,
  delayMs: rttMs / 2,
  queueBytes: Math.max(6_000, bdps * rateMbit * 125 * rttMs),
})

/** The states that were seen, in order, a look every `stepMs`. */
function watch(stage: Stage, connection: Connection, forMs: number, stepMs = 2): string[] {
  const seen: string[] = []
  for (let ms = 0; ms < forMs; ms += stepMs) {
    stage.world.run(stepMs)
    const { congestionState } = connection.stats()
    if (seen.at(-1) !== congestionState) seen.push(congestionState)
  }
  return seen
}

test('startup ends at the plateau: the bandwidth is known to 2 %, the queue drained', () => {
  const { stage, connection } = open(path(50, 40, 2))
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  const seen = watch(stage, connection, 1_500)
  const lasting = seen.filter((state) => state !== 'down') // over at once when nothing waits
  assert.equal(lasting.slice(0, 3), ['startup', 'drain', 'cruise'])
  const known = connection.stats().deliveryBytesPerSecond / BYTES_PER_MBIT_S
  assert.ok(Math.abs(known / 50 - 1) < 0.02, `${known} Mbit/s`)
  assert.ok(connection.stats().inFlightBytes < 1.2 * 50 * 125 * 40, 'a path’s worth is in flight')
})

test('it goes round: cruise, refill, up, down', () => {
  const { stage, connection } = open(path(20, 40, 2))
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  watch(stage, connection, 1_500)
  const seen = watch(stage, connection, 3_400)
  const from = seen.indexOf('refill')
  assert.equal(seen.slice(from, from + 4), ['refill', 'up', 'down', 'cruise'], seen.join(' '))
})

test('who writes little stays in startup, whatever the rate that is seen', () => {
  const { stage, connection } = open(path(50, 40, 2))
  for (let i = 0; i < 50; i += 1) {
    stage.send(connection, { totalBytes: 5_000 })
    stage.world.run(60)
  }
  assert.is(connection.stats().congestionState, 'startup')
})

test('the round trip is looked for every 5 s, for 200 ms, and the rate is the same afterwards', () => {
  const { stage, connection } = open(path(20, 40, 2))
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  stage.waitFor('ProbeRTT', () => connection.stats().congestionState === 'probe_rtt', 8_000)
  const startMs = stage.nowMs
  stage.waitFor('its end', () => connection.stats().congestionState !== 'probe_rtt', 2_000)
  const tookMs = stage.nowMs - startMs
  assert.ok(tookMs >= 200 && tookMs < 500, `${tookMs} ms`)
  assert.is(connection.stats().congestionState, 'cruise')
  assert.ok(Math.abs(connection.stats().minRttMs - 40) < 1)
  const before = stage.server.receivedBytes
  stage.world.run(1_000)
  assert.ok(stage.server.receivedBytes - before > 0.85 * 20 * BYTES_PER_MBIT_S)
})

test('a path that holds less than a packet gets four, and its rate', () => {
  const { stage, connection } = open({ rateMbit: 0.4, delayMs: 10, queueBytes: 30_000 })
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  stage.world.run(10_000)
  const { cwndBytes, mtuBytes } = connection.stats()
  assert.ok(cwndBytes >= 4 * mtuBytes, `${cwndBytes}`)
  const before = stage.server.receivedBytes
  stage.world.run(10_000)
  assert.ok(stage.server.receivedBytes - before > 0.85 * 10 * 0.4 * BYTES_PER_MBIT_S)
})

test('acknowledgements that come every 20 ms in a heap leave the path full', () => {
  const { stage, connection } = open(path(50, 40, 2))
  stage.down.options.slotMs = 20
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  stage.world.run(2_000)
  const before = stage.server.receivedBytes
  stage.world.run(2_000)
  assert.ok(stage.server.receivedBytes - before > 0.9 * 2 * 50 * BYTES_PER_MBIT_S)
})

/** A sender on a path of 1 000 bytes per ms and 20 ms; ACKs come in heaps of 8 ms. */
function play(framesPerHeap: number): Bbr {
  const frames: SentFrame[] = [{ kind: 8, id: 0, offset: 0, lengthBytes: 1, fin: false }]
  const fate = {
    handleFrameAcked: (): void => {},
    handleFrameLost: (): void => {},
    handlePacketAcked: (): void => {},
    handlePacketLost: (): void => {},
  }
  const bbr = new Bbr('bbr', { nowMs: 0, segmentBytes: 1_000, randomBelow: () => 0 })
  const recovery = new Recovery(0, bbr)
  const arrivals: number[] = []
  let freeMs = 0
  let acked = 0
  for (let nowMs = 0; nowMs < 4_000; nowMs += 1) {
    let budget = Math.max(1_000, Math.min(bbr.pacingRateBytesPerMs, 32_000))
    while (budget >= 1_000 && recovery.inFlightBytes + 1_000 <= bbr.windowBytes) {
      recovery.handleSent(nowMs, 1_000, frames)
      freeMs = Math.max(freeMs, nowMs) + 1
      arrivals.push(freeMs + 20)
      budget -= 1_000
    }
    if (recovery.inFlightBytes + 1_000 > bbr.windowBytes) {
      recovery.sampler.handleWindowFull(recovery.inFlightBytes)
    }
    if (nowMs % 8 !== 0) continue
    let until = acked
    while (until < arrivals.length && arrivals[until]! <= nowMs) until += 1
    for (let frame = 1; frame <= framesPerHeap && until > acked; frame += 1) {
      const high = acked + Math.ceil(((until - acked) * frame) / framesPerHeap) - 1
      const ranges = Float64Array.of(0, high)
      recovery.handleAck(nowMs, { ranges, count: 1, delayMs: 0, overtook: false }, fate)
    }
    acked = until
  }
  return bbr
}

test('one sample for a batch of ACKs, or one for each ACK of it: the path looks the same', () => {
  const one = play(1)
  for (const count of [2, 5]) {
    const many = play(count)
    assert.ok(Math.abs(many.bandwidthBytesPerMs / one.bandwidthBytesPerMs - 1) < 0.02)
    assert.ok(Math.abs(many.windowBytes / one.windowBytes - 1) < 0.1, `${many.windowBytes}`)
  }
  assert.ok(Math.abs(one.bandwidthBytesPerMs / 1_000 - 1) < 0.05, `${one.bandwidthBytesPerMs}`)
})

test.run()
