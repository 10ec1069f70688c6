// test/server/support/cast.ts — who takes part in a test, and what are they allowed to do?

import type { LocalIdentity, PeerAddress } from '../../../protocol/types.ts'
import type { Grant } from '../../../src/identity/index.ts'
import { TestAuthority } from '../../support/test-authority.ts'

export interface Cast {
  readonly clusterId: string
  readonly repositoryId: string
  readonly wallMs: () => number
}

export type Role = { kind: 'manager' } | { kind: 'server' | 'client'; number: number }

export const CLUSTER_ID = 'c1'.repeat(16)

/** A key pair's public half, made up from the role: nothing in these tests is encrypted. */
function publicKeyOf(role: Role): Uint8Array {
  const publicKey = new Uint8Array(32).fill(role.kind === 'server' ? 2 : role.kind.length)
  publicKey[0] = role.kind === 'manager' ? 0 : role.number
  return publicKey
}

const managerKey = publicKeyOf({ kind: 'manager' })
export const authority = new TestAuthority({ clusterId: CLUSTER_ID, managerKey })

export function identityOf(role: Role): LocalIdentity {
  const publicKey = publicKeyOf(role)
  const roles = role.kind === 'client' ? (['backup', 'restore'] as const) : ([role.kind] as const)
  const number = role.kind === 'manager' ? 0 : role.number
  const certificate = authority.certificate(publicKey, { roles, number })
  return { publicKey, secretKey: new Uint8Array(32), certificate }
}

export function addressOf(role: Role): PeerAddress {
  const base = { manager: 7400, server: 7400, client: 7500 }[role.kind]
  const port = base + (role.kind === 'manager' ? 0 : role.number)
  return { host: '127.0.0.1', port, publicKey: identityOf(role).publicKey }
}

export const keyOf = (publicKey: Uint8Array): string => Buffer.from(publicKey).toString('hex')

export function grantFor(
  cast: Cast,
  what: { kind: Grant['kind']; blobId: string | null; subject: string; sizeBytesMax?: number },
): Uint8Array {
  return authority.grant({
    kind: what.kind,
    repositoryId: cast.repositoryId,
    subject: what.subject,
    blobId: what.blobId,
    sessionId: null,
    sizeBytesMax: what.sizeBytesMax ?? 16 * 2 ** 20,
    notBeforeMs: cast.wallMs(),
    notAfterMs: cast.wallMs() + 3_600_000,
  })
}
