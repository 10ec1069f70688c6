// test/server/support/fake-manager.ts — just enough of a manager, with its memory in plain sight
import { HoldfastError } from '../../../src/errors.ts'
import type { RequestOf, ServerAddress } from '../../../src/messages.ts'
import { type Clock, type Handlers, serve, type TransportEndpoint } from '../../../src/rpc/index.ts'
import { silentLog } from '../../../src/server/log.ts'
import { authority, type Cast, grantFor, keyOf } from './cast.ts'

const TRUST_VERSION = authority.trust().version

/** What a manager keeps on disk: survives the fake one's restart. */
export class Catalog {
  readonly committed = new Map<string, number[]>()
  epoch = 1
  operation = 0
}

export class FakeManager {
  readonly catalog: Catalog
  readonly #cast: Cast
  readonly #clock: Clock
  /** Gone with a restart, as in the real one. */
  readonly servers = new Map<number, ServerAddress>()
  readonly reported = new Map<string, Map<number, Uint8Array | null>>()
  readonly blockReports = new Map<number, RequestOf<'server.report'>['blobs']>()
  readonly assignments: { blobId: string; to: number | null; exclude: number[]; atMs: number }[] =
    []
  readonly loads = new Map<number, RequestOf<'server.heartbeat'>['load']>()
  heartbeats = 0
  wantsReport = true
  clusterId: string
  /** Block reports are answered when it resolves. */
  reportsTaken: Promise<void> = Promise.resolve()
  /** How long the primary's report is held before "pending". */
  holdMs = 2_000
  /** Failures to answer the next calls with. */
  readonly refusals: { method: string; code: 'SAFE_MODE' | 'GRANT_REFUSED' | 'INTERNAL' }[] = []
  /** Reports of these servers are taken and forgotten, this many times. */
  readonly forgets = new Map<number, number>()
  #waiters: (() => void)[] = []

  constructor(
    endpoint: TransportEndpoint,
    options: { cast: Cast; clock: Clock; catalog: Catalog },
  ) {
    this.#cast = options.cast
    this.#clock = options.clock
    this.catalog = options.catalog
    this.clusterId = options.cast.clusterId
    const { clock } = options
    endpoint.onSession((session) => serve(session, this.#handlers(), { clock, log: silentLog }))
  }

  #handlers(): Handlers {
    return {
      'server.register': async (request, call) => {
        const publicKey = Buffer.from(call.peer.publicKey).toString('hex')
        const { number, name, host, port } = request
        this.servers.set(number, { number, name, host, port, publicKey })
        this.loads.set(number, request.load)
        const { epoch, operation } = this.catalog
        const { clusterId, wantsReport } = this
        const trustVersion = TRUST_VERSION
        return { clusterId, epoch, operation, heartbeatMs: 2_000, wantsReport, trustVersion }
      },
      'server.heartbeat': async ({ number, load }) => {
        this.heartbeats += 1
        if (!this.servers.has(number)) throw new HoldfastError('NOT_FOUND', 'register first')
        this.loads.set(number, load)
        const { epoch, operation } = this.catalog
        return { epoch, operation, wantsReport: false, trustVersion: TRUST_VERSION }
      },
      'server.report': async ({ number, page, blobs }) => {
        const before = page === 0 ? [] : (this.blockReports.get(number) ?? [])
        await this.reportsTaken
        this.blockReports.set(number, [...before, ...blobs])
        return { unknown: 0, missing: 0 }
      },
      'backup-server.assign': async ({ blobId, exclude }, call) => {
        this.#refuse('backup-server.assign')
        const caller = keyOf(call.peer.publicKey)
        const free = [...this.servers.values()]
          .filter(({ number, publicKey }) => !exclude.includes(number) && publicKey !== caller)
          .sort((left, right) => left.number - right.number)
        const server = free[0]
        const to = server?.number ?? null
        this.assignments.push({ blobId, to, exclude, atMs: this.#clock.nowMs() })
        if (!server) throw new HoldfastError('NOT_ENOUGH_SERVERS', 'no other server is up')
        const grant = grantFor(this.#cast, { kind: 'replicate', blobId, subject: caller })
        return { server, grant }
      },
      'replica.stored': async ({ number, blobId, index }) => {
        this.#refuse('replica.stored')
        this.#note(number, blobId, index ?? null)
        const untilMs = this.#clock.nowMs() + (index ? this.holdMs : 0)
        while (!this.catalog.committed.has(blobId) && this.#clock.nowMs() < untilMs) {
          await this.#changeUntil(untilMs)
        }
        const servers = this.catalog.committed.get(blobId)
        return servers
          ? { state: 'committed' as const, servers }
          : { state: 'pending' as const, servers: [number] }
      },
    }
  }

  #note(number: number, blobId: string, index: Uint8Array | null): void {
    const left = this.forgets.get(number) ?? 0
    if (left > 0) {
      this.forgets.set(number, left - 1)
      return
    }
    const reports = this.reported.get(blobId) ?? new Map<number, Uint8Array | null>()
    this.reported.set(blobId, reports)
    reports.set(number, index)
    const hasIndex = [...reports.values()].some((known) => known !== null)
    if (reports.size >= 2 && hasIndex && !this.catalog.committed.has(blobId)) {
      this.catalog.committed.set(blobId, [...reports.keys()].sort())
      this.catalog.operation += 1
    }
    for (const wake of this.#waiters.splice(0)) wake()
  }

  #refuse(method: string): void {
    const place = this.refusals.findIndex((refusal) => refusal.method === method)
    if (place < 0) return
    const [refusal] = this.refusals.splice(place, 1)
    if (refusal) throw new HoldfastError(refusal.code, 'as the test wants it')
  }

  #changeUntil(untilMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimer(resolve, untilMs - this.#clock.nowMs())
      this.#waiters.push(resolve)
    })
  }
}
