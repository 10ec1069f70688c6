// src/server/server.ts — what is a running server made of?

import { HoldfastError } from '../errors.ts'
import { Gate, type Member } from '../identity/index.ts'
import type { RequestOf } from '../messages.ts'
import {
  type Clock,
  type Handlers,
  Peers,
  type RandomBytes,
  type ServeOptions,
  Strangers,
  serve,
  type TransportEndpoint,
} from '../rpc/index.ts'
import { ReportGate, sendReport } from './block-report.ts'
import { noFailpoints, type ReachFailpoint } from './failpoints.ts'
import { Flights } from './flights.ts'
import { fetch } from './handlers/blob-fetch.ts'
import { replicate } from './handlers/blob-replicate.ts'
import { store } from './handlers/blob-store.ts'
import { Load } from './load.ts'
import type { Log } from './log.ts'
import { ask, ManagerLink } from './manager-link.ts'
import { type ManagerState, MemoryManagerState } from './manager-state.ts'
import type { ServerNode } from './node.ts'
import { Slots } from './slots.ts'
import type { BlobStore } from './store/blob-store.ts'
import { DEFAULT_LIMITS, DEFAULT_TIMING, type ServerLimits, type ServerTiming } from './timing.ts'
import { TrailerCache } from './trailer-cache.ts'

export interface ServerOptions {
  readonly number: number
  readonly name: string
  /** What others dial; told to the manager. */
  readonly host: string
  readonly port: number
  readonly store: BlobStore
  /** Default: in memory, so forgotten with the process. */
  readonly state?: ManagerState
  /** Stays open after stop(): whoever opened it closes it. */
  readonly endpoint: TransportEndpoint
  readonly manager: { readonly host: string; readonly port: number }
  /** Who this server is, and whose word it believes. */
  readonly member: Member
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
  readonly timing?: Partial<ServerTiming>
  readonly limits?: Partial<ServerLimits>
  readonly reach?: ReachFailpoint
  /** After strangers; default: as V8 likes. */
  readonly collectGarbage?: () => void
}

export interface Server {
  /** Resolves at the first registration with the manager; rejects when stopped before. */
  readonly ready: Promise<void>
  /** Rejects when the first contact shows that this server can't serve here: WRONG_CLUSTER,
   * CLOCK_WRONG, NOT_ENROLLED, REVOKED. It goes on trying until it is stopped. */
  readonly refused: Promise<never>
  /** Why the manager that answers is not ours, or null. */
  readonly refusal: string | null
  /** The disk is not as the manager believes: send a full block report soon. */
  wantReport(): void
  /** Blobs under way end with SHUTTING_DOWN and leave nothing behind. Never rejects. */
  stop(): Promise<void>
}

const REPORT_PAGE_MS = 10_000
/** Sessions with a manager or a few clients and servers; a stop waits for their handlers so long. */
const STOP_MS_MAX = 5_000

/** Serves reads at once, and stores as soon as there is a manager. Memory: storesMax and
 * replicatesMax times 2.5 MiB, fetchBytesMax, and what the store states. */
export function startServer(options: ServerOptions): Promise<Server> {
  const { clock, endpoint, log, member, number } = options
  const timing = { ...DEFAULT_TIMING, ...options.timing }
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const stopping = new AbortController()
  const reportGate = new ReportGate()
  const { trust } = member
  const wallMs = (): number => clock.wallMs()
  const { collectGarbage } = options
  const gate = new Gate({ trust, side: 'server', wallMs, clock, log, collectGarbage })
  const peers = new Peers({
    endpoint,
    clock,
    log,
    admit: async (session) => {
      await member.admitServer(session)
      gate.watch(session)
    },
  })
  member.onIdentity((identity) => {
    endpoint.setIdentity(identity)
    peers.renew()
  })
  const { waitersMax } = limits
  const flights = { takeOverMs: timing.takeOverMs, stopping: stopping.signal }
  const storeSlots = new Slots({ units: limits.storesMax, waitersMax, what: 'blobs to store' })
  const replicateSlots = new Slots({ units: limits.replicatesMax, waitersMax, what: 'copies' })
  const fetchSlots = new Slots({ units: limits.fetchBytesMax, waitersMax, what: 'reads' })
  const busy = {
    stores: new Flights<number[]>(clock, flights),
    copies: new Flights<void>(clock, flights),
  }
  const load = new Load(options.store, () => busy.stores.size + busy.copies.size, log)
  const manager = new ManagerLink({
    endpoint,
    manager: options.manager,
    member,
    clock,
    log,
    timing,
    state: options.state ?? new MemoryManagerState(),
    registration: async () => {
      const { name, host, port } = options
      return { number, name, host, port, load: await load.current() }
    },
    heartbeat: async () => ({ number, load: await load.current() }),
    report: async (session) => {
      const reportId = Buffer.from(options.random(16)).toString('hex')
      const send = (page: RequestOf<'server.report'>) =>
        ask(session, 'server.report', page, {
          clock,
          deadlineMs: REPORT_PAGE_MS,
          signal: stopping.signal,
        })
      const { blobs } = await sendReport({
        number,
        reportId,
        store: options.store,
        gate: reportGate,
        send,
      })
      log.info('block report sent', { blobs })
    },
  })
  const node: ServerNode = {
    number,
    trust,
    store: options.store,
    manager,
    peers,
    clock,
    timing,
    limits,
    log,
    reach: options.reach ?? noFailpoints,
    gate: reportGate,
    trailers: new TrailerCache(options.store),
    storeSlots,
    replicateSlots,
    fetchSlots,
    stores: busy.stores,
    replicates: busy.copies,
    stopping: stopping.signal,
  }
  const authorize: ServeOptions['authorize'] = (method, session) => gate.authorize(method, session)
  const strangers = new Strangers((session) => gate.isStranger(session))
  endpoint.onSession(
    (session) => {
      if (!gate.admit(session)) return
      serve(session, handlersOf(node), { clock, log, authorize, strangers })
    },
    (peer) => gate.mayEnter(peer),
  )
  manager.start()
  return Promise.resolve({
    ready: manager.ready.promise,
    refused: manager.refused.promise,
    get refusal() {
      return manager.refusal
    },
    wantReport: () => manager.wantReport(),
    async stop() {
      stopping.abort(new HoldfastError('SHUTTING_DOWN', `server ${number} is stopping`))
      await manager.stop()
      await peers.close()
      await idle(clock, () => busy.stores.size + busy.copies.size === 0)
      await options.state?.save()
      await member.saved()
    },
  })
}

function handlersOf(node: ServerNode): Handlers {
  const open = (): void => {
    if (!node.stopping.aborted) return
    throw new HoldfastError('SHUTTING_DOWN', `server ${node.number} is stopping`)
  }
  return {
    'blob.store': async (request, call) => {
      open()
      return store(node, request, call)
    },
    'blob.replicate': async (request, call) => {
      open()
      return replicate(node, request, call)
    },
    'blob.fetch': async (request, call) => {
      open()
      return fetch(node, request, call)
    },
  }
}

/** Waits until drafts are closed, so that nobody writes when the folder is unlocked. */
async function idle(clock: Clock, isIdle: () => boolean): Promise<void> {
  const untilMs = clock.nowMs() + STOP_MS_MAX
  while (!isIdle() && clock.nowMs() < untilMs) {
    await new Promise<void>((resolve) => clock.setTimer(resolve, 10))
  }
}
