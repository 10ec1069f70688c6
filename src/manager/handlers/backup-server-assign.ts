// src/manager/handlers/backup-server-assign.ts — which server takes the second copy?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'
import type { Member } from '../membership.ts'
import { type PlacementWish, place } from '../placement.ts'

export async function assignBackupServer(
  manager: Manager,
  request: RequestOf<'backup-server.assign'>,
  call: IncomingCall<'backup-server.assign'>,
): Promise<ResponseOf<'backup-server.assign'>> {
  const { blobId, sizeBytes } = request
  const { repositoryId } = manager.mustBeGranted(request.grant, {
    kind: 'store',
    blobId,
    sizeBytes,
  })
  const primary = manager.membership.byPublicKey(keyOf(call.peer))
  if (!primary) throw new HoldfastError('NOT_ALLOWED', 'register first')

  manager.avoid(request.exclude)
  const nowMs = manager.clock.nowMs()
  const exclude = [...request.exclude, primary.number]
  const wish = { sizeBytes, exclude, otherHost: primary.host, nowMs }
  const placed = place(manager.membership.up(nowMs), wish, manager, () => manager.randomUnit())
  const member = alreadyHolding(manager, blobId, wish, placed) ?? placed
  const server = member && manager.membership.address(member.number)
  if (!member || !server) throw manager.notEnoughServers()
  member.assignedBytes += sizeBytes
  const grant = manager.grant('replicate', {
    repositoryId,
    subject: keyOf(call.peer),
    blobId,
    sizeBytesMax: sizeBytes,
  })
  return { server, grant }
}

/** A server whose replica was reported before the primary had to be replaced: no need to copy. Not
 * one on the primary's host, when there is another. */
function alreadyHolding(
  manager: Manager,
  blobId: string,
  wish: PlacementWish,
  placed: Member | null,
): Member | undefined {
  const holders = manager.pending.get(blobId)?.servers
  if (!holders) return undefined
  const isApart = placed !== null && placed.host !== wish.otherHost
  return manager.membership
    .up(wish.nowMs)
    .filter(({ number }) => holders.has(number) && !wish.exclude.includes(number))
    .find(({ host }) => !isApart || host !== wish.otherHost)
}
