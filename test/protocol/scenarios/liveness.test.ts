// test/protocol/scenarios/liveness.test.ts — who notices silence, and who mistakes a pause for it?
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import { framesOf, MIB, runScenarios, type Scenario, type Stage } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }
const MINUTE_MS = 60_000

const codeOf = (stage: Stage, side: 'client' | 'server'): string | undefined =>
  [...stage[side].endings.values()][0]?.error?.code

const scenarios: Scenario[] = [
  {
    name: 'a peer that vanishes in the middle of a transfer',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.send(connection, { totalBytes: 64 * MIB })
      stage.world.run(500)
      stage.server.host.kill()
      const sinceMs = stage.nowMs
      stage.waitFor('an end', () => stage.client.endings.has(connection), 60_000)
      assert.is(codeOf(stage, 'client'), 'ERR_HOLDFAST_IDLE_TIMEOUT')
      const tookMs = stage.nowMs - sinceMs
      assert.ok(tookMs > 29_000 && tookMs < 31_000, `${tookMs} ms`)
      stage.world.parties.pop() // nothing to ask of the dead
    },
    happened: (_report, stage) => stage.server.receivedBytes > 0,
  },
  {
    name: 'a client that vanishes while it is quiet',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 1_000, 1_000)
      stage.client.host.kill()
      stage.waitFor('an end', () => stage.server.endings.size === 1, 60_000)
      assert.is(codeOf(stage, 'server'), 'ERR_HOLDFAST_IDLE_TIMEOUT')
      stage.world.parties.shift()
    },
    happened: (report) => report.virtualMs > 29_000,
  },
  {
    name: 'a quiet session lives for an hour by its keep-alive',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.world.run(3_600_000)
      assert.is(connection.state, 'open')
      assert.is(stage.server.connections[0]?.state, 'open')
      stage.transfer(connection, 1_000, 1_000)
    },
    happened: ({ sent }) => sent > 400 && sent < 1_500, // an exchange every 12 to 15 s
  },
  {
    name: 'quiet for 10 minutes on 20 % loss: the keep-alive outlives it',
    link: { ...LINK, lossRatio: 0.2 },
    client: { endpoint: { limits: { idleTimeoutMs: 10_000, handshakeTimeoutMs: 30_000 } } },
    server: { endpoint: { limits: { handshakeTimeoutMs: 30_000 } } }, // one in 500 takes 10 s
    act: (stage) => {
      const connection = stage.connect(30_000)
      stage.world.run(600_000)
      assert.is(connection.state, 'open')
      stage.transfer(connection, 1_000, 10_000)
    },
    happened: (report) => report.dropped > 20,
  },
  {
    name: 'a peer that reads 500 bytes a minute is closed after 5 minutes: its place is for others',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      sipFor(stage, connection, { bytes: 500, ms: 4.5 * MINUTE_MS })
      assert.is(connection.state, 'open')
      sipFor(stage, connection, { bytes: 500, ms: 2 * MINUTE_MS })
      assert.is.not(connection.state, 'open')
      const error = stage.client.endings.get(connection)?.error
      assert.is(error?.code, 'ERR_HOLDFAST_PROTOCOL')
      assert.is(error?.wireCode, 16)
      assert.is(stage.server.endings.size, 1)
    },
    happened: (_report, stage) => stage.server.endings.size === 1,
  },
  {
    name: 'a peer that reads 50 KB a minute is slow, and may be',
    link: LINK,
    server: { endpoint: { limits: { streamWindowBytes: 65_536, streamWindowBytesMax: 65_536 } } },
    act: (stage) => {
      const connection = stage.connect()
      sipFor(stage, connection, { bytes: 50_000, ms: 20 * MINUTE_MS })
      assert.is(connection.state, 'open')
    },
    happened: (report) => report.dropped === 0,
  },
  {
    name: 'a peer that leaves a gap for 5 minutes is closed: what came behind it takes memory',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 100_000, keepOpen: true })
      stage.world.run(1_000)
      // From now on every packet with streams' bytes is lost but one.
      let index = 0
      stage.up.options.drop = (packet) => framesOf(packet).includes('stream') && index++ !== 2
      stage.client.writeMore(flow, 20_000)
      stage.world.run(4 * MINUTE_MS)
      assert.is(connection.state, 'open')
      stage.world.run(4 * MINUTE_MS)
      assert.is.not(connection.state, 'open')
    },
    happened: (report) => report.dropped > 2,
  },
  {
    name: 'nothing owed, nothing said but a few bytes a minute: a session lives for an hour',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 100, keepOpen: true })
      for (let minute = 0; minute < 60; minute += 1) {
        stage.client.writeMore(flow, 100)
        stage.world.run(MINUTE_MS)
      }
      assert.is(connection.state, 'open')
      assert.is(stage.server.receivedBytes, 6_100)
    },
    happened: (report) => report.virtualMs > 59 * MINUTE_MS,
  },
  {
    name: '#11 a blackout of 60 s ends the session on both sides',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.send(connection, { totalBytes: 16 * MIB })
      stage.world.run(300)
      setDown(stage, true)
      stage.world.run(60_000)
      assert.is(codeOf(stage, 'client'), 'ERR_HOLDFAST_IDLE_TIMEOUT')
      assert.is(codeOf(stage, 'server'), 'ERR_HOLDFAST_IDLE_TIMEOUT')
      setDown(stage, false)
      stage.transfer(stage.connect(), MIB, 5_000) // and a new one works
    },
    happened: (report) => report.dropped > 0,
  },
  {
    name: 'one way only is cut: the own sends do not keep a dead path alive',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.send(connection, { totalBytes: 16 * MIB })
      stage.world.run(300)
      stage.down.options.isDown = true
      stage.waitFor('an end', () => stage.client.endings.has(connection), 40_000)
      assert.is(codeOf(stage, 'client'), 'ERR_HOLDFAST_IDLE_TIMEOUT')
      stage.waitFor('the other', () => stage.server.endings.size === 1, 40_000)
    },
    happened: (report) => report.dropped > 0,
  },
  {
    name: '#12 a sender that stalls for 20 ms again and again sees no false loss',
    link: { rateMbit: 200, delayMs: 2, queueBytes: 40_000_000 },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 24 * MIB })
      const stall = (): void => {
        if (flow.doneMs !== null) return
        stage.client.host.stall(20)
        stage.world.schedule.after(90, stall)
      }
      stage.world.at(stage.nowMs + 100, stall)
      stage.waitFor('all', () => flow.doneMs !== null, 30_000)
      const { ptoCount, spuriousLosses } = connection.stats()
      assert.is(ptoCount, 0, 'probe timeouts although the ACKs lay in the socket')
      assert.is(spuriousLosses, 0)
    },
    happened: (report, stage) => report.dropped === 0 && stage.nowMs > 700,
  },
  {
    name: 'a receiver that stalls for 20 ms, and reads 32 datagrams a turn',
    link: { rateMbit: 200, delayMs: 2, queueBytes: 40_000_000 },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 24 * MIB })
      const stall = (): void => {
        if (flow.doneMs !== null) return
        stage.server.host.stall(20)
        stage.world.schedule.after(90, stall)
      }
      stage.world.at(stage.nowMs + 100, stall)
      stage.waitFor('all', () => flow.doneMs !== null, 30_000)
      assert.is(connection.stats().packetsLost, 0)
    },
    happened: (report, stage) => report.dropped === 0 && stage.nowMs > 700,
  },
  {
    name: 'a small socket buffer at the receiver overflows',
    link: { rateMbit: 500, delayMs: 1, queueBytes: 4_000_000 },
    server: { host: { receiveBufferBytes: 100_000 } },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 8 * MIB })
      stage.world.run(20)
      stage.server.host.stall(20)
      stage.waitFor('all', () => flow.doneMs !== null, 30_000)
    },
    happened: (_report, stage) => stage.server.host.counts.overflowed > 10,
  },
  {
    name: 'an EAGAIN storm at the sender is no loss',
    link: { rateMbit: 1_000, delayMs: 5, queueBytes: 8_000_000 },
    client: { host: { eagain: (index) => index % 7 === 3, eagainMs: 2 } },
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 2 * MIB, 30_000)
      assert.is(connection.stats().packetsLost, 0)
      assert.is(stage.up.counts.sent, connection.stats().packetsSent + 1) // and one HELLO
    },
    happened: (report) => report.eagain > 100 && report.dropped === 0,
  },
]

/** The server reads so many bytes of a large stream every minute, and nothing else. */
function sipFor(stage: Stage, connection: Connection, sip: { bytes: number; ms: number }): void {
  stage.server.isReading = false
  if (stage.client.flows.length === 0) stage.send(connection, { totalBytes: 64 * MIB })
  for (let elapsedMs = 0; elapsedMs < sip.ms; elapsedMs += MINUTE_MS / 2) {
    stage.world.run(MINUTE_MS / 2)
    for (const { streamId } of stage.server.intakes) {
      stage.server.connections[0]!.read(streamId, sip.bytes / 2)
      stage.server.driver.wake()
    }
  }
}

function setDown(stage: Stage, isDown: boolean): void {
  for (const link of [stage.up, stage.down]) link.options.isDown = isDown
}

runScenarios('liveness', scenarios)
