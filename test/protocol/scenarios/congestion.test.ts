// test/protocol/scenarios/congestion.test.ts — is a path used to the full, shared, and never overrun?
//
// Numbers with # are those of the plan's table of scenarios. Rates are of what the reader got.
import * as assert from 'uvu/assert'
import type { CongestionName } from '../../../protocol/congestion/controller.ts'
import type { Connection } from '../../../protocol/connection/api.ts'
import type { LinkOptions } from '../../sim/link.ts'
import type { Party } from '../../sim/party.ts'
import { MIB, runScenarios, type Scenario, type Stage } from './stage.ts'

const BYTES_PER_MBIT_MS = 125
const PROBE_MS_MAX = 61_000
const FOR_EVER_BYTES = 2 ** 40
const PATIENT = { limits: { handshakeTimeoutMs: 300_000, idleTimeoutMs: 3_600_000 } }

const path = (rateMbit: number, rttMs: number, bdps = 1, rest: Partial<LinkOptions> = {}) => ({
  rateMbit,
  delayMs: rttMs / 2,
  queueBytes: Math.max(3_000, bdps * rateMbit * BYTES_PER_MBIT_MS * rttMs),
  ...rest,
})

/** Megabit per second that the server read, from now on. */
function measureMbit(stage: Stage, forMs: number): number {
  const before = stage.server.receivedBytes
  stage.world.run(forMs)
  return (stage.server.receivedBytes - before) / forMs / BYTES_PER_MBIT_MS
}

function startBulk(stage: Stage): Connection {
  const connection = stage.connect()
  stage.send(connection, { totalBytes: FOR_EVER_BYTES })
  return connection
}

/** What is on its way still arrives. */
function stopBulk(stage: Stage): void {
  for (const flow of stage.client.flows) {
    flow.isReset = true
    flow.connection.reset(flow.streamId, 9)
  }
  stage.client.driver.wake()
  stage.world.run(2_000)
}

const atLeast = (value: number, least: number, what: string): void =>
  assert.ok(value >= least, `${what}: ${value.toFixed(3)}, not ${least}`)
const atMost = (value: number, most: number, what: string): void =>
  assert.ok(value <= most, `${what}: ${value.toFixed(3)}, not ${most} at most`)

/** Fills the path for a while, and has to use so much of it. */
function filling(
  name: string,
  link: ReturnType<typeof path>,
  want: { utilisation: number; settleMs?: number; forMs?: number; lossRatioMax?: number },
  rest: Partial<Scenario> = {},
): Scenario {
  const { utilisation, settleMs = 1_000, forMs = 2_000, lossRatioMax = 1 } = want
  return {
    name,
    link,
    ...rest,
    act: (stage) => {
      startBulk(stage)
      stage.world.run(settleMs)
      const { sent, overflowed } = stage.up.counts
      const mbit = measureMbit(stage, forMs)
      const passes = link.rateMbit * (1 - (link.lossRatio ?? 0))
      atLeast(mbit / passes, utilisation, 'share of the link')
      const { counts } = stage.up
      atMost((counts.overflowed - overflowed) / (counts.sent - sent), lossRatioMax, 'overflow')
      stopBulk(stage)
    },
    happened: rest.happened ?? ((report) => report.delivered > 1_000),
  }
}

/** Slow, but it never stops trying: probes are a minute apart at most. */
function enduring(lossRatio: number, totalBytes: number): Scenario {
  return {
    name: `#2 ${100 * lossRatio} % loss both ways: it goes on and on`,
    link: path(100, 20, 1, { lossRatio }),
    client: { endpoint: PATIENT },
    server: { endpoint: PATIENT },
    act: (stage) => {
      const connection = stage.connect(300_000)
      const flow = stage.send(connection, { totalBytes })
      let sent = 0
      let sentMs = stage.nowMs
      while (flow.doneMs === null) {
        const { packetsSent } = connection.stats()
        if (packetsSent > sent) sentMs = stage.nowMs
        sent = packetsSent
        atMost(stage.nowMs - sentMs, PROBE_MS_MAX, 'ms in which nothing was tried')
        stage.world.run(100)
      }
    },
    happened: (report) => report.dropped / report.sent > lossRatio * 0.7,
  }
}

/** Shares of one queue, after they had time to find them. */
function sharing(
  name: string,
  others: CongestionName,
  { joinMs = 0, bdps = 1 }: { joinMs?: number; bdps?: number } = {},
): Scenario {
  const link = path(40, 40, bdps)
  return {
    name,
    link,
    act: (stage) => {
      const { world, server } = stage
      const other: Party = world.addParty('other', { endpoint: { congestion: others } })
      world.share(stage.up, other, server)
      const first = startBulk(stage)
      world.run(joinMs)
      const second = other.connect(server)
      stage.waitFor('the other', () => second.state === 'open', 10_000)
      other.send(second, { totalBytes: FOR_EVER_BYTES })
      world.run(8_000)
      const before = [first, second].map((flow) => flow.stats().bytesSent)
      world.run(8_000)
      const bytes = [first, second].map((flow, i) => flow.stats().bytesSent - before[i]!)
      const [mine, theirs] = bytes as [number, number]
      const least = Math.min(mine, theirs) / (mine + theirs)
      console.log(`    ${name}: ${(mine / 1e6).toFixed(1)} and ${(theirs / 1e6).toFixed(1)} MB`)
      atLeast(least, 0.15, 'the smaller share')
      const jain = (mine + theirs) ** 2 / (2 * (mine ** 2 + theirs ** 2))
      atLeast(jain, 0.5, "Jain's index")
    },
    happened: (_report, stage) => stage.up.counts.queueBytesMax > link.queueBytes / 2,
  }
}

const scenarios: Scenario[] = [
  filling('#2 1 % loss both ways: 90 % of what passes', path(100, 50, 1, { lossRatio: 0.01 }), {
    utilisation: 0.9,
  }),
  filling('#2 5 % loss both ways: 75 % of what passes', path(100, 50, 1, { lossRatio: 0.05 }), {
    utilisation: 0.75,
    settleMs: 2_000,
    forMs: 3_000,
  }),
  enduring(0.2, 4 * MIB),
  enduring(0.5, MIB / 4),
  {
    name: '#3 5 % loss in bursts of 10: an outage of a millisecond is no persistent congestion',
    link: path(100, 20, 1, { lossRatio: 0.05, burstPackets: 10 }),
    client: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } },
    act: (stage) => {
      const connection = stage.connect(60_000)
      stage.transfer(connection, 16 * MIB, 60_000)
      assert.is(connection.stats().persistentCongestions, 0)
    },
    happened: (report) => report.dropped > 200,
  },
  {
    name: '#9 25 % of the packets 5 ms late at 1 Gbit/s: 80 % used, 1 % taken for lost',
    link: path(1_000, 20, 2, { reorderRatio: 0.25, reorderMs: 5 }),
    act: (stage) => {
      const connection = startBulk(stage)
      stage.world.run(2_000)
      const before = connection.stats()
      atLeast(measureMbit(stage, 400), 800, 'Mbit/s')
      const after = connection.stats()
      const falsely = after.spuriousLosses - before.spuriousLosses
      atMost(falsely / (after.packetsSent - before.packetsSent), 0.01, 'falsely taken for lost')
    },
    happened: (report) => report.reordered > 10_000,
  },
  {
    name: '#10 a delay spike of 200 ms: the window is as large afterwards',
    link: path(100, 20, 2),
    act: (stage) => {
      const connection = startBulk(stage)
      stage.world.run(1_500)
      const windowBytes = connection.stats().cwndBytes
      for (const link of [stage.up, stage.down]) link.options.delayMs = 210
      stage.world.run(150)
      for (const link of [stage.up, stage.down]) link.options.delayMs = 10
      stage.world.run(1_000)
      atLeast(connection.stats().cwndBytes / windowBytes, 0.85, 'of the window before')
      atLeast(measureMbit(stage, 1_000), 85, 'Mbit/s')
    },
    happened: (report) => report.reordered > 50,
  },
  {
    name: '#11 a blackout of 2 s: the path is full again a second later',
    link: path(100, 20),
    act: (stage) => {
      startBulk(stage)
      stage.world.run(1_000)
      for (const link of [stage.up, stage.down]) link.options.isDown = true
      stage.world.run(2_000)
      for (const link of [stage.up, stage.down]) link.options.isDown = false
      // The probe that finds the path again comes twice the outage later at most.
      stage.world.run(3_000)
      atLeast(measureMbit(stage, 1_000), 80, 'Mbit/s')
    },
    happened: (report) => report.dropped > 0 && report.probes > 0,
  },
  filling(
    '#13 timers up to 16 ms late: 90 % of the link',
    path(100, 50),
    { utilisation: 0.9 },
    {
      client: { host: { timerLateMs: 16, timerStepMs: 4 } },
      server: { host: { timerLateMs: 16, timerStepMs: 4 } },
      happened: (_report, stage) => stage.client.host.counts.timers > 20,
    },
  ),
  {
    name: '#19 a tenth of the rate: two paths of queue after 3 s; ten times: 90 % in 30 round trips',
    link: path(100, 40),
    act: (stage) => {
      const connection = startBulk(stage)
      stage.world.run(2_000)
      stage.up.options.rateMbit = 10
      stage.world.run(3_000)
      stage.up.counts.queueBytesMax = 0
      stage.world.run(2_000)
      const pathBytes = 10 * BYTES_PER_MBIT_MS * 40
      atMost(stage.up.counts.queueBytesMax / pathBytes, 2, 'paths that wait in the queue')
      stage.up.options.rateMbit = 100
      const isProbing = (): boolean => connection.stats().congestionState === 'up'
      stage.waitFor('the next look for more', isProbing, 3_500)
      stage.world.run(30 * 40)
      atLeast(measureMbit(stage, 500), 90, 'Mbit/s')
    },
    happened: (report) => report.overflowed > 0,
  },
  filling('#20 a round trip of 50 µs at 1 Gbit/s', path(1_000, 0.05, 80), {
    utilisation: 0.8,
    settleMs: 200,
    forMs: 200,
  }),
  filling('#20 a round trip of 300 ms at 50 Mbit/s', path(50, 300), {
    utilisation: 0.8,
    settleMs: 5_000,
    forMs: 3_000,
  }),
  {
    name: '#20 a way back that is 100 times slower: 80 % used, 2 % of the bytes come back',
    link: path(100, 20),
    act: (stage) => {
      stage.down.options.rateMbit = 1
      stage.down.options.queueBytes = 10_000
      startBulk(stage)
      stage.world.run(1_000)
      atLeast(measureMbit(stage, 1_000), 80, 'Mbit/s')
      atMost(stage.down.counts.sentBytes / stage.up.counts.sentBytes, 0.02, 'bytes back')
    },
    happened: (_report, stage) => stage.down.counts.sent > 100,
  },
  filling('#21 a queue of 0.05 of the path: 60 % used, 6 % lost', path(100, 50, 0.05), {
    utilisation: 0.6,
    lossRatioMax: 0.06,
  }),
  {
    name: '#22 little to send for 10 s, then bulk: the rate is known, and reached in 5 round trips',
    link: path(100, 40),
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 16 * MIB, 10_000)
      const known = connection.stats().deliveryBytesPerSecond
      for (let i = 0; i < 100; i += 1) {
        stage.send(connection, { totalBytes: 2_000 })
        stage.world.run(100)
      }
      atLeast(connection.stats().deliveryBytesPerSecond / known, 0.95, 'of the rate that was known')
      stage.send(connection, { totalBytes: FOR_EVER_BYTES })
      stage.world.run(5 * 40)
      const { delivered } = stage.up.counts
      stage.world.run(200)
      const mbit = ((stage.up.counts.delivered - delivered) * 1_472) / 200 / BYTES_PER_MBIT_MS
      atLeast(mbit, 90, 'Mbit/s')
    },
    happened: (report) => report.virtualMs > 10_000,
  },
  sharing('#23 beside CUBIC', 'cubic'),
  sharing('#23 beside CUBIC, on a queue of half a path', 'cubic', { bdps: 0.5 }),
  sharing('#23 two of us', 'bbr'),
  sharing('#23 one of us joins after 6 s', 'bbr', { joinMs: 6_000 }),
  {
    name: '#24 a policer of 10 Mbit/s: less than 5 % lost after 10 s',
    link: path(10, 50, 1, { policerBytes: 60_000 }),
    act: (stage) => {
      startBulk(stage)
      stage.world.run(10_000)
      const { sent, overflowed } = stage.up.counts
      atLeast(measureMbit(stage, 10_000), 8, 'Mbit/s')
      const { counts } = stage.up
      atMost((counts.overflowed - overflowed) / (counts.sent - sent), 0.05, 'lost')
    },
    happened: (report) => report.overflowed > 100,
  },
  {
    name: '#25 after 6 s of silence nobody looks for the shortest round trip',
    link: path(100, 40, 4),
    client: { endpoint: { congestion: 'bbr-draft' } },
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 8 * MIB, 10_000)
      stage.world.run(6_000)
      stage.send(connection, { totalBytes: FOR_EVER_BYTES })
      const seen = new Set<string>()
      const watch = (forMs: number): void => {
        for (let ms = 0; ms < forMs; ms += 10) {
          stage.world.run(10)
          seen.add(connection.stats().congestionState)
        }
      }
      watch(4_000)
      assert.not(seen.has('probe_rtt'), [...seen].join(', '))
      watch(2_500)
      assert.ok(seen.has('probe_rtt'), 'without silence it is looked for every 5 s')
    },
    happened: (report) => report.virtualMs > 12_000,
  },
]

runScenarios('congestion', scenarios)
