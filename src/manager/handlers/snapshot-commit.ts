// src/manager/handlers/snapshot-commit.ts — may this backup become a snapshot?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import type { Manager } from '../manager.ts'

export async function commitSnapshot(
  manager: Manager,
  request: RequestOf<'snapshot.commit'>,
  call: IncomingCall<'snapshot.commit'>,
): Promise<ResponseOf<'snapshot.commit'>> {
  const { snapshotId, sessionId } = request
  const session = await manager.session(sessionId, call.peer)
  await manager.safeMode.over(call.signal)
  const verdict = await manager.catalog.commitSnapshot({
    ...manager.quorum,
    repositoryId: session.repositoryId,
    snapshotId,
    sessionId,
    nowMs: manager.clock.wallMs(),
  })
  switch (verdict.state) {
    case 'committed':
      manager.endedSession(sessionId)
      manager.log.info('a snapshot is stored', { snapshotId, visited: verdict.visited })
      return { snapshotId, timeMs: verdict.timeMs }
    case 'under-replicated': {
      const pieces = verdict.count === 1 ? 'one piece lacks' : `${verdict.count} pieces lack`
      throw new HoldfastError('UNDER_REPLICATED', `${pieces} a second good copy; send them again`)
    }
    case 'unknown-edge':
      throw new HoldfastError('UNKNOWN_EDGE', `nobody has stored chunk ${verdict.chunkId}`)
    case 'not-a-record':
      throw new HoldfastError('NOT_FOUND', `no snapshot record ${snapshotId} is stored`)
  }
}
