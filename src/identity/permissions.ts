// src/identity/permissions.ts — who may send which message to whom?
import type { Method } from '../messages.ts'
import type { Role } from './certificate.ts'

export type Side = 'manager' | 'server'

export interface Permission {
  /** Who answers it. */
  readonly at: Side
  /** Any one of the roles will do. `anyone`: whoever knows the node's key, with or without a
   * certificate; the handler asks for proof of its own. */
  readonly roles: readonly Role[] | 'anyone'
}

const manager = (...roles: Role[]): Permission => ({ at: 'manager', roles })
const server = (...roles: Role[]): Permission => ({ at: 'server', roles })

/** What is not here is allowed to nobody; that every message is here is checked by the compiler. A
 * backup client may store and list, and read what it compares with; no message deletes. */
export const PERMISSIONS: Readonly<Record<Method, Permission>> = {
  'cluster.directory': { at: 'manager', roles: 'anyone' },
  'node.enrol': { at: 'manager', roles: 'anyone' },
  'certificate.renew': { at: 'manager', roles: 'anyone' },

  'repository.open': manager('backup', 'restore'),
  'repository.list': manager('backup', 'restore', 'operator'),
  'backup.begin': manager('backup'),
  'backup.touch': manager('backup'),
  'backup.abort': manager('backup'),
  'chunks.missing': manager('backup'),
  'server.assign': manager('backup'),
  'snapshot.commit': manager('backup'),
  'snapshots.list': manager('backup', 'restore', 'operator'),
  'chunks.locate': manager('backup', 'restore'),
  status: manager('backup', 'restore', 'operator', 'server'),

  'token.create': manager('operator'),
  'node.revoke': manager('operator'),
  'cluster.rotate': manager('operator'),

  'server.register': manager('server'),
  'server.heartbeat': manager('server'),
  'server.report': manager('server'),
  'backup-server.assign': manager('server'),
  'replica.stored': manager('server'),

  'blob.store': server('backup'),
  'blob.replicate': server('server'),
  'blob.fetch': server('backup', 'restore'),
}
