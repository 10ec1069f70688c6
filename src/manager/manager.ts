// src/manager/manager.ts — who spreads load, confirms replicas and commits snapshots?
import { HoldfastError } from '../errors.ts'
import { type Authority, Gate, type Grant } from '../identity/index.ts'
import {
  type Address,
  type Clock,
  type Handlers,
  type PeerIdentity,
  type RandomBytes,
  type Session,
  Strangers,
  serve,
  type TransportEndpoint,
} from '../rpc/index.ts'
import type { Catalog, CatalogMeta, Quorum, ServerRow, SessionRow } from './catalog/catalog.ts'
import { Claims } from './claims.ts'
import { assignBackupServer } from './handlers/backup-server-assign.ts'
import { abortBackup, beginBackup, touchBackup } from './handlers/backup-session.ts'
import { renewCertificate } from './handlers/certificate-renew.ts'
import { locateChunks } from './handlers/chunks-locate.ts'
import { missingChunks } from './handlers/chunks-missing.ts'
import { describeCluster, rotateCluster } from './handlers/cluster-directory.ts'
import { enrolNode } from './handlers/node-enrol.ts'
import { revokeNode } from './handlers/node-revoke.ts'
import { storedReplica } from './handlers/replica-stored.ts'
import { listRepositories, openRepository } from './handlers/repository.ts'
import { assignServer } from './handlers/server-assign.ts'
import { heartbeat, registerServer } from './handlers/server-heartbeat.ts'
import { reportBlobs } from './handlers/server-report.ts'
import { commitSnapshot } from './handlers/snapshot-commit.ts'
import { listSnapshots } from './handlers/snapshots-list.ts'
import { status } from './handlers/status.ts'
import { createToken } from './handlers/token-create.ts'
import type { Log } from './log.ts'
import { revokedKeys } from './members.ts'
import { Membership } from './membership.ts'
import { PendingBlobs } from './pending-blobs.ts'
import { SafeMode } from './safe-mode.ts'

export interface ManagerTiming {
  readonly heartbeatMs: number
  readonly suspectAfterMissed: number
  readonly deadMs: number
  readonly claimMs: number
  readonly leaseMs: number
  readonly grantMs: number
  /** How long a write waits for safe mode to end before it answers SAFE_MODE. */
  readonly safeModeWaitMs: number
  /** How long a manager that has taken over only listens to whom the one before had shut out. */
  readonly takeOverMs: number
  /** How long a primary's report waits for the other replica's. */
  readonly commitWaitMs: number
}

export const MANAGER_TIMING: ManagerTiming = {
  heartbeatMs: 2_000,
  suspectAfterMissed: 5,
  deadMs: 600_000,
  claimMs: 10_000,
  leaseMs: 60_000,
  grantMs: 900_000,
  safeModeWaitMs: 5_000,
  takeOverMs: 10_000,
  commitWaitMs: 8_000,
}

export interface ManagerOptions {
  readonly endpoint: TransportEndpoint
  readonly catalog: Catalog
  readonly authority: Authority
  /** What tokens say of where the manager is. */
  readonly where: { readonly host: string; readonly port: number }
  readonly clock: Clock
  readonly random: RandomBytes
  readonly log: Log
  /** Good replicas that a blob needs. Default 2. */
  readonly replicas?: number
  readonly timing?: Partial<ManagerTiming>
  /** Free space that each server keeps, bytes. */
  readonly reserveBytes?: number
  /** After strangers; default: as V8 likes. */
  readonly collectGarbage?: () => void
}

const AVOID_MS = 15_000
const SWEEP_MS = 5_000
/** It lives for a day; peers that dial have at least half of it before them. */
const OWN_CERTIFICATE_MS = 6 * 3_600_000
const RESERVE_BYTES_DEFAULT = 256 * 2 ** 20

export async function startManager(options: ManagerOptions): Promise<Manager> {
  const { catalog, authority } = options
  const { clusterId } = authority
  const meta = await catalog.open(clusterId)
  if (meta.clusterId !== clusterId) {
    const detail = `the catalog belongs to cluster ${meta.clusterId}, this folder to ${clusterId}`
    throw new HoldfastError('BAD_FILE', detail)
  }
  const manager = new Manager(options, meta, await catalog.servers())
  await manager.applyRevocations()
  await manager.listenFirst()
  manager.start()
  return manager
}

export class Manager {
  readonly authority: Authority
  readonly gate: Gate
  readonly where: { readonly host: string; readonly port: number }
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Log
  readonly meta: CatalogMeta
  readonly timing: ManagerTiming
  readonly replicas: number
  readonly reserveBytes: number
  readonly membership: Membership
  readonly claims: Claims
  readonly pending = new PendingBlobs()
  readonly safeMode: SafeMode
  /** Block reports of which pages are still to come, by server. */
  readonly reports = new Map<
    number,
    { reportId: string; beginMs: number; blobs: { blobId: string; sizeBytes: number }[] }
  >()
  readonly #options: ManagerOptions
  readonly #strangers = new Strangers((session) => this.gate.isStranger(session))
  readonly #sessions = new Map<string, { row: SessionRow; touchedMs: number }>()
  #stopped = false
  #listensUntilMs = 0
  #identityMs: number

  constructor(options: ManagerOptions, meta: CatalogMeta, rows: readonly ServerRow[]) {
    this.#options = options
    this.authority = options.authority
    this.where = options.where
    this.catalog = options.catalog
    this.clock = options.clock
    this.log = options.log
    const { trust } = options.authority
    const wallMs = (): number => this.clock.wallMs()
    const { clock, log, collectGarbage } = options
    this.gate = new Gate({ trust, side: 'manager', wallMs, clock, log, collectGarbage })
    this.meta = meta
    this.timing = { ...MANAGER_TIMING, ...options.timing }
    this.replicas = options.replicas ?? 2
    this.reserveBytes = options.reserveBytes ?? RESERVE_BYTES_DEFAULT
    this.membership = new Membership(this.timing, this.clock.nowMs(), rows)
    this.claims = new Claims(this.timing.claimMs)
    this.safeMode = new SafeMode(this, !meta.isEmpty)
    this.#identityMs = this.clock.wallMs()
  }

  get address(): Address {
    return this.#options.endpoint.local
  }

  start(): void {
    this.#options.endpoint.onSession(
      (session) => this.#serve(session),
      (peer) => this.gate.mayEnter(peer),
    )
    this.#sweepLater()
  }

  #serve(session: Session): void {
    const bind =
      <A extends unknown[], R>(handler: (manager: Manager, ...args: A) => R) =>
      (...args: A): R =>
        handler(this, ...args)
    const handlers: Handlers = {
      'cluster.directory': bind(describeCluster),
      'node.enrol': bind(enrolNode),
      'certificate.renew': bind(renewCertificate),
      'token.create': bind(createToken),
      'node.revoke': bind(revokeNode),
      'cluster.rotate': bind(rotateCluster),
      'repository.open': bind(openRepository),
      'repository.list': bind(listRepositories),
      'backup.begin': bind(beginBackup),
      'backup.touch': bind(touchBackup),
      'backup.abort': bind(abortBackup),
      'chunks.missing': bind(missingChunks),
      'server.assign': bind(assignServer),
      'snapshot.commit': bind(commitSnapshot),
      'snapshots.list': bind(listSnapshots),
      'chunks.locate': bind(locateChunks),
      status: bind(status),
      'server.register': bind(registerServer),
      'server.heartbeat': bind(heartbeat),
      'server.report': bind(reportBlobs),
      'backup-server.assign': bind(assignBackupServer),
      'replica.stored': bind(storedReplica),
    }
    if (!this.gate.admit(session)) return
    serve(session, handlers, {
      clock: this.clock,
      log: this.log,
      authorize: (method, from) => this.gate.authorize(method, from),
      strangers: this.#strangers,
    })
  }

  /** Sessions that nobody touched lapse; their pins and claims go. */
  #sweepLater(): void {
    this.clock.setTimer(() => {
      if (this.#stopped) return
      void this.#sweep().finally(() => this.#sweepLater())
    }, SWEEP_MS)
  }

  async #sweep(): Promise<void> {
    this.safeMode.check()
    this.pending.lapse(this.clock.nowMs() - this.timing.grantMs)
    const nowMs = this.clock.wallMs()
    try {
      await this.#tendIdentity(nowMs)
      const active = [...this.#sessions.values()].filter((s) => s.touchedMs > s.row.touchedMs)
      await this.catalog.touchSessions(
        active.map((s) => s.row.sessionId),
        nowMs,
      )
      for (const session of active) {
        session.row = { ...session.row, touchedMs: session.touchedMs }
      }
      for (const id of await this.catalog.lapseSessions(nowMs - this.timing.leaseMs)) {
        this.endedSession(id)
        this.log.info('a backup session lapsed', { sessionId: id })
      }
    } catch (error) {
      if (!this.#stopped) this.log.error('cleaning up sessions failed', { error: String(error) })
    }
  }

  /** After a recovery, while nobody was let in yet: the nodes that knock bring the list of those whom
   * the lost manager had shut out. One of these may knock first. */
  async listenFirst(): Promise<void> {
    const isRecovered = this.authority.trust.directory.generation > 0
    if (!isRecovered || (await this.catalog.members()).length > 0) return
    this.#listensUntilMs = this.clock.nowMs() + this.timing.takeOverMs
  }

  /** SAFE_MODE while this manager only listens. */
  mustHaveListened(): void {
    const leftMs = this.#listensUntilMs - this.clock.nowMs()
    if (leftMs <= 0) return
    const detail =
      'this manager has just taken over, and first hears whom the one before had shut out'
    throw new HoldfastError('SAFE_MODE', `${detail}; wait ${Math.ceil(leftMs / 1_000)} s`)
  }

  /** The catalog knows for ever who is revoked; nodes are told of keys that could still be shown. */
  async applyRevocations(): Promise<void> {
    const members = await this.catalog.members()
    for (const { publicKey, revokedMs } of members) {
      if (revokedMs !== null) this.membership.retire(publicKey)
    }
    const keys = revokedKeys(members, this.clock.wallMs())
    const listed = this.authority.trust.revokedKeys
    if (keys.length === listed.size && keys.every((key) => listed.has(key))) return
    await this.authority.revoke(keys)
  }

  async #tendIdentity(nowMs: number): Promise<void> {
    await this.authority.tend()
    if (nowMs - this.#identityMs < OWN_CERTIFICATE_MS && nowMs >= this.#identityMs) return
    this.#identityMs = nowMs
    this.#options.endpoint.setIdentity(this.authority.identity())
  }

  get quorum(): Quorum {
    return { live: this.membership.live(this.clock.nowMs()), wanted: this.replicas }
  }

  randomUnit(): number {
    const bytes = this.#options.random(4)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true) / 2 ** 32
  }

  randomId(): string {
    return Buffer.from(this.#options.random(16)).toString('hex')
  }

  // — sessions —

  async addSession(row: SessionRow): Promise<void> {
    await this.catalog.addSession(row)
    this.#sessions.set(row.sessionId, { row, touchedMs: row.touchedMs })
    this.claims.handleActivity(row.sessionId, this.clock.nowMs())
  }

  /** The session, touched. SESSION_EXPIRED when it is gone or somebody else's. */
  async session(sessionId: string, peer: PeerIdentity): Promise<SessionRow> {
    let known = this.#sessions.get(sessionId)
    if (!known) {
      const row = await this.catalog.session(sessionId)
      if (row) {
        known = { row, touchedMs: row.touchedMs }
        this.#sessions.set(sessionId, known)
      }
    }
    if (!known || known.row.publicKey !== keyOf(peer)) {
      const detail = 'the backup session is gone; begin again, what is stored stays valid'
      throw new HoldfastError('SESSION_EXPIRED', detail)
    }
    known.touchedMs = this.clock.wallMs()
    this.claims.handleActivity(sessionId, this.clock.nowMs())
    return known.row
  }

  endedSession(sessionId: string): void {
    this.#sessions.delete(sessionId)
    this.claims.release(sessionId)
  }

  // — grants —

  /** Signed permission for one peer, from now on. */
  grant(
    kind: Grant['kind'],
    fields: Pick<Grant, 'repositoryId' | 'subject'> &
      Partial<Pick<Grant, 'blobId' | 'sessionId' | 'sizeBytesMax'>>,
  ): Uint8Array {
    const notBeforeMs = this.clock.wallMs()
    const notAfterMs = notBeforeMs + this.timing.grantMs
    const anything = { blobId: null, sessionId: null, sizeBytesMax: 0 }
    return this.authority.grant({ kind, ...anything, ...fields, notBeforeMs, notAfterMs })
  }

  /** The grant that a server shows, which the manager gave to somebody. GRANT_REFUSED unless it is
   * of this kind, for this very blob, and now. */
  mustBeGranted(
    grant: Uint8Array,
    wanted: { kind: 'store' | 'replicate'; blobId: string; sizeBytes: number },
  ): Grant {
    const { kind, blobId, sizeBytes } = wanted
    const { trust } = this.authority
    const checked = trust.grant(grant, { kind, blobId, nowMs: this.clock.wallMs() })
    if (checked.blobId === null || sizeBytes > checked.sizeBytesMax) {
      throw new HoldfastError('GRANT_REFUSED', 'the grant is for no blob of that size')
    }
    return checked
  }

  get clusterId(): string {
    return this.authority.clusterId
  }

  /** Somebody could not use these servers just now. */
  avoid(numbers: readonly number[]): void {
    const untilMs = this.clock.nowMs() + AVOID_MS
    for (const number of numbers) this.membership.avoid(number, untilMs)
  }

  /** NOT_ENOUGH_SERVERS with what a person needs to know. */
  notEnoughServers(): HoldfastError {
    const up = this.membership.up(this.clock.nowMs()).map((member) => member.name)
    const names = up.length > 0 ? ` (${up.join(', ')})` : ''
    const some = `${up.length} ${up.length === 1 ? 'server is' : 'servers are'} up${names}`
    const detail =
      up.length < this.replicas
        ? `${some}, ${this.replicas} are needed; start more servers and repeat the command`
        : `${some}, but fewer than ${this.replicas} of them have room; ` +
          'free disk space or add servers, and repeat the command'
    return new HoldfastError('NOT_ENOUGH_SERVERS', detail)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#options.endpoint.close()
    await this.catalog.close()
  }
}

export const keyOf = (peer: PeerIdentity): string => Buffer.from(peer.publicKey).toString('hex')
