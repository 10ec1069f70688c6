// bench/rivals/self-signed.ts — where does a TLS server get a certificate that is worth nothing?
//
// X.509 v3 (RFC 5280 §4.1) with the fewest fields that OpenSSL takes: P-256, ECDSA with SHA-256.
import { generateKeyPairSync, sign } from 'node:crypto'

const DAY_MS = 86_400_000
const TAG = {
  integer: 0x02,
  bits: 0x03,
  oid: 0x06,
  utf8: 0x0c,
  time: 0x17,
  sequence: 0x30,
} as const
const SET = 0x31
/** DER of the object identifiers. */
const ECDSA_SHA256 = Buffer.from('2a8648ce3d040302', 'hex')
const COMMON_NAME = Buffer.from('550403', 'hex')

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), body])
}

const utcTime = (ms: number): Buffer => {
  const digits = new Date(ms).toISOString().replace(/\D/g, '').slice(2, 14)
  return der(TAG.time, Buffer.from(`${digits}Z`))
}

/** Key and certificate as PEM, good from yesterday to tomorrow. */
export function selfSigned(): { key: string; cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const algorithm = der(TAG.sequence, der(TAG.oid, ECDSA_SHA256))
  const named = der(TAG.oid, COMMON_NAME)
  const attribute = der(TAG.sequence, named, der(TAG.utf8, Buffer.from('bench')))
  const name = der(TAG.sequence, der(SET, attribute))
  const nowMs = Date.now()
  const validity = der(TAG.sequence, utcTime(nowMs - DAY_MS), utcTime(nowMs + DAY_MS))
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const serial = der(TAG.integer, Buffer.from([1]))
  const body = der(TAG.sequence, serial, algorithm, name, validity, name, spki)
  const signature = der(TAG.bits, Buffer.from([0]), sign('sha256', body, privateKey))
  const base64 = der(TAG.sequence, body, algorithm, signature).toString('base64')
  const lines = base64.match(/.{1,64}/g)?.join('\n')
  return {
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  }
}
