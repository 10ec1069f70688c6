// src/identity/certificate.ts — what does a node's certificate say, and does it hold?
//
//   u8 version 1 | 16 B cluster id | 32 B X25519 public key | u16 roles, a bit each | u16 number |
//   text name | u48 not before | u48 not after | 16 B serial | 64 B signature
//
// Signed by the cluster's key, and good only for the key that the transport has proven.
import { HoldfastError } from '../errors.ts'
import { FieldReader, FieldWriter } from './byte-fields.ts'
import { SIGNATURE_BYTES, type SigningKey } from './signing.ts'

export const ROLES = ['manager', 'server', 'backup', 'restore', 'operator'] as const
export type Role = (typeof ROLES)[number]

export interface Certificate {
  readonly version: 1
  /** 32 hex digits. */
  readonly clusterId: string
  /** The X25519 key that the transport's handshake proves, 64 hex digits. */
  readonly publicKey: string
  readonly roles: readonly Role[]
  readonly name: string
  /** The server's or client's number; 0 for the manager. */
  readonly number: number
  /** Milliseconds since 1970 UTC. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** 32 hex digits. */
  readonly serial: string
}

export type DecodedCertificate =
  | { readonly ok: true; readonly certificate: Certificate }
  | { readonly ok: false; readonly defect: string }

const VERSION = 1
/** Clocks of two machines may differ by so much. */
export const CLOCK_SLACK_MS = 5 * 60_000

export function signCertificate(certificate: Certificate, key: SigningKey): Uint8Array {
  const body = new FieldWriter()
    .u8(VERSION)
    .hex(certificate.clusterId)
    .hex(certificate.publicKey)
    .u16(bitsOf(certificate.roles))
    .u16(certificate.number)
    .text(certificate.name)
    .u48(certificate.notBeforeMs)
    .u48(certificate.notAfterMs)
    .hex(certificate.serial)
    .finish()
  return key.seal('certificate', body)
}

export const bitsOf = (roles: readonly Role[]): number =>
  roles.reduce((bits, role) => bits | (1 << ROLES.indexOf(role)), 0)

/** Null: none, or bits without a meaning. */
export function rolesOf(bits: number): Role[] | null {
  if (bits === 0 || bits >= 1 << ROLES.length) return null
  return ROLES.filter((_, bit) => (bits & (1 << bit)) !== 0)
}

/** Any bytes give a certificate or say what is wrong; never throws. */
export function decodeCertificate(bytes: Uint8Array): DecodedCertificate {
  if (bytes.length === 0) return { ok: false, defect: 'the peer showed no certificate' }
  const fields = new FieldReader(bytes)
  const version = fields.u8()
  if (version !== VERSION) return { ok: false, defect: `certificate version ${version}, not 1` }
  const clusterId = fields.hex(16)
  const publicKey = fields.hex(32)
  const roles = rolesOf(fields.u16())
  const number = fields.u16()
  const name = fields.text()
  const notBeforeMs = fields.u48()
  const notAfterMs = fields.u48()
  const serial = fields.hex(16)
  fields.raw(SIGNATURE_BYTES)
  if (!fields.isAtEnd) return { ok: false, defect: 'the certificate is cut short or too long' }
  if (!roles) return { ok: false, defect: 'unknown roles' }
  if (notAfterMs <= notBeforeMs) return { ok: false, defect: 'it ends before it begins' }
  const dates = { notBeforeMs, notAfterMs }
  return {
    ok: true,
    certificate: { version: 1, clusterId, publicKey, roles, name, number, ...dates, serial },
  }
}

/** Throws unless the certificate holds here, now, for this key: WRONG_CLUSTER, or NOT_ALLOWED with
 * what to do. Who signed it is checked by Trust. */
export function checkCertificate(
  certificate: Certificate,
  expected: { clusterId: string; publicKey: Uint8Array; nowMs: number; role?: Role | undefined },
): void {
  const { name, clusterId, notBeforeMs, notAfterMs } = certificate
  const refuse = (detail: string): never => {
    throw new HoldfastError('NOT_ALLOWED', `${name}: ${detail}`)
  }
  if (clusterId !== expected.clusterId) {
    const detail = `${name} belongs to cluster ${clusterId}, this is ${expected.clusterId}`
    throw new HoldfastError('WRONG_CLUSTER', `${detail}; use the config and --data of one cluster`)
  }
  if (certificate.publicKey !== Buffer.from(expected.publicKey).toString('hex')) {
    refuse('the certificate is for another key')
  }
  if (expected.nowMs < notBeforeMs - CLOCK_SLACK_MS) {
    refuse('the certificate is not valid yet; compare the clocks of both machines')
  }
  if (expected.nowMs > notAfterMs + CLOCK_SLACK_MS) {
    refuse('the certificate has ended; restart the node, and compare the clocks of both machines')
  }
  if (expected.role && !certificate.roles.includes(expected.role)) {
    refuse(`it has no role ${expected.role}`)
  }
}
