// src/manager/handlers/backup-session.ts — how does a backup begin, stay alive and give up?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'

export async function beginBackup(
  manager: Manager,
  request: RequestOf<'backup.begin'>,
  call: IncomingCall<'backup.begin'>,
): Promise<ResponseOf<'backup.begin'>> {
  const known = await manager.catalog.repositories()
  if (!known.some((row) => row.repositoryId === request.repositoryId)) {
    throw new HoldfastError('NO_SUCH_REPOSITORY', 'open the repository first')
  }
  const sessionId = manager.randomId()
  await manager.addSession({
    ...request,
    sessionId,
    publicKey: keyOf(call.peer),
    touchedMs: manager.clock.wallMs(),
  })
  return { sessionId, leaseMs: manager.timing.leaseMs, replicas: manager.replicas }
}

export async function touchBackup(
  manager: Manager,
  request: RequestOf<'backup.touch'>,
  call: IncomingCall<'backup.touch'>,
): Promise<ResponseOf<'backup.touch'>> {
  await manager.session(request.sessionId, call.peer)
  return {}
}

export async function abortBackup(
  manager: Manager,
  request: RequestOf<'backup.abort'>,
  call: IncomingCall<'backup.abort'>,
): Promise<ResponseOf<'backup.abort'>> {
  const row = await manager.catalog.session(request.sessionId)
  if (!row || row.publicKey !== keyOf(call.peer)) return {}
  await manager.catalog.endSession(request.sessionId)
  manager.endedSession(request.sessionId)
  return {}
}
