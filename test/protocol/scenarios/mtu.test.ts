// test/protocol/scenarios/mtu.test.ts — do datagrams become as large as the path allows, and no larger?
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import { MIB, runScenarios, type Scenario, type Stage } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 500_000 }
const JUMBO = { endpoint: { mtuBytes: 65_507 } }
const MINUTE_MS = 60_000

const setPath = (stage: Stage, bytes: number): void => {
  for (const link of [stage.up, stage.down]) link.options.mtuBytes = bytes
}

const mtuOf = (connection: Connection): number => connection.stats().mtuBytes

/** Sends a little of it every second for so long. */
function sendFor(stage: Stage, connection: Connection, ms: number): void {
  const endMs = stage.nowMs + ms
  while (stage.nowMs < endMs) {
    stage.transfer(connection, 20_000, MINUTE_MS)
    stage.world.run(1_000)
  }
}

const scenarios: Scenario[] = [
  {
    name: '#14 a path that takes 1280 bytes from now on, and says nothing: found within a second',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 48 * MIB })
      stage.world.run(1_500)
      assert.is(mtuOf(connection), 1_472)
      setPath(stage, 1_280)
      stage.waitFor('a black hole', () => connection.stats().blackHoles === 1, 1_000)
      stage.waitFor('the rest', () => flow.doneMs !== null, 30_000)
      assert.is(connection.stats().blackHoles, 1)
      sendFor(stage, connection, 40_000)
      const found = mtuOf(connection)
      assert.ok(found > 1_264 && found <= 1_280, `${found} bytes half a minute later`)
    },
    happened: (report) => report.dropped > 10 && report.overflowed < report.dropped,
  },
  {
    name: '#15 loss of 15 % on a path of jumbo frames is no black hole',
    link: { ...LINK, lossRatio: 0.15 },
    client: { ...JUMBO, host: {} },
    server: JUMBO,
    act: (stage) => {
      setPath(stage, 8_980)
      const connection = stage.connect(60_000)
      stage.transfer(connection, 64 * MIB, 300_000)
      assert.is(connection.stats().blackHoles, 0)
      assert.is(mtuOf(connection), 8_952)
    },
    happened: (report) => report.dropped / report.sent > 0.1 && report.dropped > 500,
  },
  {
    name: '#16 a path that takes more than before is found by the raise timer',
    link: LINK,
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      setPath(stage, 1_400)
      const connection = stage.connect()
      sendFor(stage, connection, 20_000)
      const before = mtuOf(connection)
      assert.ok(before > 1_384 && before <= 1_400, `${before}`)
      setPath(stage, 9_000)
      sendFor(stage, connection, 11 * MINUTE_MS)
      assert.is(mtuOf(connection), 8_952)
    },
    happened: (report) => report.dropped > 3 && report.virtualMs > 10 * MINUTE_MS,
  },
  {
    name: '#16 an interface that takes less than before says so: the size follows at once',
    link: LINK,
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 24 * MIB })
      stage.world.run(1_000)
      assert.is(mtuOf(connection), 8_952)
      stage.client.host.options.interfaceBytes = 1_472
      stage.world.run(50)
      assert.is(mtuOf(connection), 1_472)
      stage.waitFor('the rest', () => flow.doneMs !== null, 20_000)
      const { blackHoles, mtuBytes } = connection.stats()
      assert.is(blackHoles, 0)
      assert.is(mtuBytes, 1_472)
    },
    happened: (_report, stage) => stage.client.connections[0]!.stats().packetsLost > 0,
  },
  {
    name: 'a path of 1280 bytes from the start carries everything',
    link: { ...LINK, mtuBytes: 1_280 },
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 16 * MIB, 20_000)
      const { blackHoles, mtuBytes, mtuProbesLost, packetsLost } = connection.stats()
      assert.is(blackHoles, 0)
      assert.ok(mtuBytes > 1_264 || mtuProbesLost > 5, `${mtuBytes}`)
      assert.is(packetsLost, mtuProbesLost, 'a lost probe is all that is lost')
    },
    happened: (report) => report.dropped > 2,
  },
  {
    name: 'a lost probe is no sign of congestion',
    link: { rateMbit: 100, delayMs: 10, mtuBytes: 1_472 },
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      const ms = stage.transfer(stage.connect(), 16 * MIB, 20_000)
      const mbit = (16 * MIB * 8) / ms / 1_000
      assert.ok(mbit > 75, `${mbit.toFixed(0)} of 100 Mbit/s`)
    },
    happened: (report) => report.dropped > 2,
  },
  {
    name: 'jumbo frames are in use from the second round trip on',
    link: LINK,
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      setPath(stage, 9_000)
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 2 * MIB })
      stage.waitFor('jumbo', () => mtuOf(connection) === 8_952, 60)
      stage.waitFor('the rest', () => flow.doneMs !== null, 5_000)
    },
    happened: (report) => report.dropped === 0,
  },
  {
    name: 'on loopback the largest datagrams are in use after one round trip',
    link: { delayMs: 0.02 },
    client: { ...JUMBO, address: '127.0.0.1' },
    server: { ...JUMBO, address: '127.0.0.2' },
    act: (stage) => {
      const connection = stage.connect()
      const ms = stage.transfer(connection, 8 * MIB, 1_000)
      assert.is(mtuOf(connection), 65_507)
      assert.ok(ms < 20, `${ms} ms`)
    },
    happened: (report) => report.sent < 700 && report.dropped === 0,
  },
  {
    name: 'a peer that asks and answers is not searched with probes',
    link: LINK,
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      const connection = stage.connect()
      for (let i = 0; i < 50; i += 1) stage.transfer(connection, 700, 5_000)
      assert.is(mtuOf(connection), 1_200)
    },
    happened: (report) => report.sentBytes < 200_000,
  },
  {
    name: 'a client that moves to another network searches anew',
    link: LINK,
    client: JUMBO,
    server: JUMBO,
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 2 * MIB, 5_000)
      const back = stage.server.connections[0]!
      stage.server.send(back, { totalBytes: 2 * MIB, direction: 'uni' })
      stage.world.run(2_000)
      assert.is(mtuOf(back), 8_952)
      stage.world.rebind(stage.client, { host: '10.9.9.9' })
      setPath(stage, 1_472)
      const flow = stage.server.send(back, { totalBytes: 4 * MIB, direction: 'uni' })!
      stage.send(connection, { totalBytes: 1_000 })
      stage.waitFor('the rest', () => flow.doneMs !== null, 20_000)
      assert.ok(mtuOf(back) <= 1_472)
      assert.is(back.stats().blackHoles, 0)
    },
    happened: (report) => report.dropped > 0,
  },
]

runScenarios('path MTU', scenarios)
