// src/manager/handlers/replica-stored.ts — when does a blob count as replicated?
//
// Each server reports its own copy. The first report is only remembered; when enough servers have
// reported and the primary has sent the index, all is committed in one transaction.
import { type BlobIndex, decodeIndex } from '../../chunk/index.ts'
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import type { Manager } from '../manager.ts'
import type { PendingBlob } from '../pending-blobs.ts'

type Request = RequestOf<'replica.stored'>
type Reply = ResponseOf<'replica.stored'>

export async function storedReplica(
  manager: Manager,
  request: Request,
  call: IncomingCall<'replica.stored'>,
): Promise<Reply> {
  manager.gate.mustBeServer(call.session, request.number)
  const { blobId, sizeBytes } = request
  const kind = request.index ? 'store' : 'replicate'
  const { repositoryId } = manager.mustBeGranted(request.grant, { kind, blobId, sizeBytes })
  const index = request.index ? decodeIndex(request.index, request.sizeBytes) : null
  if (index && index.repositoryId !== repositoryId) {
    throw new HoldfastError('INVALID_REQUEST', 'the blob belongs to another repository')
  }

  const known = await manager.catalog.blob(request.blobId)
  const live = manager.quorum.live
  const good = known?.servers.filter((number) => live.includes(number)) ?? []
  if (good.length >= manager.replicas && good.includes(request.number)) {
    return { state: 'committed', servers: good }
  }
  const report = { ...request, repositoryId, server: request.number }
  const pending = manager.pending.note(report, index, manager.clock.nowMs())
  for (const server of good) pending.servers.add(server)
  commitWhenComplete(manager, pending)
  if (!index) return { state: 'pending', servers: [...pending.servers] }
  return await untilCommitted(manager, pending, call.signal)
}

function commitWhenComplete(manager: Manager, pending: PendingBlob): void {
  const live = manager.quorum.live
  const servers = [...pending.servers].filter((number) => live.includes(number))
  if (pending.commit || !pending.index || servers.length < manager.replicas) return
  pending.commit = commit(manager, pending, pending.index, servers)
  pending.commit.then(
    () => manager.pending.settle(pending.blobId),
    (error) => {
      manager.log.error('committing a blob failed', {
        blobId: pending.blobId,
        error: String(error),
      })
      manager.pending.settle(pending.blobId)
    },
  )
}

async function commit(
  manager: Manager,
  pending: PendingBlob,
  index: BlobIndex,
  servers: readonly number[],
): Promise<void> {
  const { repositoryId, blobId, sizeBytes } = pending
  await manager.catalog.commitBlob({
    ...manager.quorum,
    repositoryId,
    blobId,
    sizeBytes,
    servers,
    chunks: index.entries.map((entry) => ({
      ...entry,
      snapshot: entry.snapshot && { ...entry.snapshot, tagIds: [...entry.snapshot.tagIds] },
    })),
    nowMs: manager.clock.wallMs(),
  })
  for (const entry of index.entries) manager.claims.settle(repositoryId, entry.id)
}

/** Waits for the other replica's report, within bounds: a primary that gets `pending` asks again. */
async function untilCommitted(
  manager: Manager,
  pending: PendingBlob,
  signal: AbortSignal,
): Promise<Reply> {
  if (!pending.commit) {
    await new Promise<void>((wake) => {
      const timer = manager.clock.setTimer(wake, manager.timing.commitWaitMs)
      const stop = (): void => {
        timer.cancel()
        wake()
      }
      pending.waiters.push(stop)
      signal.addEventListener('abort', stop, { once: true })
    })
  }
  if (!pending.commit) return { state: 'pending', servers: [...pending.servers] }
  await pending.commit
  return { state: 'committed', servers: [...pending.servers] }
}
