// test/protocol/connection/path-mtu.test.ts — does the size follow the path, and nothing but the path?
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PathMtu } from '../../../protocol/connection/path-mtu.ts'

const RTT_MS = 30
const PTO_MS = 60
const MINUTE_MS = 60_000
const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`protocol: path MTU, replay with SEED=${seed}`)

interface Options {
  limitBytes?: number
  hintBytes?: number
  setsDontFragment?: boolean
  isLoopback?: boolean
}

/** A sender that always has full packets, on a path that takes `pathBytes`. */
class Bench {
  nowMs = 1_000
  pathBytes: number
  /** Sizes of probes, in order. */
  readonly probes: number[] = []
  readonly mtu: PathMtu
  #number = 100

  constructor(pathBytes: number, options: Options = {}) {
    const { limitBytes = 65_507, hintBytes = 1_472, setsDontFragment = true } = options
    this.pathBytes = pathBytes
    this.mtu = new PathMtu({ hintBytes, setsDontFragment })
    this.mtu.begin(limitBytes, options.isLoopback ?? false)
  }

  /** So many ms of full packets; probes arrive, or are lost, a round trip later. */
  run(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; this.nowMs += RTT_MS) {
      this.mtu.handleFull()
      const size = this.mtu.wantedBytes(this.nowMs)
      if (size === 0) continue
      this.probes.push(size)
      this.mtu.handleProbeSent(size)
      if (size <= this.pathBytes) this.mtu.handleProbeArrived(size)
      else this.mtu.handleProbeLost(this.nowMs + RTT_MS, size, RTT_MS)
    }
  }

  lose(count: number, bytes = this.mtu.sizeBytes, number = this.take(count)): void {
    for (let i = 0; i < count; i += 1) {
      this.mtu.handleLost(this.nowMs, number + i, bytes, this.nowMs - RTT_MS, PTO_MS)
    }
  }

  deliver(count: number, bytes = this.mtu.sizeBytes, number = this.take(count)): void {
    for (let i = 0; i < count; i += 1) this.mtu.handleArrived(number + i, bytes)
  }

  /** The numbers of so many packets that are sent now. */
  take(count: number): number {
    const first = this.#number
    this.#number += count
    return first
  }
}

test('Ethernet: one probe, and no more', () => {
  const bench = new Bench(1_472, { limitBytes: 1_472 })
  bench.run(MINUTE_MS)
  assert.is(bench.mtu.sizeBytes, 1_472)
  assert.equal(bench.probes, [1_472])
})

test('jumbo frames: the hint, then 8952', () => {
  const bench = new Bench(8_952)
  bench.run(1_000)
  assert.equal(bench.probes, [1_472, 8_952])
  assert.is(bench.mtu.sizeBytes, 8_952)
})

test('a tunnel in between: found to 16 bytes, each size tried three times, 100 ms apart', () => {
  const bench = new Bench(1_398)
  bench.run(10_000)
  assert.ok(
    bench.mtu.sizeBytes > 1_398 - 16 && bench.mtu.sizeBytes <= 1_398,
    `${bench.mtu.sizeBytes}`,
  )
  const failed = bench.probes.filter((size) => size > 1_398)
  assert.is(failed.length % 3, 0)
  assert.is(bench.mtu.probesLost, failed.length)
  assert.ok(bench.probes.length < 25, `${bench.probes.length} probes`)
})

test('whatever the path takes is found to 16 bytes, and never passed', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_200, max: 9_500 }), (pathBytes) => {
      const bench = new Bench(pathBytes)
      bench.run(20_000)
      const bestBytes = Math.min(pathBytes, 8_952)
      assert.ok(bench.mtu.sizeBytes <= bestBytes && bench.mtu.sizeBytes > bestBytes - 16)
    }),
    { seed, numRuns: 300 },
  )
})

test('loopback: the largest at once, else 32 KiB', () => {
  const lo = new Bench(65_507, { isLoopback: true })
  lo.run(100)
  assert.equal(lo.probes, [65_507])
  const short = new Bench(65_507, { isLoopback: true, limitBytes: 16_384 })
  short.run(100)
  assert.equal(short.probes, [16_384], 'a peer with little room in its socket')
  const odd = new Bench(40_000, { isLoopback: true })
  odd.run(2_000)
  assert.is(odd.mtu.sizeBytes, 32_768)
})

test('without DF nothing above the hint is tried: fragments would prove it falsely', () => {
  const bench = new Bench(65_507, { setsDontFragment: false })
  bench.run(MINUTE_MS)
  assert.equal(bench.probes, [1_472])
  const configured = new Bench(65_507, { setsDontFragment: false, hintBytes: 8_952 })
  configured.run(MINUTE_MS)
  assert.equal(configured.probes, [8_952])
})

test('who sends no full packets sends no probes', () => {
  const bench = new Bench(8_952)
  for (let i = 0; i < 100; i += 1) assert.is(bench.mtu.wantedBytes(i * 1_000), 0)
})

test('a path that becomes better is found within 10 minutes', () => {
  const bench = new Bench(1_400)
  bench.run(10_000)
  const before = bench.mtu.sizeBytes
  bench.pathBytes = 8_952
  bench.run(500_000)
  assert.is(bench.mtu.sizeBytes, before)
  bench.run(100_000)
  assert.is(bench.mtu.sizeBytes, 8_952)
})

test('a probe that was given up and arrives after all counts', () => {
  const bench = new Bench(8_952)
  bench.mtu.handleFull()
  const size = bench.mtu.wantedBytes(0)
  bench.mtu.handleProbeSent(size)
  bench.mtu.handleProbeLost(100, size, RTT_MS)
  bench.mtu.handleProbeArrived(size)
  assert.is(bench.mtu.sizeBytes, size)
})

test('EMSGSIZE: back to what passed before, at once, and the search goes on below', () => {
  const bench = new Bench(8_952)
  bench.run(1_000)
  bench.mtu.handleTooLarge(bench.nowMs, 8_952)
  assert.is(bench.mtu.sizeBytes, 1_472)
  bench.pathBytes = 4_000
  bench.run(10_000)
  assert.ok(bench.mtu.sizeBytes > 3_984 && bench.mtu.sizeBytes <= 4_000)
  bench.mtu.handleTooLarge(bench.nowMs, 1_300)
  assert.is(bench.mtu.sizeBytes, 1_200)
  bench.mtu.handleTooLarge(bench.nowMs, 1_200)
  assert.is(bench.mtu.sizeBytes, 1_200, 'the least is the least')
})

test('EMSGSIZE for a probe costs no three losses', () => {
  const bench = new Bench(8_952)
  bench.mtu.handleFull()
  bench.mtu.handleProbeSent(bench.mtu.wantedBytes(0))
  bench.mtu.handleProbeArrived(1_472)
  const size = bench.mtu.wantedBytes(0)
  assert.is(size, 8_952)
  bench.mtu.handleProbeSent(size)
  bench.mtu.handleTooLarge(0, size)
  assert.ok(bench.mtu.wantedBytes(0) < size)
  bench.mtu.handleProbeLost(50, size, RTT_MS) // what the recovery finds out later
  assert.is(bench.mtu.probesLost, 0)
})

/** A path of 1472 that takes 1280 from now on. */
function shrunk(): Bench {
  const bench = new Bench(1_472, { limitBytes: 1_472 })
  bench.run(1_000)
  bench.deliver(10)
  bench.pathBytes = 1_280
  return bench
}

test('a black hole: large ones vanish, small ones sent beside them arrive', () => {
  const bench = shrunk()
  bench.lose(10)
  bench.deliver(2, 1_200)
  bench.nowMs += 300
  assert.is(bench.mtu.sizeBytes, 1_472, 'an outage that is over looks the same so far')
  bench.lose(1)
  bench.deliver(2, 1_200)
  assert.is(bench.mtu.sizeBytes, 1_472)
  bench.lose(1)
  assert.is(bench.mtu.sizeBytes, 1_200)
  assert.is(bench.mtu.blackHoles, 1)
  bench.run(25_000)
  assert.is(bench.mtu.sizeBytes, 1_200)
  bench.run(15_000)
  assert.ok(bench.mtu.sizeBytes > 1_264 && bench.mtu.sizeBytes <= 1_280)
})

test('one large packet that arrives is proof enough that there is none', () => {
  const bench = shrunk()
  bench.lose(10)
  bench.deliver(2, 1_200)
  bench.nowMs += 1_000
  bench.deliver(1)
  bench.lose(3)
  bench.deliver(2, 1_200)
  bench.lose(2)
  assert.is(bench.mtu.blackHoles, 0)
  const overtaken = shrunk()
  const numbers = overtaken.take(20)
  overtaken.deliver(1, 1_472, numbers + 15)
  overtaken.lose(15, 1_472, numbers)
  overtaken.deliver(2, 1_200)
  overtaken.nowMs += 1_000
  overtaken.lose(2, 1_472, numbers + 12)
  assert.is(overtaken.mtu.blackHoles, 0, 'what was sent before the one that arrived says nothing')
})

test('an outage is no black hole: small packets were lost as well', () => {
  const bench = shrunk()
  bench.lose(60)
  bench.nowMs += 5_000
  bench.deliver(2, 1_200)
  bench.lose(40, 1_472, 110) // found out only now
  assert.is(bench.mtu.blackHoles, 0)
})

test('random loss of 15, 30 and 50 % is no black hole', () => {
  for (const loss of [0.15, 0.3, 0.5]) {
    fc.assert(
      fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (chances) => {
        const bench = shrunk()
        for (let round = 0; round < 200; round += 1) {
          bench.nowMs += RTT_MS
          const numbers = bench.take(12)
          for (let i = 0; i < 12; i += 1) {
            const bytes = i === 5 ? 100 : 1_472
            if (chances.next().value < loss) bench.lose(1, bytes, numbers + i)
            else bench.deliver(1, bytes, numbers + i)
          }
        }
        assert.is(bench.mtu.blackHoles, 0)
      }),
      { seed, numRuns: 10 },
    )
  }
})

test('a path that swallows again and again is tried less and less often', () => {
  const bench = shrunk()
  const gapsMs: number[] = []
  for (let i = 0; i < 6; i += 1) {
    bench.pathBytes = 1_472
    const startMs = bench.nowMs
    while (bench.mtu.sizeBytes < 1_472) bench.run(1_000)
    gapsMs.push(bench.nowMs - startMs)
    bench.lose(10)
    bench.deliver(2, 1_200)
    bench.nowMs += 300
    bench.lose(2)
    assert.is(bench.mtu.blackHoles, i + 1)
  }
  assert.ok(gapsMs[1]! < 35_000 && gapsMs[2]! > 50_000 && gapsMs[5]! > 400_000, `${gapsMs}`)
  assert.ok(gapsMs[5]! <= 605_000)
})

test.run()
