// test/protocol/scenarios/load.test.ts — does the transport carry much, many and mixed things fairly?
import * as assert from 'uvu/assert'
import type { ConnectionCore } from '../../../protocol/connection/connection.ts'
import type { LinkOptions } from '../../sim/link.ts'
import { framesOf, MIB, PACKET_DATA, runScenarios, type Scenario, typeOf } from './stage.ts'

const LINK = { rateMbit: 100, delayMs: 10, queueBytes: 250_000 }

/** Nothing is lost, so nothing may be repeated. */
const clean = (what: string, link: Partial<LinkOptions>, sizes: readonly number[]): Scenario => ({
  name: `#1 a clean transfer: ${what}`,
  link,
  act: (stage) => {
    const connection = stage.connect()
    for (const size of sizes) stage.transfer(connection, size, 120_000)
    const { packetsLost, ptoCount, spuriousLosses } = connection.stats()
    assert.equal([packetsLost, ptoCount, spuriousLosses], [0, 0, 0])
  },
  happened: (report) => report.retransmittedBytes === 0 && report.dropped === 0,
})

const scenarios: Scenario[] = [
  clean('1 B to 64 MiB', { rateMbit: 1_000, delayMs: 5 }, [
    ...[1, 100, 1_147, 1_148, 1_419, 65_536, 1_000_003, 64 * MIB],
  ]),
  clean('400 kbit/s', { rateMbit: 0.4, delayMs: 20 }, [1_000, 200_000]),
  clean('1 Gbit/s and 50 µs', { rateMbit: 1_000, delayMs: 0.025 }, [1_000, 16 * MIB]),
  {
    name: 'a 64 MiB stream of 64-byte writes',
    link: { rateMbit: 1_000, delayMs: 1, queueBytes: 2_000_000 },
    client: { endpoint: { mtuBytes: 8_952 } },
    server: { endpoint: { mtuBytes: 8_952 } },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 64 * MIB, writeBytes: 64 })
      stage.waitFor('64 MiB', () => flow.doneMs !== null, 30_000)
      assert.is(stage.server.receivedBytes, 64 * MIB)
    },
    // About 7 400 packets: writes are joined, whatever their size.
    happened: ({ sentBytes }, stage) =>
      sentBytes < 67.5 * MIB && stage.up.counts.sent < 12_000 && stage.up.counts.sent > 7_000,
  },
  {
    name: '1,000 simultaneous streams over 2 % loss',
    link: { ...LINK, lossRatio: 0.02 },
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      const flows = Array.from({ length: 1_000 }, (_, i) =>
        stage.send(connection, { totalBytes: 1_000 + i }),
      )
      stage.waitFor('all to be open', () => stage.server.intakes.length === 1_000, 30_000)
      stage.server.resumeReading()
      stage.waitFor('1,000 streams', () => flows.every((flow) => flow.doneMs !== null), 60_000)
      const finished = stage.server.intakes.filter((intake) => intake.finishedMs !== null)
      assert.is(finished.length, 1_000)
    },
    happened: (report) => report.dropped > 10,
  },
  {
    name: '3,000 short streams through a limit of 16',
    link: LINK,
    server: { endpoint: { limits: { streamsMax: 16 } } },
    act: (stage) => {
      const connection = stage.connect()
      for (let i = 0; i < 3_000; i += 1) stage.client.send(connection, { totalBytes: 100 })
      const isDone = (): boolean =>
        stage.client.flows.length === 3_000 && stage.client.flows.every((f) => f.doneMs !== null)
      stage.waitFor('3,000 streams', isDone, 120_000)
    },
    happened: (_report, stage) => stage.nowMs > 1_000, // about 190 rounds of 16
  },
  {
    name: '#26 a receiver that stops reading stops the sender, and nobody else',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      const flow = stage.send(connection, { totalBytes: 64 * MIB })
      stage.world.run(5_000)
      const held = stage.up.counts.sentBytes
      assert.ok(held < 3 * MIB, `${held} bytes were sent to a reader that reads nothing`)
      assert.ok(
        flow.writtenBytes < 10 * MIB,
        `${flow.writtenBytes} bytes were taken from the writer`,
      )
      const { buffer, share } = (connection as ConnectionCore).streams
      const { budget } = (stage.server.connections[0] as ConnectionCore).streams.share
      const memory = (): number[] => [
        buffer.bufferedBytes,
        share.budget.usedBytes,
        budget.usedBytes,
      ]
      const before = memory()
      stage.world.run(20_000)
      assert.ok(stage.up.counts.sentBytes - held < 20_000, 'a stopped stream keeps quiet')
      assert.equal(memory(), before, 'and costs neither end more')
      assert.is(connection.state, 'open')
      stage.server.resumeReading()
      stage.waitFor('the rest', () => flow.doneMs !== null, 30_000)
      assert.is(stage.server.receivedBytes, 64 * MIB)
    },
    happened: (report) => report.virtualMs > 25_000,
  },
  {
    name: 'eight streams to a reader that has stopped fill the connection, and wait in peace',
    link: LINK,
    act: (stage) => {
      const connection = stage.connect()
      stage.server.isReading = false
      const flows = Array.from({ length: 8 }, () => stage.send(connection, { totalBytes: MIB }))
      stage.world.run(5_000)
      const { turns } = stage.client.host.counts
      const sent = stage.up.counts.sentBytes
      assert.ok(sent < 2 * MIB, `${sent} bytes through a window of 1.5 MiB`)
      stage.world.run(10_000)
      const more = stage.client.host.counts.turns - turns
      assert.ok(more < 500, `${more} turns of the loop in 10 s of waiting`)
      stage.server.resumeReading()
      stage.waitFor('the rest', () => flows.every((flow) => flow.doneMs !== null), 30_000)
    },
    happened: (report) => report.sentBytes > 8 * MIB && report.virtualMs > 15_000,
  },
  {
    name: 'both ends full, neither reads: each says once that it is blocked, then nothing passes',
    link: LINK,
    act: (stage) => {
      stage.server.answerBytes = () => 8 * MIB
      const connection = stage.connect()
      stage.client.isReading = false
      stage.transfer(connection, 100, 1_000) // the answer waits at us
      stage.server.isReading = false
      const flow = stage.send(connection, { totalBytes: 8 * MIB })
      stage.world.run(5_000)
      const packets = (): number => stage.up.counts.sent + stage.down.counts.sent
      const before = packets()
      stage.world.run(6_000)
      assert.is(packets() - before, 0)
      assert.ok(flow.writtenBytes < 8 * MIB, 'it is held back')
      assert.is(stage.client.receivedBytes, 0)
      stage.client.resumeReading()
      stage.server.resumeReading()
      stage.waitFor('the rest', () => flow.doneMs !== null, 30_000)
    },
    happened: (report) => report.sentBytes > 8 * MIB,
  },
  {
    name: 'once the rate is found ACKs become rare: the way back stays free',
    link: { rateMbit: 100, delayMs: 25, queueBytes: 300_000 },
    act: (stage) => {
      const connection = stage.connect()
      const flow = stage.send(connection, { totalBytes: 40 * MIB })
      stage.waitFor('a loss', () => connection.stats().packetsLost > 0, 20_000)
      stage.world.run(1_000)
      const [back, read] = [stage.down.counts.sentBytes, stage.server.receivedBytes]
      const packets = stage.down.counts.sent
      stage.world.run(1_000)
      const ratio = (stage.down.counts.sentBytes - back) / (stage.server.receivedBytes - read)
      assert.ok(ratio < 0.003, `${(100 * ratio).toFixed(2)} % of the bytes went back as ACKs`)
      const count = stage.down.counts.sent - packets
      assert.ok(count > 40, `${count} ACKs a second are too few for a sender's clock`)
      stage.waitFor('the rest', () => flow.doneMs !== null, 20_000)
    },
    happened: (_report, stage) => stage.down.counts.sent > 100,
  },
  {
    name: 'who only acknowledges is acknowledged now and then: neither end remembers it all',
    link: LINK,
    server: {
      endpoint: { limits: { streamWindowBytes: 64 * MIB, connectionWindowBytes: 64 * MIB } },
    },
    act: (stage) => {
      const [counts, silent] = [
        { ping: 0, packets: 0 },
        { now: 0, longest: 0 },
      ]
      stage.down.options.drop = (packet) => {
        if (typeOf(packet) !== PACKET_DATA) return false
        const frames = framesOf(packet)
        const isSilent = frames.every((frame) => frame === 'ack')
        silent.now = isSilent ? silent.now + 1 : 0
        silent.longest = Math.max(silent.longest, silent.now)
        counts.packets += 1
        if (frames.includes('ping')) counts.ping += 1
        return false
      }
      stage.transfer(stage.connect(), 12 * MIB, 20_000) // no window needs to be opened for that
      assert.ok(silent.longest <= 64, `${silent.longest} in a row`)
      assert.ok(counts.ping >= 3 && counts.ping <= counts.packets / 32, JSON.stringify(counts))
    },
    happened: (_report, stage) => stage.down.counts.sent > 300,
  },
  {
    name: '#30 requests stay quick beside a stream that fills the link',
    link: { rateMbit: 50, delayMs: 5, queueBytes: 250_000 },
    act: (stage) => {
      const connection = stage.connect()
      stage.send(connection, { totalBytes: 64 * MIB, urgency: 5 })
      stage.world.run(1_000)
      const tookMs: number[] = []
      for (let i = 0; i < 300; i += 1) {
        const flow = stage.send(connection, { totalBytes: 300, urgency: 0 })
        const answer = stage.client.intakes.at(-1)!
        stage.waitFor('an answer', () => answer.finishedMs !== null, 2_000)
        tookMs.push(answer.finishedMs! - flow.startedMs)
        stage.world.run(7)
      }
      tookMs.sort((a, b) => a - b)
      const [half, most] = [tookMs[150]!, tookMs[297]!]
      assert.ok(most <= 22, `one in a hundred took more than ${most} ms (half: ${half} ms)`)
      const { sent, sentBytes } = stage.up.counts
      const ratio = sentBytes / stage.server.receivedBytes
      assert.ok(ratio < 1.06 && sent > 1_000, `${ratio} bytes on the wire for each that was read`)
    },
    happened: (_report, stage) => stage.server.receivedBytes > 10 * MIB,
  },
  {
    name: '#31 the last urgency still gets its share',
    link: { rateMbit: 50, delayMs: 5, queueBytes: 100_000 },
    act: (stage) => {
      const connection = stage.connect()
      const bulk = stage.send(connection, { totalBytes: 48 * MIB, urgency: 2 })
      const repair = stage.send(connection, { totalBytes: 48 * MIB, urgency: 7 })
      stage.world.run(4_000)
      const read = (id: number): number =>
        stage.server.intakes.find((intake) => intake.streamId === id)!.receivedBytes
      const share = read(repair.streamId) / (read(bulk.streamId) + read(repair.streamId))
      assert.ok(share >= 0.05 && share < 0.07, `the lowest class got ${(100 * share).toFixed(1)} %`)
      for (const { streamId } of [bulk, repair]) connection.reset(streamId, 1)
      stage.client.driver.wake()
    },
    happened: (report) => report.sentBytes > 10 * MIB,
  },
  {
    name: 'two equal streams share evenly',
    link: { rateMbit: 50, delayMs: 5, queueBytes: 100_000 },
    act: (stage) => {
      const connection = stage.connect()
      const flows = [0, 1].map(() => stage.send(connection, { totalBytes: 8 * MIB }))
      stage.waitFor('one stream', () => flows.some((flow) => flow.doneMs !== null), 20_000)
      const [a, b] = stage.server.intakes.map((intake) => intake.receivedBytes)
      assert.ok(Math.min(a!, b!) > 6.5 * MIB, `${a} beside ${b}`)
      stage.waitFor('the other', () => flows.every((flow) => flow.doneMs !== null), 20_000)
    },
    happened: (report) => report.sentBytes > 16 * MIB,
  },
  {
    name: 'trickling for a minute, then bulk',
    link: { rateMbit: 100, delayMs: 20, queueBytes: 500_000 },
    act: (stage) => {
      const connection = stage.connect()
      for (let i = 0; i < 60; i += 1) {
        stage.send(connection, { totalBytes: 500 })
        stage.world.run(1_000)
      }
      const trickled = connection.stats().cwndBytes
      assert.ok(trickled < 2 * MIB, `a window of ${trickled} bytes that nothing has tested`)
      const ms = stage.transfer(connection, 8 * MIB, 20_000)
      assert.ok(ms < 3_000, `8 MiB took ${ms.toFixed()} ms`)
    },
    happened: (report) => report.virtualMs > 60_000,
  },
  {
    name: 'both directions at full rate',
    link: { rateMbit: 50, delayMs: 10, queueBytes: 150_000 },
    act: (stage) => {
      const connection = stage.connect()
      const up = stage.send(connection, { totalBytes: 8 * MIB })
      const back = stage.server.connections[0]!
      const down = stage.server.send(back, { totalBytes: 8 * MIB })!
      stage.waitFor('both', () => up.doneMs !== null && down.doneMs !== null, 30_000)
      assert.is(stage.client.receivedBytes, 8 * MIB)
      assert.is(stage.server.receivedBytes, 8 * MIB)
    },
    happened: (_report, stage) =>
      Math.min(stage.up.counts.sentBytes, stage.down.counts.sentBytes) > 8 * MIB,
  },
]

runScenarios('load', scenarios)
