// test/protocol/scenarios/handshake.test.ts — is there a session whichever packet of its start is lost?
import * as assert from 'uvu/assert'
import {
  dropFirst,
  dropFrames,
  PACKET_ACCEPT,
  PACKET_DATA,
  PACKET_HELLO,
  runScenarios,
  type Scenario,
  typeOf,
} from './stage.ts'

/** Initial PTO 300 ms, doubled once, and a round trip. */
const TWO_PTO_MS = 950

const isHello = (packet: Uint8Array): boolean => typeOf(packet) === PACKET_HELLO
const isAccept = (packet: Uint8Array): boolean => typeOf(packet) === PACKET_ACCEPT
const isData = (packet: Uint8Array): boolean => typeOf(packet) === PACKET_DATA

type Drop = (packet: Uint8Array) => boolean

function lost(name: string, drops: () => { up?: Drop; down?: Drop }): Scenario {
  return {
    name,
    act: (stage) => {
      const { up = null, down = null } = drops()
      stage.up.options.drop = up
      stage.down.options.drop = down
      const connection = stage.dial(TWO_PTO_MS)
      stage.transfer(connection, 10_000, 3_000)
      assert.is(stage.server.connections.length, 1, 'sessions at the server')
    },
    happened: (report) => report.dropped > 0,
  }
}

const scenarios: Scenario[] = [
  lost('the first HELLO lost', () => ({ up: dropFirst(1, isHello) })),
  lost('the first two HELLOs lost', () => ({ up: dropFirst(2, isHello) })),
  lost('ACCEPT lost', () => ({ down: dropFirst(1, isAccept) })),
  lost('the first DATA of the client lost', () => ({ up: dropFirst(1, isData) })),
  lost('the first three DATA of the client lost', () => ({ up: dropFirst(3, isData) })),
  lost('HANDSHAKE_DONE lost', () => ({ down: dropFrames(1, 'handshake-done') })),
  lost('the first of every kind lost', () => ({
    up: (
      (hello, data) => (packet: Uint8Array) =>
        hello(packet) || data(packet)
    )(dropFirst(1, isHello), dropFirst(1, isData)),
    down: dropFrames(1, 'handshake-done'),
  })),
  {
    name: 'a HELLO that arrives three times makes one session',
    link: { duplicateRatio: 1 },
    act: (stage) => {
      const connection = stage.connect()
      stage.transfer(connection, 10_000, 3_000)
      assert.is(stage.server.connections.length, 1)
      assert.is(stage.server.endpoint.connectionCount, 1)
    },
    happened: (report) => report.duplicated > 3,
  },
  {
    name: 'nobody answers: a typed error after the handshake timeout',
    link: { isDown: true },
    act: (stage) => {
      const connection = stage.client.connect(stage.server)
      stage.waitFor('an end', () => stage.client.endings.has(connection), 11_000)
      const { error, atMs } = stage.client.endings.get(connection)!
      assert.is(error?.code, 'ERR_HOLDFAST_HANDSHAKE_TIMEOUT')
      assert.ok(atMs >= 10_000 && atMs < 10_050, `${atMs} ms`)
    },
    happened: (report) => report.dropped >= 3 && report.delivered === 0,
  },
  {
    name: 'an endpoint that does not accept refuses, and says so at once',
    server: { endpoint: { accepts: false } },
    act: (stage) => {
      const connection = stage.client.connect(stage.server)
      stage.waitFor('an end', () => stage.client.endings.has(connection), 100)
      assert.is(stage.client.endings.get(connection)!.error?.code, 'ERR_HOLDFAST_REFUSED')
    },
    happened: (_report, stage) => stage.server.endpoint.stats.refused === 1,
  },
  {
    name: 'who may not enter is refused before anything is kept of him; others get in',
    act: (stage) => {
      const other = stage.world.addParty('other')
      const { publicKey } = other.identity
      stage.server.endpoint.mayEnter = (peer) => Buffer.compare(peer.publicKey, publicKey) === 0
      const connection = stage.client.connect(stage.server)
      stage.waitFor('an end', () => stage.client.endings.has(connection), 100)
      assert.is(stage.client.endings.get(connection)!.error?.code, 'ERR_HOLDFAST_REFUSED')
      assert.is(stage.server.endpoint.connectionCount, 0)
      const entered = other.connect(stage.server)
      stage.waitFor('a session', () => entered.state === 'open', 100)
    },
    happened: (_report, stage) => stage.server.endpoint.stats.refused === 1,
  },
  {
    name: 'given up in the handshake: silence on both sides',
    act: (stage) => {
      const connection = stage.client.connect(stage.server)
      stage.world.run(15) // ACCEPT is on its way
      stage.client.close(connection)
      stage.world.run(15_000)
      assert.is(stage.server.connections.length, 0)
      const sent = stage.up.counts.sent
      assert.ok(sent <= 3, `${sent} packets of a dial that was given up`)
    },
    happened: (report) => report.delivered > 0,
  },
  {
    name: '200 clients at once, on a link that loses 5 %',
    link: { lossRatio: 0.05 },
    act: (stage) => {
      const clients = Array.from({ length: 200 }, (_, i) => stage.world.addParty(`client ${i}`))
      const dials = clients.map((client) => ({ client, connection: client.connect(stage.server) }))
      const isOpen = (): boolean => dials.every(({ connection }) => connection.state === 'open')
      stage.waitFor('200 sessions', isOpen, 10_000)
      const flows = dials.map(({ client, connection }) =>
        client.send(connection, { totalBytes: 20_000 }),
      )
      stage.waitFor('200 streams', () => flows.every((flow) => flow!.doneMs !== null), 10_000)
      assert.is(stage.server.receivedBytes, 200 * 20_000)
    },
    happened: (report, stage) => report.dropped > 50 && stage.server.connections.length === 200,
  },
]

runScenarios('handshake', scenarios)
