// test/protocol/qlog/trace.test.ts — does the record of a connection tell what happened to it?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EndpointOptions } from '../../../protocol/connection/api.ts'
import { type Cid, encodeRefused } from '../../../protocol/handshake/messages.ts'
import { chacha20Poly1305 } from '../../../protocol/protection/chacha20-poly1305.ts'
import { describeFrames } from '../../../protocol/qlog/frames.ts'
import type { LinkOptions } from '../../sim/link.ts'
import { chosenSeed } from '../../sim/random.ts'
import { fatesOf, memoryQlog, type QlogTrace, readQlog } from '../../support/qlog-records.ts'
import { MIB, PACKET_HELLO, Stage, typeOf } from '../scenarios/stage.ts'

const seed = chosenSeed()
const test = suite(`protocol: qlog, replay with SEED=${seed}`)
const LOSSY: Partial<LinkOptions> = {
  rateMbit: 50,
  delayMs: 10,
  queueBytes: 100_000,
  lossRatio: 0.02,
  reorderRatio: 0.02,
  reorderMs: 5,
  duplicateRatio: 0.01,
  corruptRatio: 0.01,
}

const typesOf = (trace: QlogTrace, what: string): string[] =>
  named(trace, `transport:packet_${what}`).map(({ data }) => data.header.packet_type)

interface Recorded {
  readonly stage: Stage
  readonly client: QlogTrace
  readonly server: QlogTrace
}

/** One transfer each way with both ends recorded. */
function record(link: Partial<LinkOptions>, more: Partial<EndpointOptions> = {}): Recorded {
  const [client, server] = [memoryQlog(), memoryQlog()]
  const stage = new Stage(seed, {
    link,
    client: { endpoint: { log: client.log, ...more } },
    server: { endpoint: { log: server.log, ...more } },
  })
  stage.server.answerBytes = () => MIB / 4
  const connection = stage.connect()
  stage.transfer(connection, MIB, 60_000)
  const isAnswered = (): boolean => stage.client.intakes[0]?.finishedMs !== null
  stage.waitFor('the answer', isAnswered, 60_000)
  stage.client.close(connection)
  stage.waitFor('the close', () => stage.server.endings.size > 0, 10_000)
  stage.world.finish()
  const [[clientName, clientText]] = [...client.texts] as [[string, string[]]]
  const [[serverName, serverText]] = [...server.texts] as [[string, string[]]]
  assert.is(clientName.replace('_client', ''), serverName.replace('_server', ''))
  return { stage, client: readQlog(clientText.join('')), server: readQlog(serverText.join('')) }
}

const readUInt32 = (packet: Uint8Array, at: number): number =>
  new DataView(packet.buffer, packet.byteOffset).getUint32(at, true)

const named = (trace: QlogTrace, name: string) => trace.events.filter((e) => e.name === name)

test('every packet of a lossy transfer is accounted for: sent = acked + lost + in flight', () => {
  const { stage, client, server } = record(LOSSY)
  const report = stage.world.report()
  assert.ok(report.dropped > 10 && report.duplicated > 0 && report.corrupted > 0, 'its trouble')
  for (const [party, trace] of [
    [stage.client, client],
    [stage.server, server],
  ] as const) {
    const fates = fatesOf(trace.events)
    const stats = party.connections[0]!.stats()
    assert.is(fates.sent, stats.packetsSent, 'sent')
    assert.is(fates.acked, stats.packetsAcked, 'acked')
    assert.is(fates.lost, stats.packetsLost, 'lost')
    assert.is(fates.eliciting, fates.acked + fates.lost + fates.inFlight)
    assert.ok(fates.metricsChecked > 100, `${fates.metricsChecked} metrics`)
    const dropped = named(trace, 'transport:packet_dropped').map((event) => event.data.trigger)
    const count = (trigger: string): number => dropped.filter((word) => word === trigger).length
    assert.is(count('duplicate'), stats.duplicates, 'duplicates')
    assert.is(count('header_parse_error'), stats.crcErrors, 'checksum errors')
  }
  assert.ok(named(client, 'recovery:packet_lost').length > 10)
  console.log(
    `  ${client.events.length} events of the client, ${server.events.length} of the server`,
  )
})

test('what one end records as received is what the other records as sent, encrypted or not', () => {
  const { client, server } = record(LOSSY, { suites: [chacha20Poly1305] })
  const byNumber = new Map(
    named(client, 'transport:packet_sent').map(({ data }) => [data.header.packet_number, data]),
  )
  let compared = 0
  for (const { data } of named(server, 'transport:packet_received')) {
    if (data.header.packet_type !== '1RTT') continue
    const sent = byNumber.get(data.header.packet_number)
    assert.equal(data.frames, sent.frames)
    assert.is(data.raw.length, sent.raw.length)
    compared += 1
  }
  assert.ok(compared > 500, `${compared} packets`)
  const bytes = [...byNumber.values()]
    .flatMap(({ frames }) => frames)
    .filter((frame) => frame.frame_type === 'stream' && frame.fin)
  assert.ok(bytes.some((frame) => frame.offset + frame.length === MIB))
})

test('a record begins with the handshake and ends with the close', () => {
  const { client, server } = record({ delayMs: 10 })
  assert.equal(typesOf(client, 'sent').slice(0, 2), ['initial', '1RTT'])
  assert.equal(typesOf(client, 'received').slice(0, 2), ['handshake', '1RTT'])
  assert.equal(typesOf(server, 'received').slice(0, 2), ['initial', '1RTT'])
  assert.equal(typesOf(server, 'sent').slice(0, 2), ['handshake', '1RTT'])
  const [hello] = named(client, 'transport:packet_sent')
  assert.is(hello!.data.header.dcid, client.header.trace.common_fields.group_id)
  assert.is(hello!.data.frames[0].frame_type, 'crypto')
  const owners = named(client, 'transport:parameters_set').map(({ data }) => data.owner)
  assert.equal(owners, ['local', 'remote'])
  const states = named(client, 'recovery:congestion_state_updated').map(({ data }) => data.new)
  assert.is(states[0], 'startup')
  const [closed] = named(client, 'connectivity:connection_closed')
  assert.equal(closed!.data, { owner: 'local', trigger: 'clean' })
  assert.is(named(server, 'connectivity:connection_closed')[0]!.data.owner, 'remote')
  const last = client.events.at(-1)!
  assert.is(last.name, 'connectivity:connection_state_updated')
  assert.equal(last.data, { new: 'closed' })
})

test('a RETRY changes nothing of the name that both records share', () => {
  const { client, server } = record({ delayMs: 10 }, { alwaysRetry: true })
  assert.equal(typesOf(client, 'sent').slice(0, 3), ['initial', 'initial', '1RTT'])
  assert.equal(typesOf(client, 'received').slice(0, 3), ['retry', 'handshake', '1RTT'])
  assert.equal(typesOf(server, 'received').slice(0, 2), ['initial', '1RTT'])
  const [first, second] = named(client, 'transport:packet_sent').map(({ data }) => data.header.dcid)
  assert.is(server.header.trace.common_fields.group_id, first)
  assert.is(named(server, 'transport:packet_received')[0]!.data.header.dcid, second)
})

test('what a stranger says in the handshake is recorded as dropped', () => {
  const { log, texts } = memoryQlog()
  const stage = new Stage(seed, { link: { delayMs: 10 }, client: { endpoint: { log } } })
  const { client, server, world } = stage
  stage.up.options.drop = (packet) => {
    const dcid: Cid = [readUInt32(packet, 24), readUInt32(packet, 28)]
    const ephemeral = new Uint8Array(32)
    const lie = encodeRefused({ dcid, reason: 1, ephemeral })
    if (typeOf(packet) === PACKET_HELLO) {
      world.inject(client, lie, server.host.address)
      world.at(world.nowMs + 100, () => world.inject(client, lie, server.host.address))
    }
    return false
  }
  stage.connect()
  world.run(200)
  world.finish()
  const trace = readQlog([...texts.values()].flat().join(''))
  const dropped = named(trace, 'transport:packet_dropped').map(({ data }) => data.trigger)
  assert.equal(dropped, ['payload_decrypt_error', 'unexpected_packet'])
  assert.equal(typesOf(trace, 'received').slice(0, 1), ['handshake'])
})

test('to be recorded changes nothing of what is sent', () => {
  const hashes = [true, false].map((isRecorded) => {
    const endpoint = isRecorded ? { log: memoryQlog().log } : {}
    const stage = new Stage(seed, { link: LOSSY, client: { endpoint }, server: { endpoint } })
    stage.transfer(stage.connect(), MIB / 2, 60_000)
    stage.world.finish()
    return stage.world.traceHash
  })
  assert.is(hashes[0], hashes[1])
})

test('frames that are cut off or unknown end the list with a word of it', () => {
  const stream = Buffer.from('01090400000000000000000005006865', 'hex')
  assert.equal(describeFrames(stream, 0, stream.length), [
    { frame_type: 'ping' },
    { frame_type: 'unknown', raw_frame_type: 9, details: 'truncated' },
  ])
  const padded = Buffer.from('000000ff00', 'hex')
  assert.equal(describeFrames(padded, 0, padded.length), [
    { frame_type: 'padding', length: 3 },
    { frame_type: 'unknown', raw_frame_type: 255, details: 'no such frame type' },
  ])
})

test('a reset token is not written down', () => {
  const frame = Buffer.from(`1a0502${'c1'.repeat(8)}${'77'.repeat(16)}01`, 'hex')
  const frames = describeFrames(frame, 0, frame.length)
  assert.not.match(JSON.stringify(frames), '7777')
  assert.equal(frames, [
    {
      frame_type: 'new_connection_id',
      sequence_number: 5,
      retire_prior_to: 2,
      connection_id: 'c1'.repeat(8),
    },
    { frame_type: 'ping' },
  ])
})

test.run()
