// test/protocol/connection/flow-control.test.ts — do windows follow their readers, and memory its limit?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryBudget, MemoryShare } from '../../../protocol/connection/memory-budget.ts'
import { ReceiveStream } from '../../../protocol/connection/receive-stream.ts'
import { ReceiveWindow } from '../../../protocol/connection/receive-window.ts'
import { SendBuffer } from '../../../protocol/connection/send-buffer.ts'
import { SendCredit } from '../../../protocol/connection/send-credit.ts'
import { SendStream } from '../../../protocol/connection/send-stream.ts'
import { StreamWindows } from '../../../protocol/connection/stream-windows.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SIZES = { firstBytes: 64 * KIB, usualBytes: MIB, mostBytes: 16 * MIB }
const RTT_MS = 20
const test = suite('protocol: flow control')

/** A connection's window, a peer that fills it and a reader. */
class Bench {
  nowMs = 1_000
  readonly budget: MemoryBudget
  readonly share: MemoryShare
  readonly window: ReceiveWindow
  #received = 0
  #read = 0

  constructor({ budgetBytes = 256 * MIB, isAdmitted = true } = {}) {
    this.budget = new MemoryBudget(budgetBytes)
    this.share = new MemoryShare(this.budget)
    this.window = new ReceiveWindow(SIZES, this.share, isAdmitted)
    this.window.begin()
  }

  receive(bytes: number): void {
    assert.ok(this.window.allows(bytes), `${bytes} bytes are over the limit`)
    this.#received += bytes
    this.window.handleReceived(bytes)
  }

  read(bytes: number): void {
    this.#read += bytes
    this.window.handleRead(bytes, this.nowMs, RTT_MS)
  }

  /** What the peer may still send. */
  get creditBytes(): number {
    return this.window.limit - this.#received
  }

  /** All that the limit allows arrives and is read, so many times in a row, every `everyMs`. */
  pump(times: number, everyMs: number): void {
    for (let i = 0; i < times; i += 1) {
      this.nowMs += everyMs
      const bytes = this.creditBytes
      this.receive(bytes)
      this.read(bytes)
    }
  }

  get usedBytes(): number {
    return this.budget.usedBytes
  }
}

test('a connection begins with 64 KiB and has its usual window as soon as anything came', () => {
  const bench = new Bench()
  assert.is(bench.creditBytes, 64 * KIB)
  assert.is(bench.usedBytes, 64 * KIB)
  bench.receive(1_000)
  assert.is(bench.creditBytes, MIB - 1_000)
  assert.is(bench.window.isOwed, true)
  assert.is(bench.usedBytes, MIB)
})

test('a window that is read half within two round trips grows, up to its most', () => {
  const bench = new Bench()
  bench.pump(1, 0)
  bench.pump(3, RTT_MS)
  assert.ok(bench.creditBytes >= 4 * MIB, `${bench.creditBytes}`)
  bench.pump(10, RTT_MS)
  assert.is(bench.creditBytes, 16 * MIB)
})

test('a reader that takes its time keeps its window', () => {
  const bench = new Bench()
  bench.pump(10, 3 * RTT_MS)
  assert.is(bench.creditBytes, MIB)
})

test('BLOCKED makes a window grow for a reader that keeps up, not for one that does not', () => {
  const quick = new Bench()
  quick.pump(1, 0)
  quick.receive(quick.creditBytes - 10)
  quick.read(MIB - 10)
  const { limit } = quick.window
  quick.window.handleBlocked(limit)
  assert.is(quick.window.limit, limit + 3 * MIB)
  const slow = new Bench()
  slow.receive(1_000)
  slow.receive(slow.creditBytes)
  slow.window.isOwed = false
  slow.window.handleBlocked(slow.window.limit)
  assert.is(slow.window.isOwed, false, 'nothing to say: no ping-pong')
  slow.window.handleBlocked(slow.window.limit - 1)
  assert.is(slow.window.isOwed, true, 'the update was lost')
})

test('a stranger keeps 64 KiB however quickly it is read, until it is admitted', () => {
  const bench = new Bench({ isAdmitted: false })
  bench.pump(20, 1)
  bench.window.handleBlocked(bench.window.limit)
  assert.is(bench.creditBytes, 64 * KIB)
  assert.is(bench.usedBytes, 64 * KIB)
  bench.window.admit()
  assert.is(bench.creditBytes, MIB)
})

test('above 80 % of the memory nothing grows, above 95 % windows shrink, and reading goes on', () => {
  const bench = new Bench({ budgetBytes: 10 * MIB })
  bench.pump(6, 1)
  assert.ok(bench.usedBytes <= 8 * MIB && bench.usedBytes > 2 * MIB, `${bench.usedBytes}`)
  const others = new MemoryShare(bench.budget)
  others.add(10 * MIB - bench.usedBytes)
  assert.is(bench.budget.isScarce, true)
  const before = bench.creditBytes
  bench.pump(1, 1)
  assert.ok(bench.creditBytes < before && bench.creditBytes > 0)
  others.add(10 * MIB)
  bench.pump(20, 1)
  assert.is(bench.creditBytes, 64 * KIB, 'nobody waits for ever')
  others.release()
  bench.share.release()
  assert.is(bench.usedBytes, 0)
  bench.share.add(5)
  assert.is(bench.usedBytes, 0, 'who is gone counts no more')
})

test('what was granted and is not used for 30 s no longer counts, what waits unread does', () => {
  const bench = new Bench()
  bench.pump(6, 1)
  const grantedBytes = bench.creditBytes
  assert.ok(bench.usedBytes >= 4 * MIB)
  bench.window.handleQuiet(bench.nowMs + 29_000)
  assert.ok(bench.usedBytes >= 4 * MIB)
  bench.window.handleQuiet(bench.nowMs + 31_000)
  assert.is(bench.usedBytes, 64 * KIB)
  assert.is(bench.creditBytes, grantedBytes, 'a promise is a promise')
  bench.receive(3 * MIB)
  assert.is(bench.usedBytes, 3 * MIB)
  bench.window.handleQuiet(bench.nowMs + 100_000)
  assert.is(bench.usedBytes, 3 * MIB, 'it waits for its reader')
})

test('a stream window doubles for a quick reader, and says so once', () => {
  const bench = new Bench()
  const windows = new StreamWindows(8 * MIB, bench.window)
  const stream = new ReceiveStream(0, MIB)
  const fill = (atMs: number): void => {
    const bytes = new Uint8Array(stream.limit - stream.highest)
    stream.insert(stream.highest, bytes, 0, bytes.length, false)
    for (;;) {
      const read = stream.read(MIB)
      if (read === null) break
      windows.handleRead(stream, atMs, RTT_MS)
    }
  }
  for (let i = 0; i < 6; i += 1) fill(1_000 + i * 3 * RTT_MS)
  assert.is(stream.windowBytes, MIB)
  for (let i = 1; i < 6; i += 1) fill(2_000 + i)
  assert.is(stream.windowBytes, 8 * MIB)
  windows.owed.clear()
  windows.handleBlocked(stream, stream.limit)
  assert.is(windows.owed.size, 0, 'nothing has changed: no ping-pong')
  windows.handleBlocked(stream, stream.limit - 1)
  assert.is(windows.owed.has(0), true, 'the update was lost')
})

test('64 KiB of the credit stay free for what is urgent: bulk cannot lock it out', () => {
  const credit = new SendCredit()
  credit.begin(MIB)
  assert.is(credit.roomFor(5), MIB - 64 * KIB)
  credit.sentBytes = MIB - 64 * KIB
  assert.is(credit.roomFor(5), 0)
  assert.is(credit.roomFor(1), 64 * KIB)
})

test('of a small window a quarter at most stays free: bulk does not starve', () => {
  const credit = new SendCredit()
  credit.begin(16 * KIB)
  assert.is(credit.roomFor(5), 12 * KIB)
  const big = new SendCredit()
  big.begin(MIB)
  big.sentBytes = MIB
  big.handleMaxData(MIB + 8 * KIB) // the peer has become short of memory
  assert.is(big.roomFor(5), 6 * KIB)
})

test('BLOCKED is owed once for each limit', () => {
  const credit = new SendCredit()
  credit.begin(1_000)
  credit.sentBytes = 1_000
  credit.noteBlocked()
  assert.is(credit.owedBlockedAt, 1_000)
  credit.owedBlockedAt = -1
  credit.noteBlocked()
  assert.is(credit.owedBlockedAt, -1)
  assert.is(credit.isBlockedBy(1_000), true)
  assert.is(credit.handleMaxData(1_000), false)
  assert.is(credit.handleMaxData(2_000), true)
  assert.is(credit.isBlockedBy(1_000), false)
})

test('a send buffer holds 1 MiB or four windows, and asks for more before it runs dry', () => {
  const budget = new MemoryBudget(100 * MIB)
  const asked: number[] = []
  const buffer = new SendBuffer(MIB, new MemoryShare(budget), (id) => asked.push(id))
  const stream = new SendStream(4, 5, Number.POSITIVE_INFINITY)
  const write = (bytes: number): number => {
    const count = buffer.take(stream, bytes)
    stream.write(new Uint8Array(count))
    return count
  }
  const acknowledge = (bytes: number): void => {
    const start = stream.endOffset - stream.bufferedBytes
    stream.handleAcked(start, bytes, false)
    buffer.release(stream, bytes)
  }
  assert.is(write(9 * MIB), MIB)
  buffer.windowBytes = 1.5 * MIB
  assert.is(write(9 * MIB), 5 * MIB)
  assert.is(budget.usedBytes, 6 * MIB)
  acknowledge(1_400 * KIB)
  assert.equal(asked, [], 'more than three quarters are left')
  acknowledge(200 * KIB)
  assert.equal(asked, [4])
  const other = new SendStream(8, 0, Number.POSITIVE_INFINITY)
  write(9 * MIB)
  assert.is(buffer.take(other, MIB), 64 * KIB, 'a full buffer is not full for everybody')
  budget.usedBytes += 96 * MIB
  acknowledge(stream.bufferedBytes)
  assert.is(write(9 * MIB), 64 * KIB, 'memory is scarce')
})

test.run()
