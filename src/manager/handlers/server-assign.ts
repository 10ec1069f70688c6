// src/manager/handlers/server-assign.ts — which server takes this blob?
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'
import { place } from '../placement.ts'

export async function assignServer(
  manager: Manager,
  request: RequestOf<'server.assign'>,
  call: IncomingCall<'server.assign'>,
): Promise<ResponseOf<'server.assign'>> {
  const session = await manager.session(request.sessionId, call.peer)
  await manager.safeMode.over(call.signal)
  const { blobId, sizeBytes, exclude } = request
  const known = await manager.catalog.blob(blobId)
  const live = manager.quorum.live
  const good = known?.servers.filter((number) => live.includes(number)) ?? []
  if (good.length >= manager.replicas) return { state: 'replicated', servers: good }

  manager.avoid(exclude)
  const nowMs = manager.clock.nowMs()
  const up = manager.membership.up(nowMs)
  // One server alone can't make two replicas: nothing is begun that can't be finished.
  if (up.length < manager.replicas) throw manager.notEnoughServers()
  const wish = { sizeBytes, exclude, nowMs }
  const member = place(up, wish, manager, () => manager.randomUnit())
  const server = member && manager.membership.address(member.number)
  if (!member || !server) throw manager.notEnoughServers()
  member.assignedBytes += sizeBytes
  const grant = manager.grant('store', {
    repositoryId: session.repositoryId,
    subject: keyOf(call.peer),
    blobId,
    sessionId: session.sessionId,
    sizeBytesMax: sizeBytes,
  })
  return { state: 'assigned', server, grant }
}
