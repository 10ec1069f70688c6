// test/protocol/scenarios/ending.test.ts — does an end lose nothing, and do both sides agree on it?
import * as assert from 'uvu/assert'
import { dropFrames, MIB, runScenarios, type Scenario } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }

const scenarios: Scenario[] = [
  {
    name: 'both sides close at once',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 10_000, 2_000)
      const other = stage.server.connections[0]!
      stage.client.close(connection, 0, 'client')
      stage.server.close(other, 0, 'server')
      stage.world.run(2_000)
      assert.is(stage.client.endings.get(connection)?.error, null)
      assert.is(stage.server.endings.get(other)?.error, null)
      assert.is(stage.client.endpoint.connectionCount + stage.server.endpoint.connectionCount, 0)
    },
    // The two CLOSE packets crossed: each side sent one before the other's arrived.
    happened: (_report, stage) =>
      stage.client.endings.values().next().value?.reason === 'client' &&
      stage.server.endings.values().next().value?.reason === 'server',
  },
  {
    name: 'close() twice, and after the end',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.client.close(connection, 7, 'enough')
      stage.client.close(connection, 8, 'again')
      stage.world.run(5_000)
      stage.client.close(connection, 9, 'late')
      stage.world.run(100)
      const [ending] = [...stage.server.endings.values()]
      assert.is(ending?.error?.wireCode, 7)
      assert.is(ending?.error?.remote, true)
    },
    happened: (_report, stage) => stage.server.endings.size === 1,
  },
  {
    name: '#6 CLOSE lost: what still arrives is answered with another',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const other = stage.server.connections[0]!
      stage.server.send(other, { totalBytes: 16 * MIB })
      stage.world.run(100)
      stage.up.options.drop = dropFrames(2, 'close')
      stage.client.close(connection)
      stage.waitFor('the other end', () => stage.server.endings.has(other), 3_000)
    },
    happened: (report) => report.dropped >= 2,
  },
  {
    name: '#6 CLOSE lost twice between two quiet ends',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.world.run(1_000)
      stage.up.options.drop = dropFrames(2, 'close')
      stage.client.close(connection, 3, 'third time lucky')
      stage.waitFor('the other end', () => stage.server.endings.size === 1, 1_000)
      assert.is([...stage.server.endings.values()][0]?.error?.wireCode, 3)
    },
    happened: (report) => report.dropped === 2,
  },
  {
    name: 'graceful close with 4 MiB queued: drained, then closed',
    link: { ...LINK, lossRatio: 0.02 },
    client: { endpoint: { limits: { sendBufferBytes: 4 * MIB } } },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 4 * MIB })
      assert.ok(flow.writtenBytes >= 4 * MIB, 'the send buffer takes it all')
      connection.drain()
      stage.client.driver.wake()
      stage.waitFor('drained', () => connection.isDrained, 20_000)
      stage.client.close(connection)
      stage.waitFor('closed', () => stage.server.endings.size === 1, 5_000)
      assert.is(stage.server.receivedBytes, 4 * MIB)
      assert.is([...stage.server.endings.values()][0]?.error, null)
    },
    happened: (report) => report.dropped > 10,
  },
  {
    name: 'what arrived before CLOSE can be read after it',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      const flow = stage.send(connection, { totalBytes: MIB / 2 })
      stage.waitFor('acknowledged', () => flow.doneMs !== null, 5_000)
      stage.client.close(connection)
      stage.waitFor('closed', () => stage.server.endings.size === 1, 5_000)
      assert.is(stage.server.receivedBytes, 0)
      stage.server.resumeReading()
      assert.is(stage.server.receivedBytes, MIB / 2)
    },
    happened: (_report, stage) => stage.server.intakes[0]?.finishedMs !== null,
  },
  {
    name: 'a reset reaches the reader, its bytes free the windows',
    link: { ...LINK, lossRatio: 0.05 },
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      for (let i = 0; i < 30; i += 1) {
        const flow = stage.send(connection, { totalBytes: MIB, keepOpen: true })
        stage.world.run(300)
        connection.reset(flow.streamId, 100 + i)
        flow.isReset = true
        stage.client.driver.wake()
        const intake = stage.server.intakes.at(-1)!
        stage.waitFor('the reset', () => intake.resetCode === 100 + i, 5_000)
        const other = stage.server.connections[0]!
        other.reset(flow.streamId, 1)
        stage.server.driver.wake()
      }
      stage.server.isReading = true
      stage.transfer(connection, MIB, 10_000)
    },
    happened: (report) => report.sentBytes > 2 * MIB && report.dropped > 50,
  },
  {
    name: 'a reader that has enough stops the writer',
    link: { ...LINK, lossRatio: 0.05 },
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      const flow = stage.send(connection, { totalBytes: 64 * MIB })
      stage.world.run(500)
      stage.server.connections[0]!.stopSending(flow.streamId, 42)
      stage.server.driver.wake()
      stage.waitFor('the stop', () => flow.stoppedCode === 42, 5_000)
      stage.world.run(1_000)
      const sent = stage.up.counts.sentBytes
      stage.world.run(5_000)
      assert.ok(stage.up.counts.sentBytes - sent < 5_000, 'a stopped stream keeps quiet')
      stage.server.isReading = true
      stage.transfer(connection, MIB, 10_000)
    },
    happened: (report) => report.dropped > 5,
  },
  {
    name: '1,000 streams opened and reset leave nothing behind',
    link: { ...LINK, lossRatio: 0.1 },
    act: (stage) => {
      const connection = stage.connect()
      const isOver = (i: number): boolean => stage.client.flows.length > i
      for (let i = 0; i < 1_000; i += 1) {
        stage.client.send(connection, { totalBytes: 2_000, direction: 'uni', keepOpen: true })
        stage.waitFor('a stream', () => isOver(i), 5_000)
        const flow = stage.client.flows[i]!
        flow.isReset = true
        connection.reset(flow.streamId, 1)
        stage.client.driver.wake()
        if (i % 50 === 49) stage.world.run(200)
      }
      stage.world.run(5_000)
      for (const party of [stage.client, stage.server]) {
        const { streams } = party.connections[0] as unknown as { streams: { isEmpty: boolean } }
        assert.ok(streams.isEmpty, `${party.name} still keeps streams`)
      }
      stage.transfer(connection, MIB, 10_000)
    },
    happened: (report) => report.dropped > 10,
  },
  {
    name: 'the server closes in the middle of an upload: a typed end at the client',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.send(connection, { totalBytes: 64 * MIB })
      stage.world.run(300)
      stage.server.close(stage.server.connections[0]!, 5, 'disk is full')
      stage.waitFor('an end', () => stage.client.endings.has(connection), 1_000)
      const { error, reason } = stage.client.endings.get(connection)!
      assert.is(error?.wireCode, 5)
      assert.is(reason, 'disk is full')
    },
    happened: (report) => report.sentBytes > MIB,
  },
]

runScenarios('ending', scenarios)
