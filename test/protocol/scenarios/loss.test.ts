// test/protocol/scenarios/loss.test.ts — does everything arrive when packets do not?
import * as assert from 'uvu/assert'
import type { ConnectionCore } from '../../../protocol/connection/connection.ts'
import {
  dropFrames,
  type FrameName,
  framesOf,
  MIB,
  PACKET_DATA,
  runScenarios,
  type Scenario,
  type Stage,
  typeOf,
} from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }

const scenarios: Scenario[] = [
  {
    name: 'a clean link loses and repeats nothing',
    link: { delayMs: 10, rateMbit: 100 },
    act: (stage) => {
      stage.transfer(stage.connect(), 4 * MIB, 20_000)
    },
    happened: (report) => report.dropped === 0 && report.retransmittedBytes === 0,
  },
  {
    name: '1 % loss both ways',
    link: { ...LINK, lossRatio: 0.01 },
    act: (stage) => {
      stage.transfer(stage.connect(), 4 * MIB, 60_000)
    },
    happened: (report) => report.dropped > 10 && report.retransmittedBytes > 0,
  },
  {
    name: '30 % loss both ways',
    link: { ...LINK, lossRatio: 0.3 },
    // Six HELLOs in 10 s: one dial in sixty fails at this loss.
    client: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } },
    server: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } },
    act: (stage) => {
      stage.transfer(stage.connect(60_000), 2 * MIB, 300_000)
    },
    happened: (report) => report.dropped / report.sent > 0.2 && report.retransmittedBytes > MIB / 2,
  },
  {
    name: '#5 every ACK lost for 500 ms: two probes per timeout, then on it goes',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 16 * MIB })
      stage.world.run(500)
      stage.down.options.drop = (packet) => typeOf(packet) === PACKET_DATA
      stage.world.run(100) // the window is full
      const [sent, timeouts] = [stage.up.counts.sent, connection.stats().ptoCount]
      stage.world.run(400)
      const probes = stage.up.counts.sent - sent
      const count = connection.stats().ptoCount - timeouts
      assert.ok(count >= 1 && count <= 8, `${count} probe timeouts in 400 ms of silence`)
      assert.ok(probes >= count && probes <= 2 * count, `${probes} packets for ${count} timeouts`)
      stage.down.options.drop = null
      const resumedMs = stage.nowMs
      const read = stage.server.receivedBytes
      stage.waitFor('more', () => stage.server.receivedBytes > read + MIB, 1_000)
      assert.ok(stage.nowMs - resumedMs < 1_000, `${stage.nowMs - resumedMs} ms until it went on`)
      stage.waitFor('the rest', () => flow.doneMs !== null, 20_000)
    },
    happened: (report) => report.dropped > 2 && report.probes > 0,
  },
  {
    name: '#6 the last packet of a stream (FIN) lost three times',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.up.options.drop = dropFrames(3, 'fin')
      stage.transfer(connection, MIB, 5_000)
    },
    happened: (report) => report.dropped >= 3,
  },
  {
    name: '#6 a FIN of its own, without data, lost twice',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 1_000, keepOpen: true })
      stage.world.run(500)
      stage.up.options.drop = dropFrames(2, 'fin')
      stage.client.finish(flow)
      stage.waitFor('FIN', () => flow.doneMs !== null, 5_000)
      assert.is.not(stage.server.intakes[0]?.finishedMs, null)
    },
    happened: (report) => report.dropped === 2,
  },
  {
    name: 'one packet lost with thousands of others behind it in flight',
    link: { rateMbit: 2_000, delayMs: 20, queueBytes: 32_000_000 },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 64 * MIB })
      const isLarge = (): boolean => connection.stats().inFlightBytes > 2.5 * MIB
      stage.waitFor('a large flight', isLarge, 20_000)
      stage.up.options.drop = dropFrames(1, 'stream')
      stage.waitFor('64 MiB', () => flow.doneMs !== null, 30_000)
      assert.is(connection.state, 'open')
    },
    happened: (report) => report.dropped === 1 && report.retransmittedBytes > 0,
  },
  lostCredit('max-data'),
  lostCredit('max-stream-data'),
  steadyCredit('every second MAX_DATA lost', 'max-data', 2),
  steadyCredit('every second MAX_STREAM_DATA lost', 'max-stream-data', 2),
  steadyCredit('every DATA_BLOCKED lost', 'data-blocked', 1),
  steadyCredit('every STREAM_DATA_BLOCKED lost', 'stream-data-blocked', 1),
]

/** Windows small enough that the sender depends on every update; every n-th frame of a kind is lost. */
function steadyCredit(what: string, frame: FrameName, every: number): Scenario {
  const limits = {
    streamWindowBytes: frame.includes('stream') ? 65_536 : MIB,
    streamWindowBytesMax: frame.includes('stream') ? 65_536 : MIB,
    connectionWindowBytes: frame.includes('stream') ? MIB : 65_536,
    connectionWindowBytesMax: frame.includes('stream') ? MIB : 65_536,
  }
  return {
    name: `#27 ${what}: no stall of more than two probe timeouts`,
    link: LINK,
    server: { endpoint: { limits } },
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, MIB / 4, 10_000)
      let count = 0
      const drop = (packet: Uint8Array): boolean =>
        typeOf(packet) === PACKET_DATA && framesOf(packet).includes(frame) && count++ % every === 0
      stage.down.options.drop = drop
      stage.up.options.drop = drop
      const flow = stage.send(connection, { totalBytes: 2 * MIB })
      const { rtt, peerAckDelayMsMax } = (stage.server.connections[0] as ConnectionCore).recovery
      let [lastMs, last, ptoMs, longestMs] = [stage.nowMs, stage.server.receivedBytes, 0, 0]
      while (flow.doneMs === null && stage.nowMs < 60_000) {
        stage.world.run(1)
        ptoMs = Math.max(ptoMs, rtt.ptoMs(peerAckDelayMsMax, 0))
        longestMs = Math.max(longestMs, stage.nowMs - lastMs)
        if (stage.server.receivedBytes > last) lastMs = stage.nowMs
        last = stage.server.receivedBytes
      }
      assert.is.not(flow.doneMs, null)
      assert.ok(longestMs <= 2 * ptoMs, `nothing for ${longestMs} ms; a timeout is ${ptoMs} ms`)
      assert.ok(count > 2, `${count} such frames`)
    },
    happened: (report) => report.dropped > 1,
  }
}

/** The first ten updates of a limit vanish: the sender must not wait for ever. */
function lostCredit(frame: 'max-data' | 'max-stream-data'): Scenario {
  const limits = { streamWindowBytes: 65_536, connectionWindowBytes: 65_536 }
  const fixed = { streamWindowBytesMax: 65_536, connectionWindowBytesMax: 65_536 }
  return {
    name: `${frame} lost ten times`,
    link: LINK,
    server: { endpoint: { limits: { ...limits, ...fixed } } },
    act: (stage: Stage) => {
      const connection = stage.connect()
      stage.down.options.drop = dropFrames(10, frame)
      stage.transfer(connection, MIB, 30_000)
    },
    happened: (report) => report.dropped === 10,
  }
}

runScenarios('loss', scenarios)
