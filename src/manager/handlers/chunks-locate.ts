// src/manager/handlers/chunks-locate.ts — where do these chunks rest, and who may read them?
import type { RequestOf, ResponseOf, ServerAddress } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'

export async function locateChunks(
  manager: Manager,
  request: RequestOf<'chunks.locate'>,
  call: IncomingCall<'chunks.locate'>,
): Promise<ResponseOf<'chunks.locate'>> {
  const { repositoryId, chunkIds } = request
  const places = await manager.catalog.locate(repositoryId, chunkIds)
  const nowMs = manager.clock.nowMs()
  const { membership } = manager
  const isUp = (number: number): number => {
    const member = membership.get(number)
    return member && membership.state(member, nowMs) === 'up' ? 0 : 1
  }
  const named = new Map<number, ServerAddress>()
  for (const place of places) {
    place?.servers.sort((a, b) => isUp(a) - isUp(b) || a - b)
    for (const number of place?.servers ?? []) {
      const address = membership.address(number)
      if (address) named.set(number, address)
    }
  }
  const grant = manager.grant('fetch', { repositoryId, subject: keyOf(call.peer) })
  return { places, servers: [...named.values()], grant }
}
