// test/protocol/handshake/payload.test.ts — is what an end did not say ever taken for said?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodePayload, encodePayload } from '../../../protocol/handshake/payload.ts'

const test = suite('protocol: handshake payload')

const PARAMETERS = {
  version: 1,
  idleTimeoutMs: 30_000,
  ackDelayMsMax: 7,
  streamWindowBytes: 1,
  connectionWindowBytes: 2,
  streamsMax: 3,
  mtuBytes: 1_472,
  crc: 'header' as const,
  suites: 3,
}
const PAYLOAD = {
  parameters: PARAMETERS,
  certificate: new Uint8Array([1]),
  resetToken: new Uint8Array(16).fill(2),
}

test('a payload comes back as it was written', () => {
  const { parameters, certificate, resetToken } = decodePayload(encodePayload(PAYLOAD))!
  assert.equal(parameters, PARAMETERS)
  assert.equal([...certificate, ...resetToken], [...PAYLOAD.certificate, ...PAYLOAD.resetToken])
})

test('a parameter that is left out is a defect, all but crc, whose 0 is what went before', () => {
  for (let index = 0; index < Object.keys(PARAMETERS).length; index += 1) {
    const bytes = encodePayload(PAYLOAD)
    bytes[1 + 7 * index] = 99 // an id that nobody knows
    const name = Object.keys(PARAMETERS)[index]
    assert.is(decodePayload(bytes) === null, name !== 'crc', name)
  }
})

test.run()
