// test/sim/determinism.test.ts — does one seed decide everything that happens in a simulated world?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { contentSlice, isContent } from './content.ts'
import { Random } from './random.ts'
import { Schedule } from './schedule.ts'
import { World } from './world.ts'

const TROUBLE = {
  rateMbit: 40,
  delayMs: 12,
  jitterMs: 6,
  queueBytes: 100_000,
  lossRatio: 0.04,
  burstPackets: 3,
  duplicateRatio: 0.05,
  corruptRatio: 0.02,
  reorderRatio: 0.05,
  reorderMs: 9,
}

/** A busy world with every kind of trouble; what it sent, and when, as one number. */
function play(seed: number): { traceHash: number; nowMs: number; sent: number } {
  const world = new World(seed, TROUBLE)
  const client = world.addParty('client', { host: { timerLateMs: 3 } })
  const server = world.addParty('server', { host: { timerLateMs: 3 } })
  const connection = client.connect(server)
  world.runUntil(() => connection.state === 'open', 10_000)
  const flows = [300_000, 5_000, 90_000].map((totalBytes) =>
    client.send(connection, { totalBytes }),
  )
  const isDone = world.runUntil(() => flows.every((flow) => flow?.doneMs !== null), 60_000)
  assert.ok(isDone, `seed ${seed}: nothing came of it`)
  world.finish()
  return { traceHash: world.traceHash, nowMs: world.nowMs, sent: world.report().sent }
}

const test = suite('simulator')

test('the same seed gives the same packets at the same times, to the last bit', () => {
  assert.equal(play(7), play(7))
})

test('another seed gives another run', () => {
  assert.is.not(play(7).traceHash, play(8).traceHash)
})

test('things happen in order of time, and in the order planned at equal times', () => {
  const schedule = new Schedule()
  const random = new Random(1, 'order')
  const seen: [number, number][] = []
  for (let i = 0; i < 1_000; i += 1) {
    const atMs = random.below(50)
    schedule.at(atMs, () => seen.push([atMs, i]))
  }
  while (schedule.step(100)) assert.ok(schedule.nowMs <= 50)
  const sorted = seen.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])
  assert.is(seen.length, 1_000)
  assert.equal(seen, sorted)
  assert.throws(() => schedule.at(3, () => {}), 'planned for 3')
})

test('one purpose more does not shift the chances of another', () => {
  const loss = new Random(5, 'loss')
  const draws = [loss.uint32(), loss.uint32(), loss.uint32()]
  const again = new Random(5, 'loss')
  new Random(5, 'delay').uint32()
  assert.equal([again.uint32(), again.uint32(), again.uint32()], draws)
})

test('wrong, moved and missing bytes are told from the right ones', () => {
  const right = contentSlice(3, 1_000, 5_000)
  assert.ok(isContent(3, 1_000, right))
  assert.not(isContent(3, 1_001, right))
  assert.not(isContent(4, 1_000, right))
  const wrong = Uint8Array.from(right)
  wrong[4_999]! ^= 1
  assert.not(isContent(3, 1_000, wrong))
})

test.run()
