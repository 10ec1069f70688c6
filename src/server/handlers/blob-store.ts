// src/server/handlers/blob-store.ts — how does a client's blob come to rest on two servers?
//
// Three things at once: the body goes to our disk, the same bytes go to a backup server, and as
// soon as our copy is durable the manager is told. The manager commits when both servers have
// reported, and nothing but its "committed" is ever passed on to the client.
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { ArrivingBlob, type BlobSource, HeldBlob } from '../arriving-blob.ts'
import { Confirmation } from '../confirmation.ts'
import type { Flight } from '../flights.ts'
import { takeIn } from '../intake.ts'
import { mustBeGranted, type ServerNode } from '../node.ts'
import { Progress } from '../progress.ts'
import { Replicator } from '../replicator.ts'

type Request = RequestOf<'blob.store'>
type Call = IncomingCall<'blob.store'>

/** Answers when two servers have the blob and the manager has committed it; at once when that is
 * so already. GRANT_REFUSED, CORRUPT: the sender's fault, nothing is kept. STORAGE_FULL,
 * STORAGE_FAILED: ours, another server may do. NOT_ENOUGH_SERVERS, UNREACHABLE,
 * DEADLINE_EXCEEDED, …: no backup server or no manager; nothing is claimed. */
export async function store(
  node: ServerNode,
  request: Request,
  call: Call,
): Promise<ResponseOf<'blob.store'>> {
  mustBeGranted(node, 'store', request, call.peer.publicKey)
  const servers = await node.stores.run(request.blobId, call.signal, (flight) =>
    node.store.sizeBytes(request.blobId) === null
      ? storeNew(node, request, call, flight)
      : storeHeld(node, request, call, flight),
  )
  return { servers }
}

async function storeNew(
  node: ServerNode,
  request: Request,
  call: Call,
  flight: Flight,
): Promise<number[]> {
  const { clock, timing } = node
  const release = await node.storeSlots.take(1, call.signal)
  try {
    const blob = new ArrivingBlob(await node.store.create(request.blobId, request.sizeBytes))
    const progress = new Progress({ call, clock, noteMs: timing.noteMs })
    const confirmation = confirmationOf(node, { request, source: blob, progress })
    try {
      const onArrived = (): void => {
        confirmation.startReplicating() // with the first bytes, not after the last
        progress.handleStored(blob.writtenBytes)
      }
      const { body, signal } = call
      const index = await takeIn({ body, blob, flight, signal, clock, timing, onArrived })
      progress.handleStored(blob.sizeBytes)
      return await confirmation.confirm(index)
    } finally {
      await confirmation.stop()
      progress.end()
      await blob.close()
    }
  } finally {
    release()
  }
}

/** The blob is on our disk: sent before, but its sender never heard of it; or it is committed and
 * the sender does not know. Its body is not read. */
async function storeHeld(
  node: ServerNode,
  request: Request,
  call: Call,
  flight: Flight,
): Promise<number[]> {
  flight.complete()
  const { blobId, sizeBytes } = request
  const heldBytes = node.store.sizeBytes(blobId)
  if (heldBytes !== sizeBytes) {
    throw new HoldfastError('CORRUPT', `blob ${blobId} has ${heldBytes} bytes, not ${sizeBytes}`)
  }
  const source = new HeldBlob(node.store, blobId, sizeBytes)
  const progress = new Progress({ call, clock: node.clock, noteMs: node.timing.noteMs })
  progress.handleStored(sizeBytes)
  const index = await node.trailers.read(blobId)
  const confirmation = confirmationOf(node, { request, source, progress })
  // Mostly the manager says at once that it is committed, and no backup server is needed.
  const timer = node.clock.setTimer(() => confirmation.startReplicating(), node.timing.heldMs)
  try {
    return await confirmation.confirm(index)
  } finally {
    timer.cancel()
    await confirmation.stop()
    progress.end()
  }
}

function confirmationOf(
  node: ServerNode,
  parts: { request: Request; source: BlobSource; progress: Progress },
): Confirmation {
  const { request, source, progress } = parts
  const { clock, limits, log, peers, timing } = node
  const replicator = new Replicator({
    request,
    source,
    peers,
    clock,
    timing,
    limits,
    log,
    askManager: (assign, signal) =>
      node.manager.call('backup-server.assign', assign, {
        deadlineMs: timing.managerCallMs,
        signal,
      }),
    managerKnownSinceMs: () => node.manager.knownSinceMs,
    onProgress: (server, forwardedBytes) => progress.handleForwarded(server, forwardedBytes),
  })
  return new Confirmation({ node, request, replicator })
}
