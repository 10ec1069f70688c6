// test/protocol/driver.test.ts — does the loop read before it times out, yield, and stay quiet?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type {
  Connection,
  Endpoint,
  EndpointEvent,
  Transmit,
} from '../../protocol/connection/api.ts'
import { noStrangers } from '../../protocol/connection/counters.ts'
import { Driver } from '../../protocol/driver.ts'
import type { Address, Clock, DatagramPort } from '../../protocol/types.ts'

const PEER: Address = { host: '10.0.0.9', port: 9 }

/** A core that only notes what it is told, in order. */
class NotingCore implements Endpoint {
  mayEnter = null
  readonly notes: string[] = []
  readonly connectionCount = 0
  readonly stats = noStrangers()
  timeoutMs = Number.POSITIVE_INFINITY
  /** What pollTransmit has to give. */
  outgoing: number[] = []
  handleTimeoutSets = Number.POSITIVE_INFINITY
  connect(): Connection {
    throw new Error('not here')
  }
  arrivalsMs: number[] = []
  handleDatagram(nowMs: number): void {
    this.notes.push('datagram')
    this.arrivalsMs.push(nowMs)
  }
  handleTooLarge(_nowMs: number, _to: Address, sizeBytes: number): void {
    this.notes.push(`too large: ${sizeBytes}`)
  }
  handleTimeout(): void {
    this.notes.push('timeout')
    this.timeoutMs = this.handleTimeoutSets
  }
  pollTransmit(_nowMs: number, out: Transmit): boolean {
    const lengthBytes = this.outgoing.shift()
    if (lengthBytes === undefined) return false
    out.lengthBytes = lengthBytes
    out.segmentBytes = lengthBytes
    out.to = PEER
    out.bytes[0] = lengthBytes & 0xff
    return true
  }
  pollTimeout = (): number => this.timeoutMs
  events: EndpointEvent[] = []
  pollEvent = (): EndpointEvent | null => this.events.shift() ?? null
  setIdentity(): void {}
  refuseNew(): void {}
}

/** An event loop that turns when told to: timers, then input, then what was deferred. */
class Loop {
  nowMs = 1_000
  deferred: (() => void)[] = []
  timers: { dueMs: number; fire: () => void }[] = []
  inbox = 0
  sent: number[] = []
  room = Number.POSITIVE_INFINITY
  keepsBytes = false
  slabs = new Set<ArrayBufferLike>()
  readonly clock: Clock = {
    nowMs: () => this.nowMs,
    wallMs: () => this.nowMs,
    setTimer: (fire, delayMs) => {
      const timer = { dueMs: this.nowMs + delayMs, fire }
      this.timers.push(timer)
      return {
        cancel: () => {
          this.timers = this.timers.filter((other) => other !== timer)
        },
      }
    },
    defer: (fire) => void this.deferred.push(fire),
  }
  readonly port: DatagramPort = {
    local: PEER,
    trainSegmentsMax: 1,
    onDatagram: null,
    onWritable: null,
    send: (bytes) => {
      if (this.room === 0) return false
      this.room -= 1
      this.slabs.add(bytes.buffer)
      this.sent.push(bytes.length)
      ;(this.port as { keepsBytes: boolean }).keepsBytes = this.keepsBytes
      return true
    },
    close: () => Promise.resolve(),
  }

  /** From now on the port can be asked for what waits, so many datagrams at a time. */
  canReceive(atOnce = Number.POSITIVE_INFINITY): void {
    this.port.receive = () => {
      const batch = Math.min(atOnce, this.inbox)
      this.inbox -= batch
      for (let i = 0; i < batch; i += 1) this.port.onDatagram?.(new Uint8Array(40), PEER)
      return this.inbox === 0
    }
  }

  turn(afterMs = 0): void {
    this.nowMs += afterMs
    const due = this.timers.filter((timer) => timer.dueMs <= this.nowMs)
    this.timers = this.timers.filter((timer) => timer.dueMs > this.nowMs)
    for (const timer of due) timer.fire()
    const batch = Math.min(32, this.inbox)
    this.inbox -= batch
    for (let i = 0; i < batch; i += 1) this.port.onDatagram?.(new Uint8Array(40), PEER)
    for (const fire of this.deferred.splice(0)) fire()
  }

  get isQuiet(): boolean {
    return this.deferred.length === 0
  }
}

function setUp() {
  const loop = new Loop()
  const core = new NotingCore()
  const { clock, port } = loop
  let flushes = 0
  const onFlushed = (): void => {
    flushes += 1
  }
  const driver = new Driver({ endpoint: core, port, clock, onEvent: () => {}, onFlushed })
  const settle = (turns = 100): number => {
    let count = 0
    for (; !loop.isQuiet && count < turns; count += 1) loop.turn(0.001)
    return count
  }
  return { loop, core, driver, settle, flushes: () => flushes }
}

const test = suite('protocol: driver')

test('200 datagrams that waited are read before the timer they make needless', () => {
  const { loop, core, driver, settle } = setUp()
  core.timeoutMs = loop.nowMs + 10
  driver.wake()
  settle()
  loop.inbox = 200
  loop.turn(40) // the process was busy: the timer is late, and libuv runs it first
  settle()
  assert.is(core.notes.filter((note) => note === 'datagram').length, 200)
  assert.is(core.notes.indexOf('timeout'), 200, 'after the last datagram')
})

test('scenario 12: a port that can be asked is read dry first, and the timer waits no turn', () => {
  const { loop, core, driver, settle } = setUp()
  loop.canReceive()
  core.timeoutMs = loop.nowMs + 10
  driver.wake()
  settle()
  loop.inbox = 200
  loop.turn(40)
  assert.is(core.notes.filter((note) => note === 'datagram').length, 200)
  assert.is(core.notes.indexOf('timeout'), 200, 'after the last datagram, in the same turn')
  // One that gives way although more waits is asked again, for 16 turns at most.
  core.notes.length = 0
  core.timeoutMs = loop.nowMs + 10
  loop.canReceive(10)
  driver.wake()
  settle()
  loop.inbox = 1_000
  loop.turn(40)
  settle()
  const before = core.notes.indexOf('timeout')
  assert.ok(before >= 100 && before <= 18 * 42, `after ${before} datagrams`)
})

test('the clock is read once for datagrams that came together, not for those of another turn', () => {
  const { loop, core, settle } = setUp()
  loop.inbox = 20
  loop.turn(5)
  assert.equal([...new Set(core.arrivalsMs)], [1_005])
  settle()
  loop.inbox = 1
  loop.turn(7)
  assert.ok(core.arrivalsMs.at(-1)! >= 1_012)
})

test('input without end does not keep a timer from ever running', () => {
  const { loop, core, driver, settle } = setUp()
  core.timeoutMs = loop.nowMs + 10
  driver.wake()
  settle()
  loop.inbox = 1e9
  loop.turn(40)
  for (let i = 0; i < 40; i += 1) loop.turn(0.1)
  const before = core.notes.indexOf('timeout')
  assert.ok(before > 0 && before <= 32 * 18, `after ${before} datagrams`)
})

test('a pump gives way after 512 KB and goes on in the next turn', () => {
  const { loop, core, driver } = setUp()
  core.outgoing = new Array(40).fill(65_507)
  driver.wake()
  const sentPerTurn: number[] = []
  while (!loop.isQuiet) {
    const before = loop.sent.length
    loop.turn(0.001)
    sentPerTurn.push(loop.sent.length - before)
  }
  assert.ok(Math.max(...sentPerTurn) <= 9, `${sentPerTurn}`)
  assert.is(loop.sent.length, 40)
})

test('a full socket: the datagram is kept, goes first, and is not sent twice', () => {
  const { loop, core, driver, settle } = setUp()
  core.outgoing = [100, 200, 300]
  loop.room = 1
  driver.wake()
  settle()
  assert.equal(loop.sent, [100])
  driver.wake()
  settle()
  assert.equal(loop.sent, [100])
  loop.room = 10
  loop.port.onWritable?.()
  settle()
  assert.equal(loop.sent, [100, 200, 300])
})

test('memory that the port still needs is not written to again', () => {
  const { loop, core, driver, settle } = setUp()
  loop.keepsBytes = true
  core.outgoing = [100, 200, 300]
  driver.wake()
  settle()
  assert.is(loop.slabs.size, 3)
  loop.keepsBytes = false
  core.outgoing = [100, 200, 300]
  driver.wake()
  settle()
  assert.is(loop.slabs.size, 4)
})

test('a deadline that never moves on is no busy loop', () => {
  const { loop, core, driver, settle } = setUp()
  core.timeoutMs = loop.nowMs
  core.handleTimeoutSets = loop.nowMs // a core that is mad
  driver.wake()
  assert.ok(settle(1_000) < 40, 'it spins a little, then sleeps')
  assert.is(loop.timers.length, 1)
  assert.ok(loop.timers[0]!.dueMs >= loop.nowMs + 0.5)
})

test('one timer, kept while deadlines move on, and none without a deadline', () => {
  const { loop, core, driver, settle } = setUp()
  for (let i = 0; i < 50; i += 1) {
    core.timeoutMs = loop.nowMs + 100 + i
    driver.wake()
    settle()
    assert.is(loop.timers.length, 1)
  }
  core.timeoutMs = loop.nowMs + 5 // sooner: it is set anew
  driver.wake()
  settle()
  assert.is(loop.timers.length, 1)
  assert.ok(loop.timers[0]!.dueMs <= loop.nowMs + 5)
  core.timeoutMs = Number.POSITIVE_INFINITY
  driver.wake()
  settle()
  assert.is(loop.timers.length, 0)
})

test('wake() many times is one turn; after stop() nothing happens', () => {
  const { loop, core, driver, settle, flushes } = setUp()
  for (let i = 0; i < 10; i += 1) driver.wake()
  settle()
  assert.is(flushes(), 1)
  core.outgoing = [50]
  driver.stop()
  assert.equal(loop.sent, [50], 'the farewell still goes out')
  core.outgoing = [60]
  driver.wake()
  loop.inbox = 3
  loop.turn(1)
  assert.equal(loop.sent, [50])
  assert.equal(core.notes, [])
})

test('a listener that throws does not stop the others', () => {
  const loop = new Loop()
  const core = new NotingCore()
  let calls = 0
  const onEvent = (): void => {
    calls += 1
    if (calls === 1) throw new Error('a mistake of the application')
  }
  const driver = new Driver({ endpoint: core, port: loop.port, clock: loop.clock, onEvent })
  const connection = {} as Connection
  core.events = [1, 2].map((streamId) => ({ type: 'stream-readable', connection, streamId }))
  core.outgoing = [100]
  driver.wake()
  assert.throws(() => loop.turn(0.001), 'a mistake of the application')
  loop.turn(0.001)
  assert.is(calls, 2)
  assert.equal(loop.sent, [100])
})

test.run()
