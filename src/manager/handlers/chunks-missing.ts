// src/manager/handlers/chunks-missing.ts — which of these chunks must this backup send?
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import type { Manager } from '../manager.ts'

export async function missingChunks(
  manager: Manager,
  request: RequestOf<'chunks.missing'>,
  call: IncomingCall<'chunks.missing'>,
): Promise<ResponseOf<'chunks.missing'>> {
  const session = await manager.session(request.sessionId, call.peer)
  await manager.safeMode.over(call.signal)
  const { repositoryId, sessionId } = session
  const { chunkIds } = request
  const present = await manager.catalog.pinPresent({
    ...manager.quorum,
    sessionId,
    repositoryId,
    chunkIds,
  })
  const nowMs = manager.clock.nowMs()
  const answers = chunkIds.map((id, index) =>
    present[index] ? 'present' : manager.claims.claim(repositoryId, id, sessionId, nowMs),
  )
  return { answers }
}
