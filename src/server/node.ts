// src/server/node.ts — what do all handlers of one server share?
import { HoldfastError } from '../errors.ts'
import type { Grant, Trust } from '../identity/index.ts'
import type { RequestOf } from '../messages.ts'
import type { Clock, IncomingCall, Peers } from '../rpc/index.ts'
import type { ReportGate } from './block-report.ts'
import type { ReachFailpoint } from './failpoints.ts'
import type { Flights } from './flights.ts'
import type { Log } from './log.ts'
import type { ManagerLink } from './manager-link.ts'
import type { Slots } from './slots.ts'
import type { BlobStore } from './store/blob-store.ts'
import type { ServerLimits, ServerTiming } from './timing.ts'
import type { TrailerCache } from './trailer-cache.ts'
import { retryWhilePassing } from './waiting.ts'

export interface ServerNode {
  readonly number: number
  readonly trust: Trust
  readonly store: BlobStore
  readonly manager: ManagerLink
  readonly peers: Peers
  readonly clock: Clock
  readonly timing: ServerTiming
  readonly limits: ServerLimits
  readonly log: Log
  readonly reach: ReachFailpoint
  readonly gate: ReportGate
  readonly trailers: TrailerCache
  readonly storeSlots: Slots
  readonly replicateSlots: Slots
  readonly fetchSlots: Slots
  /** Server numbers that hold the blob, once it is committed. */
  readonly stores: Flights<number[]>
  readonly replicates: Flights<void>
  /** Fires when the server stops. */
  readonly stopping: AbortSignal
}

/** Throws GRANT_REFUSED unless the caller may do this, to this blob, now. */
export function mustBeGranted(
  node: ServerNode,
  kind: Grant['kind'],
  request: { repositoryId: string; blobId: string; grant: Uint8Array; sizeBytes?: number },
  peerKey: Uint8Array,
): void {
  const grant = node.trust.grant(request.grant, {
    kind,
    repositoryId: request.repositoryId,
    blobId: request.blobId,
    subject: Buffer.from(peerKey).toString('hex'),
    nowMs: node.clock.wallMs(),
  })
  if ((request.sizeBytes ?? 0) > grant.sizeBytesMax) {
    throw new HoldfastError('GRANT_REFUSED', `the grant is for ${grant.sizeBytesMax} bytes at most`)
  }
}

export type Caller = Pick<IncomingCall<'blob.store'>, 'peer' | 'signal'>

/** Tells the manager that a blob is on this disk. Tries again while the manager is away, until
 * `untilMs` on the clock. */
export async function reportReplica(
  node: ServerNode,
  replica: Omit<RequestOf<'replica.stored'>, 'number'>,
  { signal, untilMs }: { signal: AbortSignal; untilMs: number },
): Promise<{ state: 'pending' | 'committed'; servers: number[] }> {
  const { clock, timing } = node
  const answer = await retryWhilePassing(
    async () => {
      await node.gate.pass()
      node.reach('before-report')
      const leftMs = Math.max(1, untilMs - clock.nowMs())
      const deadlineMs = Math.min(timing.managerCallMs, leftMs)
      const request = { number: node.number, ...replica }
      return node.manager.call('replica.stored', request, { deadlineMs, signal })
    },
    { clock, signal, untilMs, retryMsMin: timing.retryMsMin, retryMsMax: timing.retryMsMax },
  )
  node.reach('after-report')
  return answer
}
