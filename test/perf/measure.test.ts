// test/perf/measure.test.ts — does a measurement say what the link did, whoever is at the other end?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Session, TransportStream } from '../../protocol/index.ts'
import { isHoldfastError } from '../../src/errors.ts'
import { transferOrder } from '../../src/perf/control.ts'
import { PERF_IDENTITY } from '../../src/perf/endpoint.ts'
import {
  type Interval,
  type Measured,
  measureRequests,
  measureTransfer,
  serveMeasurements,
} from '../../src/perf/index.ts'
import type { LinkOptions } from '../sim/link.ts'
import { chosenSeed } from '../sim/random.ts'
import { type ShellNode, ShellWorld } from '../sim/shell-world.ts'

const seed = chosenSeed()
const test = suite(`perf: measuring, replay with SEED=${seed}`)
const MIB = 2 ** 20
/** What the link gives at most, of its 10 Mbit/s. */
const RATE_MBIT = 10
const DELAY_MS = 20

interface Place {
  readonly world: ShellWorld
  readonly near: ShellNode
  readonly far: ShellNode
  readonly measured: Measured[]
}

/** CPU seconds are counted up by one at each look: each end uses one. */
function counter(): () => number {
  let looks = 0
  return () => {
    looks += 1
    return looks
  }
}

function open(options: Partial<LinkOptions> = {}, { serves = true } = {}): Place {
  const link = { rateMbit: RATE_MBIT, delayMs: DELAY_MS, queueBytes: 50_000, ...options }
  const world = new ShellWorld(seed, link)
  const [near, far] = [world.addNode('near'), world.addNode('far')]
  far.endpoint.setIdentity(PERF_IDENTITY)
  const measured: Measured[] = []
  if (serves) {
    serveMeasurements({
      endpoint: far.endpoint,
      clock: far.host.clock,
      cpuSeconds: counter(),
      onMeasured: (what) => measured.push(what),
    })
  }
  return { world, near, far, measured }
}

const dialling = ({ near, far }: Place, signal = new AbortController().signal) => ({
  endpoint: near.endpoint,
  to: far.host.address,
  clock: near.host.clock,
  cpuSeconds: counter(),
  signal,
})

interface What {
  readonly direction?: 'forward' | 'reverse'
  readonly streams?: number
  readonly bytes?: number
  readonly seconds?: number
  readonly signal?: AbortSignal
}

async function measure(place: Place, what: What) {
  const { direction = 'forward', streams = 1, bytes = null, seconds = null, signal } = what
  const intervals: Interval[] = []
  const order = { direction, streams, bytes, seconds } as const
  const onInterval = (interval: Interval): void => void intervals.push(interval)
  const work = measureTransfer({ ...dialling(place, signal), ...order, onInterval })
  return { summary: await place.world.during(work), intervals }
}

for (const direction of ['forward', 'reverse'] as const) {
  test(`${direction}: bytes, time and both ends' CPU are what they were`, async () => {
    const place = open()
    const { summary, intervals } = await measure(place, { direction, bytes: 3 * MIB, streams: 3 })
    assert.is(summary.bytes, 3 * MIB)
    assert.ok(summary.verified)
    const gigabytes = (3 * MIB) / 1e9
    assert.equal(summary.cpuSecondsPerGB, { sender: 1 / gigabytes, receiver: 1 / gigabytes })
    const leastSeconds = (3 * MIB * 8) / (RATE_MBIT * 1e6) + (3 * DELAY_MS) / 1_000
    assert.ok(summary.seconds > leastSeconds, `${summary.seconds} s, ${leastSeconds} at least`)
    assert.ok(summary.seconds < 2 * leastSeconds + 1, `${summary.seconds} s`)
    assert.is(summary.bitsPerSecond, (summary.bytes * 8) / summary.seconds)
    assert.ok(summary.minRttMs >= 2 * DELAY_MS && summary.minRttMs < 2 * DELAY_MS + 10)
    assert.ok(intervals.length >= 2)
    assert.ok(intervals.every(({ bitsPerSecond }) => bitsPerSecond < RATE_MBIT * 1e6))
    assert.ok(intervals.reduce((sum, { bytes }) => sum + bytes, 0) <= summary.bytes)
    assert.equal([summary.crc, summary.congestion], ['full', 'bbr'])
    assert.match(summary.cipher, /AES-256-GCM|ChaCha20-Poly1305/)
    await place.world.pass(1_000)
    assert.equal(
      place.measured.map(({ kind, bytes, error }) => [kind, bytes, error]),
      [[direction, 3 * MIB, null]],
    )
  })

  test(`${direction}: it ends when its time is over, and when it is interrupted`, async () => {
    const { summary } = await measure(open(), { direction, seconds: 3 })
    assert.ok(summary.seconds > 2.5 && summary.seconds < 3.3, `${summary.seconds} s`)
    assert.ok(summary.verified)

    const place = open()
    const controller = new AbortController()
    const timer = place.near.host.clock.setTimer(() => controller.abort(), 2_500)
    const { signal } = controller
    const cut = await measure(place, { direction, seconds: 60, signal })
    timer.cancel()
    assert.ok(cut.summary.interrupted)
    assert.ok(cut.summary.verified)
    assert.ok(cut.summary.bytes > MIB / 4, `${cut.summary.bytes} bytes`)
    assert.ok(cut.summary.seconds < 3.5, `${cut.summary.seconds} s`)
  })

  test(`${direction}: on a link that loses and damages, every byte is right, and loss is told`, async () => {
    const place = open({ lossRatio: 0.02, corruptRatio: 0.01, queueBytes: 10 * MIB })
    const { summary } = await measure(place, { direction, bytes: 2 * MIB })
    assert.ok(summary.verified)
    assert.is(summary.bytes, 2 * MIB)
    assert.ok(summary.lossRate > 0.015 && summary.lossRate < 0.06, `${summary.lossRate}`)
    assert.ok(summary.retransmitRate > 0.01, `${summary.retransmitRate}`)
  })
}

test('requests take a round trip, and 64 at once take hardly longer', async () => {
  const place = open({ rateMbit: 1_000, queueBytes: MIB })
  const work = measureRequests({ ...dialling(place), seconds: 1 })
  const { oneAtATime, at64, connectMs } = await place.world.during(work)
  const rttMs = 2 * DELAY_MS
  assert.ok(connectMs >= rttMs && connectMs < rttMs + 10, `${connectMs}`)
  assert.ok(oneAtATime.p50Ms >= rttMs && oneAtATime.p50Ms < rttMs + 10, `${oneAtATime.p50Ms}`)
  assert.ok(oneAtATime.p99Ms >= oneAtATime.p50Ms)
  assert.ok(Math.abs(oneAtATime.requests - 1_000 / rttMs) < 5, `${oneAtATime.requests}`)
  assert.ok(at64.perSecond > 40 * oneAtATime.perSecond, `${at64.perSecond}`)
})

test('an end that goes away in the middle is told, not waited for', async () => {
  for (const direction of ['forward', 'reverse'] as const) {
    const place = open()
    place.far.host.clock.setTimer(() => void place.far.endpoint.close({ drainMs: 0 }), 1_500)
    const failure = await measure(place, { direction, seconds: 60 }).catch((error) => error)
    assert.ok(isHoldfastError(failure, 'UNREACHABLE'), String(failure))
  }
})

/** Serves by hand. */
const impostor = (handle: (session: Session, first: TransportStream) => void): Place => {
  const place = open({}, { serves: false })
  place.far.endpoint.onSession((session) => {
    let isFirst = true
    session.onStream((stream) => {
      if (isFirst) handle(session, stream)
      else stream.resume()
      isFirst = false
    })
  })
  return place
}

test('bytes that are wrong are never reported as right', async () => {
  const place = impostor((session, control) => {
    const stream = session.openStream({ direction: 'uni' })
    stream.end(Buffer.alloc(1_000))
    const link = { rttMs: 0, minRttMs: 0, lossRate: 0, retransmitRate: 0, mtuBytes: 1_472 }
    const inUse = { cipher: 'none', crc: 'full', congestion: 'bbr', driver: 'plain' }
    const rest = { ...inUse, limitedBy: 'flow', wireBytesSent: 0, wireBytesReceived: 0 }
    const figures = { bytes: 1_000, wrongAt: null, agoMs: 0, cpuSeconds: 1 }
    const report = { type: 'report', ...figures, link: { ...link, ...rest } }
    control.write(`${JSON.stringify(report)}\n`)
  })
  const { summary } = await measure(place, { direction: 'reverse', bytes: 1_000 })
  assert.equal([summary.verified, summary.wrongAt, summary.bytes], [false, 0, 1_000])
})

test('an end that talks nonsense is an error that says so', async () => {
  for (const nonsense of ['{"type":"report"}\n', 'x'.repeat(10_000), '\n']) {
    const place = impostor((_, control) => control.write(nonsense))
    const failure = await measure(place, { bytes: 1_000 }).catch((error) => error)
    assert.ok(isHoldfastError(failure, 'INVALID_REQUEST'), String(failure))
  }
})

test('who serves shuts out whoever orders nothing, nonsense, or another version', async () => {
  const order = transferOrder({ direction: 'forward', streams: 1, bytes: 1, seconds: null })
  const cases: readonly [what: string, words: string | null][] = [
    ['nothing', null],
    ['nonsense', 'GET / HTTP/1.1\n\n'],
    ['an endless line', 'x'.repeat(10_000)],
    ['another version', `${JSON.stringify({ ...order, version: 2 })}\n`],
    ['too many streams', `${JSON.stringify({ ...order, streams: 1_000 })}\n`],
    ['two orders', `${JSON.stringify(order)}\n`.repeat(2)],
  ]
  for (const [what, words] of cases) {
    const place = open()
    const { publicKey } = PERF_IDENTITY
    const to = { ...place.far.host.address, publicKey }
    const session = await place.world.during(place.near.endpoint.connect(to))
    if (words !== null) session.openStream().write(words)
    const closed = place.world.during(session.closed)
    await place.world.pass(11_000)
    assert.not(session.isOpen, what)
    await closed
  }
})

test('CPU time that two measurements shared is given to neither', async () => {
  const place = open()
  const both = await Promise.all([measure(place, { bytes: MIB }), measure(place, { bytes: MIB })])
  for (const { summary } of both) {
    assert.ok(summary.verified)
    assert.is(summary.cpuSecondsPerGB.receiver, null)
  }
})

test.run()
