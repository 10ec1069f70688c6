// src/server/handlers/blob-replicate.ts — how does a backup server take its copy?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { ArrivingBlob } from '../arriving-blob.ts'
import type { Flight } from '../flights.ts'
import { takeIn } from '../intake.ts'
import { mustBeGranted, reportReplica, type ServerNode } from '../node.ts'

type Request = RequestOf<'blob.replicate'>
type Call = IncomingCall<'blob.replicate'>

/** Answers when the blob is on disk and the manager has taken the report of it; at once, without
 * reading the body, when it was there. GRANT_REFUSED, CORRUPT, STORAGE_FULL, STORAGE_FAILED,
 * UNREACHABLE (the manager): the primary asks for another backup server. */
export async function replicate(
  node: ServerNode,
  request: Request,
  call: Call,
): Promise<ResponseOf<'blob.replicate'>> {
  mustBeGranted(node, 'replicate', request, call.peer.publicKey)
  const { blobId, sizeBytes, grant } = request
  await node.replicates.run(blobId, call.signal, async (flight) => {
    const heldBytes = node.store.sizeBytes(blobId)
    if (heldBytes === null) await copy(node, request, call, flight)
    else if (heldBytes === sizeBytes) flight.complete()
    else throw new HoldfastError('CORRUPT', `blob ${blobId} has ${heldBytes} bytes here`)
    const untilMs = node.clock.nowMs() + node.timing.backupReportMs
    // On disk it stays, whoever has given up meanwhile: only the stop of the server ends this.
    const options = { signal: node.stopping, untilMs }
    await reportReplica(node, { blobId, sizeBytes, grant }, options)
  })
  return { number: node.number }
}

async function copy(node: ServerNode, request: Request, call: Call, flight: Flight): Promise<void> {
  const { clock, store, timing } = node
  const release = await node.replicateSlots.take(1, call.signal)
  try {
    const blob = new ArrivingBlob(await store.create(request.blobId, request.sizeBytes))
    try {
      const { body, signal } = call
      await takeIn({ body, blob, flight, signal, clock, timing, onArrived: () => {} })
    } finally {
      await blob.close()
    }
  } finally {
    release()
  }
}
