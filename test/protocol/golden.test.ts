// test/protocol/golden.test.ts — does protocol/README.md show the bytes that the code sends?
import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Endpoint, Transmit } from '../../protocol/connection/api.ts'
import { createCoreEndpoint } from '../../protocol/connection/endpoint.ts'
import { CLOSE_CODE, DEFAULT_LIMITS } from '../../protocol/connection/limits.ts'
import {
  type Cid,
  encodeRefused,
  encodeReset,
  encodeRetry,
  encodeVersions,
} from '../../protocol/handshake/messages.ts'
import { TRANSPORT_ERRORS } from '../../protocol/types.ts'
import { FRAME } from '../../protocol/wire/frames.ts'
import { goldenPacket } from '../support/golden-packets.ts'
import { identityOf } from '../support/identity.ts'

const page = readFileSync(new URL('../../protocol/README.md', import.meta.url), 'utf8')
const CLIENT = { host: '10.0.0.1', port: 1 }
const SERVER = { host: '10.0.0.2', port: 2 }

const open = (number: number, chance: number): Endpoint =>
  createCoreEndpoint({
    identity: identityOf(number),
    random: (lengthBytes) => new Uint8Array(lengthBytes).fill(chance),
  })

const written = (name: string): string => goldenPacket(name).toString('hex')

function send(from: Endpoint, nowMs: number): Buffer {
  const out: Transmit = {
    bytes: new Uint8Array(65_536),
    lengthBytes: 0,
    segmentBytes: 0,
    to: CLIENT,
  }
  assert.ok(from.pollTransmit(nowMs, out))
  return Buffer.from(out.bytes.subarray(0, out.lengthBytes))
}

const test = suite('protocol: the page and the code')

test('a packet of every type is the one of the page', () => {
  const client = open(1, 0x0a)
  const server = open(2, 0x0b)
  const connection = client.connect(0, { ...SERVER, publicKey: identityOf(2).publicKey })
  const hello = send(client, 0)
  assert.is(hello.toString('hex'), written('HELLO'))

  server.handleDatagram(1, hello, CLIENT)
  const accept = send(server, 1)
  assert.is(accept.toString('hex'), written('ACCEPT'))

  client.handleDatagram(2, accept, SERVER)
  const streamId = connection.openStream('bidi', 2)!
  connection.write(streamId, Buffer.from('hello'))
  connection.finish(streamId)
  assert.is(send(client, 2).toString('hex'), written('DATA'))

  const dcid: Cid = [0x0a0a0a0a, 0x0a0a0a0a]
  const ephemeral = hello.subarray(35, 67)
  const retry = { dcid, scid: [0x0b0b0b0b, 0x0b0b0b0b] as Cid, token: Buffer.from('token') }
  const expected = encodeRetry({ ...retry, ephemeral }).toString('hex')
  assert.is(expected, written('RETRY'))
  const refused = encodeRefused({ dcid, reason: 1, ephemeral }).toString('hex')
  assert.is(refused, written('REFUSED'))
  const versions = encodeVersions({ dcid, scid: dcid }).toString('hex')
  assert.is(versions, written('VERSIONS'))
  const token = Buffer.alloc(16, 0xee)
  const reset = { dcid: retry.scid, token, lengthBytes: 45, random: new Uint8Array(24).fill(0x0b) }
  assert.is(encodeReset(reset).toString('hex'), written('RESET'))
})

test('every frame type, close code and error is on the page', () => {
  for (const [name, type] of Object.entries(FRAME)) {
    const hex = type.toString(16).toUpperCase().padStart(2, '0')
    assert.match(page, new RegExp(`[|,] ${hex} [A-Z]`), `${name} (${hex})`)
  }
  for (const [name, code] of Object.entries(CLOSE_CODE)) {
    if (code > 0) assert.match(page, new RegExp(`\\| ${code} [a-z]`), `${name} (${code})`)
  }
  for (const code of Object.keys(TRANSPORT_ERRORS)) {
    assert.ok(page.includes(code) || page.includes(code.replace('ERR_HOLDFAST', '')), code)
  }
})

test('every limit is on the page, with its default', () => {
  const shown = {
    idleTimeoutMs: [30_000, '30 s'],
    handshakeTimeoutMs: [10_000, '10 s'],
    keepAliveMs: [12_000, '12 s'],
    connectionsMax: [4_096, '4096'],
    connectionsPerSourceMax: [64, '64'],
    streamsMax: [1_024, '1024'],
    streamWindowBytes: [2 ** 20, '1 MiB'],
    streamWindowBytesMax: [2 ** 25, '32 MiB'],
    connectionWindowBytesFirst: [2 ** 16, '64 KiB'],
    connectionWindowBytes: [1.5 * 2 ** 20, '1.5 MiB'],
    connectionWindowBytesMax: [2 ** 26, '64 MiB'],
    sendBufferBytes: [2 ** 20, '1 MiB'],
  } as const
  for (const [name, value] of Object.entries(DEFAULT_LIMITS)) {
    const [expected, text] = shown[name as keyof typeof shown]
    assert.is(value, expected, name)
    assert.ok(page.includes(text), `${name}: ${text}`)
  }
})

test.run()
