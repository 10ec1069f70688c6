// test/protocol/scenarios/damage.test.ts — do damage, copies and detours of packets reach a stream?
import * as assert from 'uvu/assert'
import { MIB, runScenarios, type Scenario } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }

const scenarios: Scenario[] = [
  {
    name: 'a flipped bit in every 20th packet',
    link: { ...LINK, corruptEvery: 20 },
    act: (stage) => {
      stage.transfer(stage.connect(), 4 * MIB, 60_000)
    },
    // A flip in magic or length is "malformed", in a CID "unknown": never more than corrupted.
    happened: ({ corrupted, crcErrors }) =>
      corrupted > 100 && crcErrors > corrupted / 2 && crcErrors <= corrupted,
  },
  {
    name: 'one packet in three damaged, handshake included',
    link: { ...LINK, corruptRatio: 0.33 },
    client: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } },
    server: { endpoint: { limits: { handshakeTimeoutMs: 60_000 } } }, // 10 s are too few for 3 %
    act: (stage) => {
      stage.transfer(stage.connect(60_000), MIB / 2, 120_000)
    },
    happened: (report) => report.corrupted > 100,
  },
  {
    name: 'every packet arrives twice',
    link: { rateMbit: 100, delayMs: 10, duplicateRatio: 1 },
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 4 * MIB, 20_000)
      const acks = stage.down.counts.sent
      assert.ok(acks < stage.up.counts.sent * 2, `${acks} packets back: an ACK storm`)
      stage.world.run(1_000)
      const [sent, { turns }] = [stage.up.counts.sent, stage.client.host.counts]
      stage.world.run(10_000)
      assert.ok(stage.up.counts.sent - sent <= 4, 'ACKs of ACKs, for ever')
      assert.ok(stage.client.host.counts.turns - turns < 500, 'an idle loop that spins')
    },
    happened: (report) => report.duplicated > 2_000 && report.retransmittedBytes === 0,
  },
  {
    name: 'an hour-old packet comes again',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      const kept: Uint8Array[] = []
      stage.up.options.drop = (packet) => {
        if (kept.length < 50) kept.push(packet.slice())
        return false
      }
      stage.transfer(connection, MIB, 20_000)
      stage.world.run(3_600_000)
      for (const packet of kept) stage.server.host.receive(packet, stage.client.host.address)
      stage.world.run(1_000)
      assert.is(stage.server.receivedBytes, MIB)
      stage.transfer(connection, MIB, 20_000)
    },
    happened: (_report, stage) =>
      stage.server.connections.some((connection) => connection.stats().duplicates >= 50),
  },
  {
    name: 'one packet in fifty skips the delay, both ways: the path is not taken for a short one',
    link: { rateMbit: 20, delayMs: 75, reorderRatio: 0.02, reorderMs: -75, queueBytes: 375_000 },
    act: (stage) => {
      const ms = stage.transfer(stage.connect(), 12 * MIB, 60_000)
      const mbit = (12 * MIB * 8) / ms / 1_000
      assert.ok(mbit > 4, `${mbit.toFixed(1)} of 20 Mbit/s with nothing lost`)
    },
    happened: (report) => report.reordered > 100,
  },
  {
    name: 'jitter of 20 ms',
    link: { rateMbit: 50, delayMs: 20, jitterMs: 20, queueBytes: 500_000 },
    act: (stage) => {
      stage.transfer(stage.connect(), 4 * MIB, 60_000)
    },
    happened: (report) => report.reordered > 500,
  },
  {
    name: 'all at once: loss, damage, copies, detours, jitter',
    link: {
      rateMbit: 50,
      delayMs: 15,
      jitterMs: 5,
      queueBytes: 200_000,
      lossRatio: 0.03,
      corruptRatio: 0.02,
      duplicateRatio: 0.05,
      reorderRatio: 0.1,
      reorderMs: 12,
    },
    act: (stage) => {
      stage.transfer(stage.connect(20_000), 2 * MIB, 120_000)
    },
    happened: ({ dropped, corrupted, duplicated, reordered }) =>
      Math.min(dropped, corrupted, duplicated, reordered) > 10,
  },
]

runScenarios('damage', scenarios)
