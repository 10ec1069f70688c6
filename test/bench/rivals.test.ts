// test/bench/rivals.test.ts — is every rival of the benchmark sent and checked the same bytes?
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { heard } from '../../bench/children.ts'
import type { Word } from '../../bench/rivals/child.ts'
import { LOOPBACK, Pair, transfer } from '../../bench/rivals/pair.ts'
import type { RivalSpec } from '../../bench/rivals/rival.ts'
import { beside, isMet, table } from '../../bench/table.ts'
import { testUnless } from '../support/skip.ts'

const test = suite('bench: rivals')
/** More than the ring of buffers that are used again, and no whole number of units. */
const BYTES = 3 * 2 ** 20 + 777

const SPECS: readonly RivalSpec[] = [
  { kind: 'tcp' },
  { kind: 'tls' },
  { kind: 'udx' },
  { kind: 'holdfast' },
  { kind: 'holdfast', driver: 'plain', mtuBytes: 1_472, crc: 'header', congestion: 'cubic' },
]
for (const spec of SPECS) {
  const name = Object.values(spec).join(' ')
  test(`${name}: all bytes come, are right, and are timed`, async () => {
    const what = { bytes: BYTES, warmUpBytes: 100_000, markBytes: 2 ** 20, secondsMax: 30 }
    const done = await transfer(spec, LOOPBACK, what)
    assert.equal([done.isWhole, done.wrongAt], [true, null])
    // What was measured begins with the first piece after the warm-up.
    assert.ok(done.bytes <= BYTES && done.bytes > BYTES - 200_000, `${done.bytes}`)
    assert.ok(done.seconds > 0 && done.seconds < 30)
    assert.ok(done.bitsPerSecondToMark > 0)
    assert.ok(done.senderCpuPerGB > 0 && done.receiverCpuPerGB > 0)
  })
}

test('requests are answered in order, by every rival', async () => {
  for (const kind of ['tcp', 'tls', 'udx', 'holdfast'] as const) {
    const pair = await Pair.open('ask', { kind }, LOOPBACK)
    try {
      pair.order(pair.receiver, { kind: 'answer' })
      pair.order(pair.sender, { kind: 'ask', forMs: 50 })
      const { one, many } = await heard<Word, 'asked'>(pair.sender, 'asked')
      assert.ok(one.requests > 5 && one.p99Ms >= one.p50Ms, kind)
      assert.ok(many.requests > 64, kind)
    } finally {
      await pair.close()
    }
  }
})

test('a transfer that takes too long counts what had come', async () => {
  const what = { bytes: 2 ** 40, secondsMax: 1 }
  const done = await transfer({ kind: 'tcp' }, LOOPBACK, what)
  assert.not(done.isWhole)
  assert.ok(done.bytes > 2 ** 20 && done.seconds >= 0.9, `${done.bytes} in ${done.seconds} s`)
})

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number)

const noProc = existsSync(`/proc/self/task/${process.pid}/children`) ? null : 'needs /proc'
testUnless(test, noProc)('a benchmark that is interrupted leaves no process behind', async () => {
  const script = resolve(import.meta.dirname, '../../bench/transport.ts')
  const bench = spawn(process.execPath, [script, '--quick'], { stdio: 'ignore' })
  let children: number[] = []
  while (children.length < 2) {
    assert.is(bench.exitCode, null)
    await sleep(50)
    children = childrenOf(bench.pid ?? 0)
  }
  bench.kill('SIGINT')
  await once(bench, 'exit')
  for (let wait = 0; wait < 100 && children.some(isAlive); wait += 1) await sleep(20)
  assert.equal(children.filter(isAlive), [])
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('a goal that is missed is marked, and one that is met is not', () => {
  assert.is(beside(0.8, { atLeast: 0.72 }), '0.80 (≥ 0.72)')
  assert.is(beside(0.7, { atLeast: 0.72 }), '0.70 (≥ 0.72) ✗')
  assert.is(beside(1.2, { atMost: 1.1 }), '1.20 (≤ 1.1) ✗')
  assert.is(beside(1.2, undefined), '1.20')
  assert.not(isMet(Number.NaN, { atLeast: 0 }))
  assert.not(isMet(Number.NaN, { atMost: 1 }))
  assert.is(
    table([
      ['a', 'bb'],
      ['ccc', 'd'],
    ]),
    'a    bb\nccc   d',
  )
})

test.run()
