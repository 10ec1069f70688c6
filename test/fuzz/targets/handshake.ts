// test/fuzz/targets/handshake.ts — can handshake messages of any shape open, spend or break anything?
import * as assert from 'node:assert/strict'
import { type Cid, decodeHello } from '../../../protocol/handshake/messages.ts'
import { NoiseInitiator, NoiseResponder } from '../../../protocol/handshake/noise.ts'
import { decodePayload, encodePayload } from '../../../protocol/handshake/payload.ts'
import { RetryTokens } from '../../../protocol/handshake/retry-tokens.ts'
import { identityOf } from '../../support/identity.ts'
import type { Target } from '../target.ts'

const PROLOGUE = Buffer.from('prologue')
const INITIATOR = identityOf(1)
const RESPONDER = identityOf(2)
const secretOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)

export const PAYLOAD = {
  parameters: {
    version: 1,
    idleTimeoutMs: 30_000,
    ackDelayMsMax: 7,
    streamWindowBytes: 1 << 20,
    connectionWindowBytes: 3 << 19,
    streamsMax: 1_024,
    mtuBytes: 1_472,
    crc: 'full' as const,
    suites: 0xff,
  },
  certificate: new Uint8Array([1, 2, 3]),
  resetToken: new Uint8Array(16).fill(9),
}

const payload: Target = {
  name: 'payload',
  sizeBytesMax: 1_000,
  seeds: () => [
    encodePayload(PAYLOAD),
    encodePayload({ ...PAYLOAD, certificate: new Uint8Array(512) }),
  ],
  run(input) {
    const decoded = decodePayload(input)
    if (!decoded) return 'null'
    assert.deepEqual(decodePayload(encodePayload(decoded)), decoded)
    const { parameters, certificate } = decoded
    return `${parameters.version === 1} ${parameters.crc} ${certificate.length > 0}`
  },
}

const newInitiator = () =>
  new NoiseInitiator({
    prologue: PROLOGUE,
    keys: INITIATOR,
    remoteKey: RESPONDER.publicKey,
    ephemeralSecret: secretOf(5),
  })

const newResponder = () => new NoiseResponder({ prologue: PROLOGUE, keys: RESPONDER })

function exchange(): { first: Buffer; second: Buffer; initiator: NoiseInitiator } {
  const initiator = newInitiator()
  const first = initiator.writeMessage1(encodePayload(PAYLOAD))!
  const responder = newResponder()
  responder.readMessage1(first)
  const { message: second } = responder.writeMessage2(Buffer.from('welcome'), secretOf(6))!
  return { first, second, initiator }
}

const noise1: Target = {
  name: 'noise-1',
  sizeBytesMax: 400,
  seeds: () => [exchange().first],
  run(input) {
    const opened = newResponder().readMessage1(input)
    if (!opened) return 'null'
    assert.ok(input.equals(exchange().first), 'a message 1 that nobody wrote has opened')
    return 'opened'
  },
}

const noise2: Target = {
  name: 'noise-2',
  inputsInTest: 500,
  sizeBytesMax: 400,
  seeds: () => [exchange().second],
  run(input) {
    const { second, initiator } = exchange()
    const opened = initiator.readMessage2(input)
    assert.ok(!opened || input.equals(second), 'a message 2 that nobody wrote has opened')
    assert.equal(initiator.readMessage2(second)?.payload.toString(), 'welcome', 'spent')
    return opened ? 'opened' : 'null'
  },
}

const FROM = { host: '10.0.0.1', port: 1 }
const CID: Cid = [1, 2]

function tokensAt(nowMs: number): { tokens: RetryTokens; token: Buffer } {
  const tokens = new RetryTokens((lengthBytes) => new Uint8Array(lengthBytes).fill(3))
  return { tokens, token: tokens.make(nowMs, FROM, CID, [3, 4]) }
}

const retryToken: Target = {
  name: 'retry-token',
  sizeBytesMax: 255,
  seeds: () => [tokensAt(1_000).token, tokensAt(900).token],
  run(input) {
    const { tokens, token } = tokensAt(1_000)
    const isGood = tokens.isGood(1_000, input, FROM, CID)
    if (!isGood) return 'refused'
    const early = tokensAt(900).token
    assert.ok(input.equals(token) || input.equals(early), 'a token that nobody made is good')
    assert.ok(!tokens.isGood(1_000, input, { ...FROM, port: 2 }, CID))
    assert.ok(!tokens.isGood(12_000, input, FROM, CID))
    return 'good'
  },
}

const helloParts: Target = {
  name: 'hello-parts',
  sizeBytesMax: 1_400,
  seeds: () => [
    Buffer.alloc(1_200),
    Buffer.concat([Buffer.alloc(32), Buffer.from([2, 7, 7, 3, 0, 1, 2, 3]), Buffer.alloc(20)]),
  ],
  run(input) {
    const parts = decodeHello(input)
    if (!parts) return 'null'
    assert.ok(parts.token.length + parts.message.length + 3 + 32 + 16 <= input.length)
    return `${parts.token.length > 0} ${parts.message.length > 0}`
  },
}

export const handshakeTargets: readonly Target[] = [payload, noise1, noise2, retryToken, helloParts]
