// src/identity/grant.ts — may this peer store or fetch that blob, now?
//
//   u8 version 1 | u8 kind | 16 B cluster id | 16 B repository id | 32 B subject's public key |
//   u8 has (1 blob, 2 session) | 32 B blob id | 16 B session id | u48 size | u48 not before |
//   u48 not after | 64 B signature
//
// Signed by the cluster's key: a server checks it without asking the manager.
import { HoldfastError } from '../errors.ts'
import { FieldReader, FieldWriter } from './byte-fields.ts'
import { CLOCK_SLACK_MS } from './certificate.ts'
import { SIGNATURE_BYTES, type SigningKey } from './signing.ts'

const KINDS = ['store', 'replicate', 'fetch'] as const
export type GrantKind = (typeof KINDS)[number]

export interface Grant {
  readonly version: 1
  /** store: a client to a primary. replicate: a primary to a backup server. fetch: to any server. */
  readonly kind: GrantKind
  readonly clusterId: string
  readonly repositoryId: string
  /** The public key of whoever may use it, 64 hex digits. */
  readonly subject: string
  /** Null: any blob of the repository. */
  readonly blobId: string | null
  readonly sessionId: string | null
  readonly sizeBytesMax: number
  /** Milliseconds since 1970 UTC. */
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export type DecodedGrant =
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly defect: string }

const VERSION = 1
const HAS_BLOB = 1
const HAS_SESSION = 2
const NO_BLOB = '00'.repeat(32)
const NO_SESSION = '00'.repeat(16)

export function signGrant(grant: Grant, key: SigningKey): Uint8Array {
  const has = (grant.blobId ? HAS_BLOB : 0) | (grant.sessionId ? HAS_SESSION : 0)
  const body = new FieldWriter()
    .u8(VERSION)
    .u8(KINDS.indexOf(grant.kind))
    .hex(grant.clusterId)
    .hex(grant.repositoryId)
    .hex(grant.subject)
    .u8(has)
    .hex(grant.blobId ?? NO_BLOB)
    .hex(grant.sessionId ?? NO_SESSION)
    .u48(grant.sizeBytesMax)
    .u48(grant.notBeforeMs)
    .u48(grant.notAfterMs)
    .finish()
  return key.seal('grant', body)
}

/** Any bytes give a grant or say what is wrong; never throws. */
export function decodeGrant(bytes: Uint8Array): DecodedGrant {
  const fields = new FieldReader(bytes)
  const version = fields.u8()
  if (version !== VERSION) return { ok: false, defect: `grant version ${version}, not 1` }
  const kind = KINDS[fields.u8()]
  const clusterId = fields.hex(16)
  const repositoryId = fields.hex(16)
  const subject = fields.hex(32)
  const has = fields.u8()
  const blobId = fields.hex(32)
  const sessionId = fields.hex(16)
  const sizeBytesMax = fields.u48()
  const notBeforeMs = fields.u48()
  const notAfterMs = fields.u48()
  fields.raw(SIGNATURE_BYTES)
  if (!fields.isAtEnd) return { ok: false, defect: 'the grant is cut short or too long' }
  if (!kind || has > (HAS_BLOB | HAS_SESSION)) return { ok: false, defect: 'unknown kind of grant' }
  if (notAfterMs <= notBeforeMs) return { ok: false, defect: 'the grant ends before it begins' }
  return {
    ok: true,
    grant: {
      version: 1,
      kind,
      clusterId,
      repositoryId,
      subject,
      blobId: (has & HAS_BLOB) !== 0 ? blobId : null,
      sessionId: (has & HAS_SESSION) !== 0 ? sessionId : null,
      sizeBytesMax,
      notBeforeMs,
      notAfterMs,
    },
  }
}

export interface GrantUse {
  readonly kind: GrantKind
  readonly clusterId: string
  /** Repository and subject where they are known: the manager meets grants in the hands of others
   * than those that it gave them to. */
  readonly repositoryId?: string
  readonly blobId: string
  /** The public key of whoever shows it, 64 hex digits. */
  readonly subject?: string
  readonly nowMs: number
}

/** GRANT_REFUSED with what does not fit. Who signed it is checked by Trust. */
export function checkGrant(grant: Grant, use: GrantUse): void {
  const refuse = (detail: string): never => {
    throw new HoldfastError('GRANT_REFUSED', detail)
  }
  const { repositoryId, subject } = use
  if (grant.kind !== use.kind) refuse(`it is a ${grant.kind} grant, not a ${use.kind} one`)
  if (grant.clusterId !== use.clusterId) refuse('the grant is of another cluster')
  if (repositoryId !== undefined && grant.repositoryId !== repositoryId)
    refuse('the grant is for another repository')
  if (subject !== undefined && grant.subject !== subject) refuse('the grant is for another peer')
  if (grant.blobId !== null && grant.blobId !== use.blobId) refuse('the grant is for another blob')
  if (use.nowMs < grant.notBeforeMs - CLOCK_SLACK_MS) {
    refuse('the grant is not valid yet; compare the clocks of manager and server')
  }
  if (use.nowMs > grant.notAfterMs + CLOCK_SLACK_MS) refuse('the grant has ended; ask again')
}
