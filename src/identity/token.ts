// src/identity/token.ts — what does a machine elsewhere need to know to join?
//
// `holdfast1-` and, in base64url:
//   u8 version 1 | 16 B cluster id | 32 B manager's X25519 key | 32 B cluster's signing key |
//   text manager's host | u16 port | u16 roles | u16 number | u48 ends | 16 B id | 64 B signature
//
// The manager's key authenticates the manager to the joining node, the signature the token to the
// manager. Whoever has the token can use it, once.
import { HoldfastError } from '../errors.ts'
import { PERF_PUBLIC_KEY } from '../perf-key.ts'
import { FieldReader, FieldWriter } from './byte-fields.ts'
import { bitsOf, type Role, rolesOf } from './certificate.ts'
import { isSealedBy, SIGNATURE_BYTES, type SigningKey } from './signing.ts'

export interface Token {
  readonly clusterId: string
  readonly managerKey: string
  readonly signingKey: string
  readonly host: string
  readonly port: number
  readonly roles: readonly Role[]
  readonly number: number
  /** Milliseconds since 1970 UTC, on the manager's clock. */
  readonly notAfterMs: number
  /** 32 hex digits. */
  readonly tokenId: string
}

const VERSION = 1
const PREFIX = 'holdfast1-'
/** A host of 255 bytes fits. */
export const TOKEN_LENGTH_MAX = 700

export function signToken(token: Omit<Token, 'signingKey'>, key: SigningKey): string {
  const body = new FieldWriter()
    .u8(VERSION)
    .hex(token.clusterId)
    .hex(token.managerKey)
    .hex(key.publicKey)
    .text(token.host)
    .u16(token.port)
    .u16(bitsOf(token.roles))
    .u16(token.number)
    .u48(token.notAfterMs)
    .hex(token.tokenId)
    .finish()
  return PREFIX + Buffer.from(key.seal('token', body)).toString('base64url')
}

/** TOKEN_REFUSED for any text that is not a whole token as its manager made it. */
export function decodeToken(text: string): Token {
  const refuse = (): never => {
    const detail = 'the token is damaged or cut short'
    throw new HoldfastError('TOKEN_REFUSED', `${detail}; ${HOW_TO_GET_A_TOKEN}`)
  }
  const trimmed = text.trim()
  if (trimmed.length > TOKEN_LENGTH_MAX || !trimmed.startsWith(PREFIX)) return refuse()
  const sealed = Buffer.from(trimmed.slice(PREFIX.length), 'base64url')
  if (PREFIX + sealed.toString('base64url') !== trimmed) return refuse()
  const fields = new FieldReader(sealed)
  if (fields.u8() !== VERSION) return refuse()
  const clusterId = fields.hex(16)
  const managerKey = fields.hex(32)
  const signingKey = fields.hex(32)
  const host = fields.text()
  const port = fields.u16()
  const roles = rolesOf(fields.u16())
  const number = fields.u16()
  const notAfterMs = fields.u48()
  const tokenId = fields.hex(16)
  fields.raw(SIGNATURE_BYTES)
  if (!fields.isAtEnd || !roles || host === '' || port === 0) return refuse()
  if (managerKey === PERF_PUBLIC_KEY) return refuse()
  if (!isSealedBy(signingKey, 'token', sealed)) return refuse()
  const keys = { clusterId, managerKey, signingKey }
  return { ...keys, host, port, roles, number, notAfterMs, tokenId }
}

export const HOW_TO_GET_A_TOKEN =
  'print a new one where the manager runs, with `holdfast token server N` or ' +
  '`holdfast token client N --role backup,restore`, and give its last line to --join'
