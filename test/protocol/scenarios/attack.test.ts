// test/protocol/scenarios/attack.test.ts — what can a stranger do who has no key, but the address?
import * as assert from 'uvu/assert'
import {
  encodeHello,
  encodeRefused,
  encodeRetry,
  encodeVersions,
} from '../../../protocol/handshake/messages.ts'
import { keysFrom, NoiseInitiator } from '../../../protocol/handshake/noise.ts'
import { encodePayload } from '../../../protocol/handshake/payload.ts'
import { prologueOf } from '../../../protocol/handshake/prologue.ts'
import { packetCrc } from '../../../protocol/wire/crc.ts'
import { Random } from '../../sim/random.ts'
import {
  MIB,
  PACKET_ACCEPT,
  PACKET_DATA,
  PACKET_HELLO,
  runScenarios,
  type Scenario,
  type Stage,
  typeOf,
} from './stage.ts'

const TOKEN = new Uint8Array(0)
const SPOOFED = 5_000
const WRONG_KEY = 5
/** Where the ephemeral key is in a HELLO without a token. */
const EPHEMERAL_AT = 35

type Cid = readonly [number, number]

const cidAt = (packet: Uint8Array, at: number): Cid => {
  const bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.length)
  return [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)]
}

/** A HELLO by somebody who knows the server's public key, as everybody may. */
function spoofedHello(
  stage: Stage,
  random: Random,
  serverKey = stage.server.identity.publicKey,
): Buffer {
  const dcid: Cid = [random.uint32(), random.uint32()]
  const scid: Cid = [random.uint32(), random.uint32()]
  const noise = new NoiseInitiator({
    prologue: prologueOf({ dcid, scid, token: TOKEN }),
    keys: keysFrom(random.bytes(32)),
    remoteKey: serverKey,
    ephemeralSecret: random.bytes(32),
  })
  const parameters = {
    version: 1,
    idleTimeoutMs: 30_000,
    ackDelayMsMax: 7,
    streamWindowBytes: 1,
    connectionWindowBytes: 1,
    streamsMax: 1,
    mtuBytes: 1_472,
    crc: 'full' as const,
    suites: 0xff,
  }
  const payload = { parameters, certificate: TOKEN, resetToken: new Uint8Array(16) }
  const message = noise.writeMessage1(encodePayload(payload))!
  return encodeHello({ dcid, scid, token: TOKEN, message, serverKey })
}

/** Answers to a HELLO by somebody who saw its CIDs, not its ephemeral key. */
function forgedReplies(hello: Uint8Array): Buffer[] {
  const dcid = cidAt(hello, 24)
  const guess = new Uint8Array(32).fill(9)
  const token = new Uint8Array(30)
  const scid: Cid = [1, 2]
  const accept = Buffer.alloc(220)
  Buffer.from(hello.buffer, hello.byteOffset, 24).copy(accept)
  accept[1] = (1 << 5) | (PACKET_ACCEPT << 1)
  accept.writeUInt16LE(accept.length, 2)
  accept.writeUInt32LE(dcid[0], 4)
  accept.writeUInt32LE(dcid[1], 8)
  accept.writeUInt16LE(150, 32)
  accept.writeUInt32LE(packetCrc(accept, 0, accept.length, 'full'), 12)
  const versions = encodeVersions({ dcid, scid })
  versions[33] = 5
  versions.writeUInt32LE(packetCrc(versions, 0, versions.length, 'full'), 12)
  return [
    accept,
    encodeRetry({ dcid, scid, token, ephemeral: guess }),
    encodeRefused({ dcid, reason: 1, ephemeral: guess }),
    encodeRefused({ dcid, reason: WRONG_KEY, ephemeral: guess }),
    versions,
  ]
}

const scenarios: Scenario[] = [
  {
    name: 'forged ACCEPT, RETRY, REFUSED and VERSIONS come first: the handshake completes',
    act: (stage) => {
      stage.up.options.drop = (packet) => {
        if (typeOf(packet) === PACKET_HELLO) {
          const from = stage.server.host.address
          for (const forged of forgedReplies(packet)) stage.world.inject(stage.client, forged, from)
        }
        return false
      }
      const connection = stage.dial(100)
      stage.transfer(connection, 10_000, 1_000)
    },
    happened: (_report, stage) => stage.client.connections.length === 1,
  },
  {
    name: 'another key answers: the caller is told so within a second',
    act: (stage) => {
      const connection = stage.client.connect(stage.server, keysFrom(new Uint8Array(32)).publicKey)
      stage.waitFor('an end', () => stage.client.endings.has(connection), 1_000)
      const { error, atMs } = stage.client.endings.get(connection)!
      assert.is(error?.code, 'ERR_HOLDFAST_WRONG_PEER')
      assert.ok(atMs >= 800 && atMs < 850, `${atMs} ms`)
      assert.ok(stage.down.counts.sentBytes < stage.up.counts.sentBytes / 20, 'small answers')
      assert.is(stage.server.endpoint.connectionCount, 0)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.badMac1 >= 2,
  },
  {
    name: '"wrong key" by somebody who sees the HELLOs pass does not outrun the true answer',
    act: (stage) => {
      let lost = 0
      stage.up.options.drop = (packet) => {
        if (typeOf(packet) !== PACKET_HELLO) return false
        const ephemeral = packet.slice(EPHEMERAL_AT, EPHEMERAL_AT + 32)
        const lie = encodeRefused({ dcid: cidAt(packet, 24), reason: WRONG_KEY, ephemeral })
        stage.world.inject(stage.client, lie, stage.server.host.address)
        lost += 1
        return lost === 1
      }
      const connection = stage.dial(400)
      stage.transfer(connection, 10_000, 1_000)
    },
    happened: (report) => report.dropped === 1,
  },
  {
    name: '5,000 HELLOs for other keys get ten answers a second, and hide nobody who knows ours',
    act: (stage) => {
      const random = new Random(2, 'flood')
      const { publicKey } = keysFrom(random.bytes(32))
      let sentBytes = 0
      for (let index = 0; index < SPOOFED; index += 1) {
        const hello = spoofedHello(stage, random, publicKey)
        sentBytes += hello.length
        const from = { host: `10.1.${index % 256}.${(index >> 8) + 1}`, port: 1 + index }
        stage.world.at(stage.nowMs + index / 5, () => stage.world.inject(stage.server, hello, from))
      }
      stage.world.run(500)
      stage.transfer(stage.connect(100), 10_000, 1_000)
      stage.world.run(1_000)
      const { refused, badMac1 } = stage.server.endpoint.stats
      assert.is(badMac1, SPOOFED)
      assert.ok(refused <= 20, `${refused} answers: ten at once, and ten a second`)
      const strayBytes = [...stage.world.strayBytes.values()].reduce((sum, n) => sum + n, 0)
      assert.ok(strayBytes < sentBytes / 1_000, `${strayBytes} bytes for ${sentBytes}`)
      // When it is over the next one hears it again.
      const stray = stage.client.connect(stage.server, publicKey)
      stage.waitFor('an end', () => stage.client.endings.has(stray), 1_000)
      assert.is(stage.client.endings.get(stray)!.error?.code, 'ERR_HOLDFAST_WRONG_PEER')
    },
    happened: (_report, stage) => stage.server.endpoint.stats.refused > 10,
  },
  {
    name: 'every HELLO must prove its address: one round trip more, also with loss',
    link: { lossRatio: 0.1 },
    server: { endpoint: { alwaysRetry: true } },
    act: (stage) => {
      for (let i = 0; i < 20; i += 1) stage.connect()
      assert.ok(stage.server.endpoint.stats.retries >= 20)
    },
    happened: (report) => report.dropped > 3,
  },
  {
    name: 'a flood of 5,000 HELLOs with spoofed senders: real clients get in, nobody is hit by it',
    act: (stage) => {
      const random = new Random(1, 'flood')
      const hellos = Array.from({ length: SPOOFED }, () => spoofedHello(stage, random))
      let sentBytes = 0
      for (const [index, hello] of hellos.entries()) {
        sentBytes += hello.length
        const host = `10.${100 + (index % 7)}.${index % 256}.${(index >> 8) + 1}`
        stage.world.at(stage.nowMs + index / 5, () =>
          stage.world.inject(stage.server, hello, { host, port: 1 + index }),
        )
      }
      const clients = Array.from({ length: 50 }, (_, i) => stage.world.addParty(`client ${i}`))
      stage.world.run(200)
      const dials = clients.map((client) => ({ client, connection: client.connect(stage.server) }))
      const isOpen = (): boolean => dials.every(({ connection }) => connection.state === 'open')
      stage.waitFor('50 sessions', isOpen, 1_500)
      const flows = dials.map(({ client, connection }) =>
        client.send(connection, { totalBytes: 100_000 }),
      )
      stage.waitFor('50 transfers', () => flows.every((flow) => flow!.doneMs !== null), 5_000)
      assert.ok(stage.server.endpoint.connectionCount <= 64 + 50, 'half-open ones are bounded')
      stage.world.run(15_000)
      assert.is(stage.server.endpoint.connectionCount, 50, 'and given back')
      const strayBytes = [...stage.world.strayBytes.values()].reduce((sum, n) => sum + n, 0)
      assert.ok(strayBytes <= 3 * sentBytes, `${strayBytes} bytes for ${sentBytes}`)
      for (const bytes of stage.world.strayBytes.values()) assert.ok(bytes <= 3 * 1_200)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.retries > SPOOFED / 2,
  },
  {
    name: 'a HELLO that was overheard and is sent again gets no second connection',
    act: (stage) => {
      let hello: Uint8Array | null = null
      stage.up.options.drop = (packet) => {
        if (typeOf(packet) === PACKET_HELLO) hello ??= packet.slice()
        return false
      }
      stage.transfer(stage.connect(), 10_000, 1_000)
      for (let i = 0; i < 100; i += 1) {
        stage.world.inject(stage.server, hello!.slice(), { host: '10.1.1.1', port: 100 + i })
        stage.world.run(100)
      }
      assert.is(stage.server.endpoint.connectionCount, 1)
    },
    happened: (_report, stage) => stage.server.connections.length === 1,
  },
  {
    name: 'two hosts that forgot everything do not answer each other for ever',
    act: (stage) => {
      const packet = Buffer.alloc(200, 7)
      packet[0] = 0x0b
      packet[1] = (1 << 5) | (PACKET_DATA << 1)
      packet.writeUInt16LE(packet.length, 2)
      packet.fill(0, 16, 22)
      packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
      stage.world.inject(stage.server, packet, stage.client.host.address)
      stage.world.run(10_000)
      const answers = stage.up.counts.sent + stage.down.counts.sent
      assert.ok(answers <= 3, `${answers} packets`)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.resetsSent === 1,
  },
  {
    name: 'a thousand strange packets a second get a hundred answers at most',
    act: (stage) => {
      for (let i = 0; i < 3_000; i += 1) {
        const packet = Buffer.alloc(100, i)
        packet[0] = 0x0b
        packet[1] = (1 << 5) | (PACKET_DATA << 1)
        packet.writeUInt16LE(packet.length, 2)
        packet.fill(0, 16, 22)
        packet.writeUInt32LE(packetCrc(packet, 0, packet.length, 'full'), 12)
        stage.world.at(stage.nowMs + i, () =>
          stage.world.inject(stage.server, packet, { host: '10.1.1.1', port: 99 }),
        )
      }
      stage.world.run(3_500)
      assert.ok(stage.server.endpoint.stats.resetsSent <= 100 * 4)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.resetsSent > 100,
  },
  {
    name: 'a flipped bit in the length field costs one packet',
    act: (stage) => {
      const connection = stage.connect()
      let damaged = 0
      stage.up.options.drop = (packet, index) => {
        if (typeOf(packet) === PACKET_DATA && index % 20 === 0) {
          packet[2] = packet[2]! ^ 1
          damaged += 1
        }
        return false
      }
      stage.transfer(connection, MIB, 10_000)
      stage.world.run(1_000)
      const { crcErrors, malformed } = stage.server.endpoint.stats
      assert.is(crcErrors + malformed, damaged)
    },
    happened: (report) => report.retransmittedBytes > 0,
  },
  {
    name: 'forged packets with a good CRC are counted apart from noise, and change nothing',
    client: { endpoint: {} },
    act: (stage) => {
      const connection = stage.connect()
      let forged = 0
      stage.up.options.drop = (packet) => {
        if (typeOf(packet) === PACKET_DATA && forged < 200) {
          const copy = Buffer.from(packet)
          copy[copy.length - 1] = copy[copy.length - 1]! ^ 1 // the tag
          copy.writeUInt32LE(packetCrc(copy, 0, copy.length, 'full'), 12)
          stage.world.inject(stage.server, copy, stage.client.host.address)
          forged += 1
        }
        return false
      }
      stage.transfer(connection, MIB, 10_000)
      const stats = stage.server.connections[0]!.stats()
      assert.is(stats.authErrors, forged)
      assert.is(stats.crcErrors, 0)
    },
    happened: (_report, stage) => stage.server.connections[0]!.stats().authErrors === 200,
  },
  {
    name: 'after the last byte nothing is said any more',
    act: (stage) => {
      stage.transfer(stage.connect(), 3 * MIB, 10_000)
      stage.world.run(500)
      const before = stage.up.counts.sent + stage.down.counts.sent
      stage.world.run(10_000)
      assert.is(stage.up.counts.sent + stage.down.counts.sent, before)
    },
    happened: (report) => report.sent > 1_000,
  },
]

runScenarios('attack', scenarios)
