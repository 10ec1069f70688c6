// test/protocol/handshake/noise.test.ts — do both ends prove who they are, and survive every forgery?
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  KEY_BYTES,
  keysFrom,
  MESSAGE_1_OVERHEAD_BYTES,
  MESSAGE_2_OVERHEAD_BYTES,
  NoiseInitiator,
  NoiseResponder,
} from '../../../protocol/handshake/noise.ts'
import { chosenSeed, Random } from '../../sim/random.ts'
import { testUnless } from '../../support/skip.ts'

interface Vector {
  name: string
  init_prologue: string
  init_static: string
  init_ephemeral: string
  init_remote_static: string
  resp_prologue: string
  resp_static: string
  resp_ephemeral: string
  messages: { payload: string; ciphertext: string }[]
}

/** The package, as an oracle. */
interface Oracle {
  initialise(prologue: Buffer, remoteKey?: Buffer): void
  send(payload?: Buffer): Uint8Array
  recv(message: Buffer): Uint8Array
  complete: boolean
  tx: Uint8Array
  rx: Uint8Array
}
const Noise = createRequire(import.meta.url)('noise-handshake') as new (
  pattern: string,
  isInitiator: boolean,
  keys: { publicKey: Buffer; secretKey: Buffer },
) => Oracle

const seed = chosenSeed()
const random = new Random(seed, 'noise')
const test = suite(`handshake: noise, replay with SEED=${seed}`)
const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const keys = () => keysFrom(random.bytes(KEY_BYTES))
const buffers = ({ publicKey, secretKey }: ReturnType<typeof keys>) => ({
  publicKey: Buffer.from(publicKey),
  secretKey: Buffer.from(secretKey),
})

function pair(prologues: [string, string] = ['same', 'same']) {
  const [initiatorKeys, responderKeys] = [keys(), keys()]
  const initiator = new NoiseInitiator({
    prologue: Buffer.from(prologues[0]),
    keys: initiatorKeys,
    remoteKey: responderKeys.publicKey,
    ephemeralSecret: random.bytes(KEY_BYTES),
  })
  const responder = () =>
    new NoiseResponder({ prologue: Buffer.from(prologues[1]), keys: responderKeys })
  return { initiator, responder, initiatorKeys, responderKeys }
}

const VECTORS = new URL('../../../../shared/vectors/noise.json', import.meta.url)
const absent = existsSync(VECTORS) ? null : 'noise.json of noise-c is not beside the project'
testUnless(test, absent)('the vector of noise-c: both messages, byte by byte', () => {
  const { vectors } = JSON.parse(readFileSync(VECTORS, 'utf8')) as { vectors: Vector[] }
  const vector = vectors.find(({ name }) => name === 'Noise_IK_25519_ChaChaPoly_BLAKE2b')
  assert.ok(vector)
  const initiator = new NoiseInitiator({
    prologue: hex(vector.init_prologue),
    keys: keysFrom(hex(vector.init_static)),
    remoteKey: hex(vector.init_remote_static),
    ephemeralSecret: hex(vector.init_ephemeral),
  })
  const responder = new NoiseResponder({
    prologue: hex(vector.resp_prologue),
    keys: keysFrom(hex(vector.resp_static)),
  })
  const [first, second] = vector.messages
  assert.ok(first && second)
  const message1 = initiator.writeMessage1(hex(first.payload))!
  assert.is(message1.toString('hex'), first.ciphertext)
  const opened = responder.readMessage1(message1)!
  assert.is(opened.payload.toString('hex'), first.payload)
  const answer = responder.writeMessage2(hex(second.payload), hex(vector.resp_ephemeral))!
  assert.is(answer.message.toString('hex'), second.ciphertext)
  assert.is(initiator.readMessage2(answer.message)!.payload.toString('hex'), second.payload)
})

test('noise-handshake and we understand each other, in both roles', () => {
  const prologue = Buffer.from('holdfast1')
  const [a, b] = [keys(), keys()]
  const ours = new NoiseInitiator({
    prologue,
    keys: a,
    remoteKey: b.publicKey,
    ephemeralSecret: random.bytes(KEY_BYTES),
  })
  const theirs = new Noise('IK', false, buffers(b))
  theirs.initialise(prologue)
  // recv() keeps a view of the ephemeral key and wipes it: it gets a copy.
  const payload = theirs.recv(Buffer.from(ours.writeMessage1(Buffer.from('one'))!))
  assert.is(Buffer.from(payload).toString(), 'one')
  const read = ours.readMessage2(Buffer.from(theirs.send(Buffer.from('two'))))!
  assert.is(read.payload.toString(), 'two')
  assert.ok(read.secrets.initiatorToResponder.equals(theirs.rx))
  assert.ok(read.secrets.responderToInitiator.equals(theirs.tx))

  const dialler = new Noise('IK', true, buffers(a))
  dialler.initialise(prologue, Buffer.from(b.publicKey))
  const acceptor = new NoiseResponder({ prologue, keys: b })
  const opened = acceptor.readMessage1(Buffer.from(dialler.send(Buffer.from('three'))))!
  assert.is(opened.payload.toString(), 'three')
  assert.ok(opened.remoteKey.equals(Buffer.from(a.publicKey)))
  const answer = acceptor.writeMessage2(Buffer.from('four'), random.bytes(KEY_BYTES))!
  assert.is(Buffer.from(dialler.recv(Buffer.from(answer.message))).toString(), 'four')
  assert.ok(answer.secrets.initiatorToResponder.equals(dialler.tx))
})

test('forged answers, however many, do not spend the handshake', () => {
  const { initiator, responder } = pair()
  const acceptor = responder()
  acceptor.readMessage1(initiator.writeMessage1(Buffer.from('hello'))!)
  const { message, secrets } = acceptor.writeMessage2(Buffer.from('you'), random.bytes(KEY_BYTES))!
  for (let i = 0; i < 50; i += 1) {
    const forged = Buffer.from(message)
    const at = random.below(forged.length)
    forged[at] = forged[at]! ^ (1 << random.below(8))
    assert.is(initiator.readMessage2(forged), null)
    assert.is(initiator.readMessage2(Buffer.from(random.bytes(random.below(200)))), null)
  }
  const read = initiator.readMessage2(message)!
  assert.ok(read.secrets.responderToInitiator.equals(secrets.responderToInitiator))
})

test('every flipped bit of message 1, and every cut, is refused', () => {
  const { initiator, responder } = pair()
  const message = initiator.writeMessage1(Buffer.from('payload'))!
  assert.is(message.length, MESSAGE_1_OVERHEAD_BYTES + 7)
  // The top bit of an X25519 key is ignored in the arithmetic, and authenticated all the same.
  for (let bit = 0; bit < message.length * 8; bit += 1) {
    const forged = Buffer.from(message)
    forged[bit >> 3] = forged[bit >> 3]! ^ (1 << (bit & 7))
    assert.is(responder().readMessage1(forged), null, `bit ${bit}`)
  }
  for (let length = 0; length < message.length; length += 1) {
    assert.is(responder().readMessage1(message.subarray(0, length)), null)
  }
  assert.ok(responder().readMessage1(message))
})

test('the caller\u2019s bytes stay as they are', () => {
  const { initiator, responder } = pair()
  const acceptor = responder()
  const message1 = initiator.writeMessage1(Buffer.from('one'))!
  const before1 = Buffer.from(message1)
  acceptor.readMessage1(message1)
  const { message } = acceptor.writeMessage2(Buffer.from('two'), random.bytes(KEY_BYTES))!
  assert.is(message.length, MESSAGE_2_OVERHEAD_BYTES + 3)
  const before2 = Buffer.from(message)
  initiator.readMessage2(message)
  assert.ok(message1.equals(before1))
  assert.ok(message.equals(before2))
})

test('another prologue, another key, another initiator: no handshake', () => {
  const differs = pair(['version 1', 'version 2'])
  const message = differs.initiator.writeMessage1(Buffer.alloc(0))!
  assert.is(differs.responder().readMessage1(message), null)
  const [one, two] = [pair(), pair()]
  assert.is(two.responder().readMessage1(one.initiator.writeMessage1(Buffer.alloc(0))!), null)
  const acceptor = one.responder()
  const again = pair()
  acceptor.readMessage1(one.initiator.writeMessage1(Buffer.alloc(0)) ?? Buffer.alloc(0))
  const answer = acceptor.writeMessage2(Buffer.alloc(0), random.bytes(KEY_BYTES))
  again.initiator.writeMessage1(Buffer.alloc(0))
  assert.is(answer && again.initiator.readMessage2(answer.message), null)
})

test('keys of small order make no shared secret', () => {
  const low = Buffer.alloc(KEY_BYTES)
  const initiator = new NoiseInitiator({
    prologue: Buffer.alloc(0),
    keys: keys(),
    remoteKey: low,
    ephemeralSecret: random.bytes(KEY_BYTES),
  })
  assert.is(initiator.writeMessage1(Buffer.alloc(0)), null)
  const { responder, initiator: honest } = pair()
  const message = Buffer.from(honest.writeMessage1(Buffer.alloc(0))!)
  low.copy(message)
  assert.is(responder().readMessage1(message), null)
})

test.run()
