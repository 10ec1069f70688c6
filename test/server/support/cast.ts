// test/server/support/cast.ts — who takes part in a test, and what are they allowed to do?

import type { LocalIdentity, PeerAddress } from '../../../protocol/types.ts'
import { encodeGrant, type Grant } from '../../../src/identity/index.ts'

export interface Cast {
  readonly clusterId: string
  readonly repositoryId: string
  readonly wallMs: () => number
}

export type Role = { kind: 'manager' } | { kind: 'server' | 'client'; number: number }

/** A key pair's public half, made up from the role; nothing in these tests is encrypted. */
export function identityOf(role: Role): LocalIdentity {
  const publicKey = new Uint8Array(32).fill(role.kind === 'server' ? 2 : role.kind.length)
  publicKey[0] = role.kind === 'manager' ? 0 : role.number
  return { publicKey, secretKey: new Uint8Array(32), certificate: new Uint8Array(0) }
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
  return encodeGrant({
    version: 1,
    kind: what.kind,
    clusterId: cast.clusterId,
    repositoryId: cast.repositoryId,
    subject: what.subject,
    blobId: what.blobId,
    sessionId: null,
    sizeBytesMax: what.sizeBytesMax ?? 16 * 2 ** 20,
    notBeforeMs: cast.wallMs(),
    notAfterMs: cast.wallMs() + 3_600_000,
  })
}
