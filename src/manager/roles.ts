// src/manager/roles.ts — who may send which message to the manager?

import { HoldfastError } from '../errors.ts'
import { checkCertificate, decodeCertificate, type Role } from '../identity/index.ts'
import type { Method } from '../messages.ts'
import type { PeerIdentity } from '../rpc/index.ts'

/** Any one of the roles will do. */
const ALLOWED: Partial<Record<Method, readonly Role[]>> = {
  'repository.open': ['backup', 'restore'],
  'repository.list': ['backup', 'restore', 'operator'],
  'backup.begin': ['backup'],
  'backup.touch': ['backup'],
  'backup.abort': ['backup'],
  'chunks.missing': ['backup'],
  'server.assign': ['backup'],
  'snapshot.commit': ['backup'],
  'snapshots.list': ['backup', 'restore', 'operator'],
  'chunks.locate': ['backup', 'restore'],
  status: ['backup', 'restore', 'operator', 'server'],
  'server.register': ['server'],
  'server.heartbeat': ['server'],
  'server.report': ['server'],
  'backup-server.assign': ['server'],
  'replica.stored': ['server'],
}

/** NOT_ALLOWED unless the peer's certificate holds and has a role for the message. */
export function mayCall(
  peer: PeerIdentity,
  method: Method,
  now: { clusterId: string; nowMs: number },
): void {
  const decoded = decodeCertificate(peer.certificate)
  if (!decoded.ok) throw new HoldfastError('NOT_ALLOWED', `bad certificate: ${decoded.defect}`)
  const { certificate } = decoded
  checkCertificate(certificate, { ...now, publicKey: peer.publicKey })
  const roles = ALLOWED[method] ?? []
  if (roles.some((role) => certificate.roles.includes(role))) return
  const has = certificate.roles.join(', ')
  throw new HoldfastError('NOT_ALLOWED', `${certificate.name} (${has}) may not send ${method}`)
}

/** NOT_ALLOWED unless the peer is the server that it speaks for. */
export function mustBeServer(peer: PeerIdentity, number: number): void {
  const decoded = decodeCertificate(peer.certificate)
  if (decoded.ok && decoded.certificate.number === number) return
  throw new HoldfastError('NOT_ALLOWED', `the certificate is not that of server ${number}`)
}
