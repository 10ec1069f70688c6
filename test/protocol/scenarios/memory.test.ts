// test/protocol/scenarios/memory.test.ts — how much can peers make us hold, known ones and strangers?
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import { ConnectionCore } from '../../../protocol/connection/connection.ts'
import type { Party } from '../../sim/party.ts'
import { MIB, runScenarios, type Scenario, Stage } from './stage.ts'

const KIB = 1024
const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 2_000_000 }
const LONG = { rateMbit: 50, delayMs: 100, queueBytes: 4_000_000 }
const STRANGERS = 64
const HOLDING_BACK = { endpoint: { admission: 'by-application' } } as const

/** Bytes that wait at a party for somebody to read them. */
function unreadBytes(party: Party): number {
  let sum = 0
  for (const connection of party.connections) {
    assert.instance(connection, ConnectionCore)
    const { receiving } = (connection as ConnectionCore).streams
    for (const { highest, consumed } of receiving.values()) sum += highest - consumed
  }
  return sum
}

const streamsOf = (connection: Connection): number =>
  (connection as ConnectionCore).streams.receiving.size

/** Milliseconds from the first packet until 3 MiB are acknowledged. */
function firstTransferMs(seed: number, admits: boolean): number {
  const stage = new Stage(seed, { link: LONG, ...(admits && { server: HOLDING_BACK }) })
  if (admits) stage.server.onAccepted = (connection) => connection.admit()
  const ms = stage.transfer(stage.dial(5_000), 3 * MIB, 20_000)
  stage.world.finish()
  return ms
}

const scenarios: Scenario[] = [
  {
    name: '64 strangers that send all they may: 4 MiB, and 8 streams each',
    link: LINK,
    server: HOLDING_BACK,
    act: (stage) => {
      stage.server.isReading = false
      for (let i = 0; i < STRANGERS; i += 1) {
        const connection = stage.connect()
        // Half of them try it with bytes, half with streams.
        if (i % 2 === 0) stage.send(connection, { totalBytes: MIB })
        else for (let n = 0; n < 40; n += 1) stage.client.send(connection, { totalBytes: 1_000 })
      }
      stage.world.run(5_000)
      const bytes = unreadBytes(stage.server)
      assert.ok(bytes > MIB && bytes <= STRANGERS * 64 * KIB, `${bytes} bytes wait`)
      const streams = stage.server.connections.map(streamsOf)
      assert.is(Math.max(...streams), 8)
      // Two of them turn out to be friends.
      const [bulk, many] = stage.server.connections as [Connection, Connection]
      bulk.admit()
      many.admit()
      stage.server.driver.wake()
      stage.world.run(1_000)
      assert.is(streamsOf(many), 40)
      assert.ok(unreadBytes(stage.server) - bytes > MIB / 2, 'its window is open')
    },
    happened: (_report, stage) => stage.server.connections.length === STRANGERS,
  },
  {
    name: 'a stranger is served all the same, 64 KiB at a time',
    link: LINK,
    server: HOLDING_BACK,
    act: (stage) => {
      const ms = stage.transfer(stage.connect(), MIB, 10_000)
      assert.ok(ms > 15 * 20, `${ms} ms for 16 windows of one round trip each`)
    },
    happened: (report) => report.dropped === 0,
  },
  {
    name: 'who is admitted when the session comes waits no round trip longer',
    link: LONG,
    act: ({ world }) => {
      const [plain, admitted] = [
        firstTransferMs(world.seed, false),
        firstTransferMs(world.seed, true),
      ]
      assert.ok(Math.abs(plain - admitted) < LONG.delayMs / 5, `${plain} and ${admitted} ms`)
    },
    happened: () => true,
  },
  {
    name: 'when memory is short new sessions are refused, those that are there go on',
    link: LINK,
    server: { endpoint: { memoryBudgetBytes: 4 * MIB } },
    act: (stage) => {
      const first = stage.connect()
      stage.server.isReading = false
      for (let i = 0; i < 4; i += 1) stage.send(first, { totalBytes: 2 * MIB })
      const others: Connection[] = []
      for (let i = 0; i < 50; i += 1) {
        others.push(stage.client.connect(stage.server))
        stage.world.run(100)
      }
      const refused = others.filter(({ state }) => state === 'closed')
      assert.ok(refused.length > 0 && refused.length < 45, `${refused.length} of 50 refused`)
      const why = stage.client.endings.get(refused[0]!)?.error
      assert.is(why?.code, 'ERR_HOLDFAST_REFUSED')
      assert.match(why?.message ?? '', /busy/)
      stage.server.resumeReading()
      const isDone = (): boolean => stage.client.flows.every((flow) => flow.doneMs !== null)
      stage.waitFor('the rest', isDone, 20_000)
      for (const connection of others) stage.client.close(connection)
      stage.world.run(5_000)
      stage.transfer(stage.connect(), MIB, 5_000)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.refused > 0,
  },
  {
    name: 'a window that grew for a quick sender is given back after 30 s of silence',
    link: { rateMbit: 1_000, delayMs: 25, queueBytes: 20_000_000 },
    server: { endpoint: { memoryBudgetBytes: 40 * MIB } },
    act: (stage) => {
      stage.transfer(stage.connect(), 64 * MIB, 20_000)
      const { streams } = stage.server.connections[0] as ConnectionCore
      const { budget } = streams.share
      assert.ok(budget.usedBytes > 4 * MIB, `${budget.usedBytes} bytes while it was busy`)
      assert.ok(budget.usedBytes <= 0.8 * 40 * MIB)
      stage.world.run(60_000)
      assert.is(budget.usedBytes, 64 * KIB)
    },
    happened: (report) => report.virtualMs > 60_000,
  },
  {
    name: 'a peer on this machine does not overflow the socket of a busy receiver',
    link: { delayMs: 0.02, rateMbit: 8_000 },
    client: { address: '127.0.0.1', endpoint: { mtuBytes: 65_507 } },
    server: {
      address: '127.0.0.2',
      host: { receiveBufferBytes: 2 * MIB },
      endpoint: { mtuBytes: 65_507, loopbackWindowBytesMax: MIB },
    },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 32 * MIB })
      let stalls = 0
      while (flow.doneMs === null && stalls < 1_000) {
        stage.server.host.stall(20)
        stalls += 1
        stage.world.run(25)
      }
      assert.is(connection.stats().packetsLost, 0)
      assert.is(stage.server.receivedBytes, 32 * MIB)
      assert.ok(stalls >= 3, `${stalls} stalls`)
    },
    happened: (report) => report.virtualMs > 60 && report.dropped === 0,
  },
]

runScenarios('memory', scenarios)
