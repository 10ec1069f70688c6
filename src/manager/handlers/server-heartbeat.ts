// src/manager/handlers/server-heartbeat.ts — is this server alive, and who is it?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'

export async function registerServer(
  manager: Manager,
  request: RequestOf<'server.register'>,
  call: IncomingCall<'server.register'>,
): Promise<ResponseOf<'server.register'>> {
  manager.gate.mustBeServer(call.session, request.number)
  const { load, ...server } = request
  const publicKey = keyOf(call.peer)
  const known = manager.membership.get(server.number)
  const nowMs = manager.clock.nowMs()
  if (known && known.publicKey !== publicKey && manager.membership.state(known, nowMs) === 'up') {
    const detail = `another server ${server.number} (${known.host}:${known.port}) is up with another key; give this one a number of its own`
    throw new HoldfastError('NOT_ALLOWED', detail)
  }
  // It may come with another disk than the one that these were written to.
  manager.pending.forget(server.number, new Set())
  const lastSeenMs = manager.clock.wallMs()
  await manager.catalog.putServer({ ...server, publicKey, lastSeenMs })
  const member = manager.membership.register({ ...server, publicKey }, load, manager.clock.nowMs())
  member.lastSeenWallMs = lastSeenMs
  manager.log.info('a server is here', { number: server.number, name: server.name })
  return {
    clusterId: manager.clusterId,
    epoch: manager.meta.epoch,
    operation: await manager.catalog.operation(),
    heartbeatMs: manager.timing.heartbeatMs,
    wantsReport: member.wantsReport,
    trustVersion: manager.authority.trust.version,
  }
}

export async function heartbeat(
  manager: Manager,
  request: RequestOf<'server.heartbeat'>,
  call: IncomingCall<'server.heartbeat'>,
): Promise<ResponseOf<'server.heartbeat'>> {
  manager.gate.mustBeServer(call.session, request.number)
  const member = manager.membership.heartbeat(request.number, request.load, manager.clock.nowMs())
  if (!member) throw new HoldfastError('NOT_FOUND', 'register first: the manager has restarted')
  member.lastSeenWallMs = manager.clock.wallMs()
  const operation = await manager.catalog.operation()
  const { version: trustVersion } = manager.authority.trust
  return { epoch: manager.meta.epoch, operation, wantsReport: member.wantsReport, trustVersion }
}
