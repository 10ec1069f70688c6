// test/protocol/scenarios/loss.test.ts — does everything arrive when packets do not?
import * as assert from 'uvu/assert'
import {
  dropFrames,
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
    act: (stage) => {
      stage.transfer(stage.connect(60_000), 2 * MIB, 300_000)
    },
    happened: (report) => report.dropped / report.sent > 0.2 && report.retransmittedBytes > MIB / 2,
  },
  {
    name: '50 % loss both ways, slow but alive',
    link: { ...LINK, lossRatio: 0.5 },
    // More than half of the probes stay unanswered: ten in a row, doubled each time, are 30 s.
    client: { endpoint: { limits: { handshakeTimeoutMs: 300_000, idleTimeoutMs: 3_600_000 } } },
    server: { endpoint: { limits: { handshakeTimeoutMs: 300_000, idleTimeoutMs: 3_600_000 } } },
    act: (stage) => {
      stage.transfer(stage.connect(300_000), MIB / 4, 3_600_000)
    },
    happened: (report) => report.dropped / report.sent > 0.4,
  },
  {
    name: 'loss in bursts of 10 (Gilbert–Elliott), 5 % overall',
    link: { ...LINK, lossRatio: 0.05, burstPackets: 10 },
    client: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } },
    act: (stage) => {
      stage.transfer(stage.connect(60_000), 4 * MIB, 120_000)
    },
    happened: (report) => report.dropped > 30,
  },
  {
    name: 'every ACK lost for a second',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 8 * MIB })
      stage.world.run(200)
      stage.down.options.drop = (packet) => typeOf(packet) === PACKET_DATA
      const probesBefore = connection.stats().ptoCount
      stage.world.run(1_000)
      stage.down.options.drop = null
      const probes = connection.stats().ptoCount - probesBefore
      assert.ok(probes >= 1 && probes <= 10, `${probes} probe timeouts in a second of silence`)
      stage.waitFor('the rest', () => flow.doneMs !== null, 20_000)
    },
    happened: (report) => report.dropped > 5 && report.probes > 0,
  },
  {
    name: 'the last packet of a stream (FIN) lost three times',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.up.options.drop = dropFrames(3, 'fin')
      stage.transfer(connection, MIB, 5_000)
    },
    happened: (report) => report.dropped >= 3,
  },
  {
    name: 'a FIN of its own, without data, lost twice',
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
]

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
