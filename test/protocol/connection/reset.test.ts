// test/protocol/connection/reset.test.ts — how does a peer learn that the other end was started again?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type {
  Endpoint,
  EndpointEvent,
  EndpointOptions,
  Transmit,
} from '../../../protocol/connection/api.ts'
import { createCoreEndpoint } from '../../../protocol/connection/endpoint.ts'
import type { LocalIdentity } from '../../../protocol/types.ts'
import { packetCrc } from '../../../protocol/wire/crc.ts'
import { chosenSeed, Random } from '../../sim/random.ts'
import { identityOf } from '../../support/identity.ts'
import { memoryQlog, readQlog } from '../../support/qlog-records.ts'

const CLIENT = { host: '10.0.0.1', port: 1 }
const SERVER = { host: '10.0.0.2', port: 2 }
const RESET = 5
const seed = chosenSeed()
const random = new Random(seed, 'reset')
const test = suite(`protocol: stateless reset, replay with SEED=${seed}`)

const open = (identity: LocalIdentity, more: Partial<EndpointOptions> = {}): Endpoint =>
  createCoreEndpoint({ identity, random: (lengthBytes) => random.bytes(lengthBytes), ...more })

const typeOf = (packet: Uint8Array): number => (packet[1]! >> 1) & 15

/** What the endpoint wants to send now. */
function packetsOf(endpoint: Endpoint, nowMs: number): Buffer[] {
  const bytes = new Uint8Array(65_536)
  const out: Transmit = { bytes, lengthBytes: 0, segmentBytes: 0, to: CLIENT }
  const packets: Buffer[] = []
  while (endpoint.pollTransmit(nowMs, out)) {
    packets.push(Buffer.from(bytes.subarray(0, out.lengthBytes)))
  }
  return packets
}

const eventsOf = (endpoint: Endpoint): EndpointEvent[] => {
  const events: EndpointEvent[] = []
  for (let e = endpoint.pollEvent(); e; e = endpoint.pollEvent()) events.push(e)
  return events
}

function connected(more: Partial<EndpointOptions> = {}) {
  const client = open(identityOf(1), more)
  const server = open(identityOf(2))
  const connection = client.connect(0, { ...SERVER, publicKey: identityOf(2).publicKey })
  for (let turn = 0; turn < 4; turn += 1) {
    for (const packet of packetsOf(client, turn)) server.handleDatagram(turn, packet, CLIENT)
    for (const packet of packetsOf(server, turn)) client.handleDatagram(turn, packet, SERVER)
  }
  assert.is(connection.state, 'open')
  eventsOf(client)
  return { client, connection }
}

/** The server was started again with the key in `identity`, and hears the client's next packet. */
function answerOf(client: Endpoint, identity: LocalIdentity): Buffer[] {
  const restarted = open(identity)
  for (const packet of packetsOf(client, 10)) restarted.handleDatagram(10, packet, CLIENT)
  return packetsOf(restarted, 10)
}

test('the first packet to a server that was started again ends the connection, and says why', () => {
  const { log, texts } = memoryQlog()
  const { client, connection } = connected({ log })
  connection.ping()
  const answers = answerOf(client, identityOf(2))
  assert.equal(answers.map(typeOf), [RESET])
  client.handleDatagram(11, answers[0]!, SERVER)
  const [closed] = eventsOf(client)
  assert.is(closed?.type, 'closed')
  assert.match(closed?.type === 'closed' ? closed.reason : '', /forgotten/)
  assert.equal(packetsOf(client, 12), [], 'and nothing is said to it any more')
  const { events } = readQlog([...texts.values()].flat().join(''))
  const [received, recorded] = events.slice(-2).map(({ data }) => data)
  assert.is(received.header.packet_type, 'stateless_reset')
  assert.is(recorded.trigger, 'stateless_reset')
})

test('the reset is shorter than what it answers', () => {
  const { client, connection } = connected()
  connection.ping()
  const asked = packetsOf(client, 10)
  const restarted = open(identityOf(2))
  for (const packet of asked) restarted.handleDatagram(10, packet, CLIENT)
  const [answer] = packetsOf(restarted, 10)
  assert.ok(answer && answer.length < asked[0]!.length)
})

test('a reset by anybody else changes nothing: wrong key, wrong address, guessed token', () => {
  const { client, connection } = connected()
  connection.ping()
  const [stranger] = answerOf(client, identityOf(3))
  client.handleDatagram(11, stranger!, SERVER)
  connection.ping()
  client.handleTimeout(1_000)
  const [true_] = answerOf(client, identityOf(2))
  client.handleDatagram(1_001, true_!, { host: '10.0.0.9', port: 2 })
  const guessed = Buffer.from(true_!)
  guessed[guessed.length - 1] = guessed[guessed.length - 1]! ^ 1
  guessed.writeUInt32LE(packetCrc(guessed, 0, guessed.length, 'full'), 12)
  client.handleDatagram(1_002, guessed, SERVER)
  assert.is(connection.state, 'open')
  client.handleDatagram(1_003, true_!, SERVER)
  assert.is(connection.state, 'draining')
})

test.run()
