// test/manager/support/stage.ts — a real manager, and servers and clients that say what a test wants
import { createHash } from 'node:crypto'
import { BlobBuilder, BlobReceiver } from '../../../src/chunk/index.ts'
import type { Role } from '../../../src/identity/index.ts'
import type { Catalog } from '../../../src/manager/catalog/catalog.ts'
import { openCatalogHere } from '../../../src/manager/catalog/open.ts'
import { type ManagerOptions, startManager } from '../../../src/manager/manager.ts'
import type { Method, RequestOf, ResponseOf } from '../../../src/messages.ts'
import { call, type Session } from '../../../src/rpc/index.ts'
import { silentLog } from '../../../src/server/log.ts'
import { VirtualClock } from '../../server/support/virtual-clock.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { prng } from '../../support/random-tree.ts'
import { TestAuthority } from '../../support/test-authority.ts'

export const REPOSITORY = 'aa'.repeat(16)
const CLUSTER = 'c1'.repeat(16)
const MANAGER = { host: '127.0.0.1', port: 7400, publicKey: new Uint8Array(32).fill(9) }
const HEARTBEAT_MS = 2_000
const GIB = 2 ** 30

export const idOf = (name: string): string => createHash('sha256').update(name).digest('hex')

export interface TestBlob {
  readonly blobId: string
  readonly sizeBytes: number
  readonly index: Uint8Array
}

/** A real blob of chunks with these names; `record`: the last one is a snapshot record. */
export function blobOf(
  chunks: Record<string, readonly string[]>,
  { record = false, salt = '' } = {},
): TestBlob {
  const builder = new BlobBuilder(REPOSITORY)
  const names = Object.keys(chunks)
  for (const [name, edges] of Object.entries(chunks)) {
    const isRecord = record && name === names.at(-1)
    const snapshot = { clientName: 'one', timeMs: 5, groupId: 'ee'.repeat(16), tagIds: [] }
    builder.add({
      id: idOf(name),
      kind: isRecord ? 'snapshot' : 'data',
      sealed: Buffer.from(`${salt} sealed ${name}`),
      edges: edges.map(idOf),
      ...(isRecord && { snapshot }),
    })
  }
  const { blobId, bytes } = builder.finish()
  const receiver = new BlobReceiver(bytes.length)
  receiver.update(bytes)
  return { blobId, sizeBytes: bytes.length, index: receiver.finish().index }
}

export class Stage {
  readonly clock = new VirtualClock()
  readonly signer = signer
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly #catalog: Catalog = openCatalogHere(':memory:')
  #detach: () => void = () => undefined
  readonly #actors: Actor[] = []
  /** Catalog calls that fail, by name, the next ones first. */
  readonly faults: Partial<Record<keyof Catalog, Error[]>> = {}
  readonly #options: Partial<ManagerOptions>

  private constructor(options: Partial<ManagerOptions>) {
    this.#options = options
  }

  static async open(servers: number, options: Partial<ManagerOptions> = {}): Promise<Stage> {
    const stage = new Stage(options)
    await stage.startManager()
    for (let number = 1; number <= servers; number += 1) await stage.server(number)
    return stage
  }

  async startManager(): Promise<void> {
    const endpoint = this.network.endpoint({
      identity: identityOf('manager', 0, 9),
      address: MANAGER,
    })
    let isAttached = true
    this.#detach = () => {
      isAttached = false
    }
    // A killed manager must not go on writing to the catalog of its successor.
    const catalog = new Proxy(this.#catalog, {
      get: (target, method: keyof Catalog) => {
        if (typeof target[method] !== 'function') return undefined
        return (...args: unknown[]) => {
          if (!isAttached) return new Promise(() => undefined)
          const fault = this.faults[method]?.shift()
          if (fault) return Promise.reject(fault)
          return (target[method] as (...all: unknown[]) => unknown).apply(target, args)
        }
      },
    })
    const { clock } = this
    const random = prng(7)
    await startManager({
      endpoint,
      catalog,
      authority: await signer.inMemory(() => clock.wallMs()),
      where: MANAGER,
      clock,
      random: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)),
      log: silentLog,
      reserveBytes: 0,
      ...this.#options,
    })
  }

  /** A session of whoever has this key and shows this certificate. */
  dial(publicKey: Uint8Array, certificate: Uint8Array): Promise<Session> {
    const identity = { publicKey, secretKey: new Uint8Array(32), certificate }
    return this.clock.until(this.network.endpoint({ identity }).connect(MANAGER))
  }

  killManager(): void {
    this.#detach()
    this.network.kill(MANAGER)
  }

  /** Registered, with its (empty) block report taken. */
  async server(
    number: number,
    options: { host?: string; key?: number } = {},
  ): Promise<ServerActor> {
    const actor = new ServerActor(this, number, options)
    this.#actors.push(actor)
    await actor.register()
    return actor
  }

  /** With a backup session. */
  async client(number: number): Promise<ClientActor> {
    const actor = new ClientActor(this, number)
    this.#actors.push(actor)
    const repository = { repositoryId: REPOSITORY, checkValue: 'cc'.repeat(32) }
    await actor.ask('repository.open', repository)
    await actor.begin()
    return actor
  }

  serverActor(number: number): ServerActor {
    const actor = this.#actors.find((one) => one instanceof ServerActor && one.number === number)
    return actor as ServerActor
  }

  async close(): Promise<void> {
    for (const actor of this.#actors) actor.stop()
    this.#detach()
    await this.#catalog.close()
  }
}

const signer = new TestAuthority({ clusterId: CLUSTER, managerKey: MANAGER.publicKey })

function identityOf(role: Role, number: number, fill: number) {
  const publicKey = new Uint8Array(32).fill(fill)
  publicKey[0] = number
  if (role === 'manager') publicKey.fill(9)
  const name = `${role} ${number}`
  const certificate = signer.certificate(publicKey, { roles: [role], name, number })
  return { publicKey, secretKey: new Uint8Array(32), certificate }
}

class Actor {
  readonly stage: Stage
  readonly number: number
  readonly publicKey: string
  readonly #identity: ReturnType<typeof identityOf>
  #session: Promise<Session> | null = null

  constructor(stage: Stage, role: Role, number: number, key?: number) {
    this.stage = stage
    this.number = number
    this.#identity = identityOf(role, number, key ?? (role === 'server' ? 2 : 6))
    this.publicKey = Buffer.from(this.#identity.publicKey).toString('hex')
  }

  /** Time goes on until the answer is there. */
  ask<M extends Method>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>> {
    return this.stage.clock.until(this.begins(method, request))
  }

  /** Time stands still. */
  async begins<M extends Method>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>> {
    const { clock, network } = this.stage
    this.#session ??= network.endpoint({ identity: this.#identity }).connect(MANAGER)
    const result = await call(await this.#session, method, request, { clock, deadlineMs: 60_000 })
    result.discard()
    return result.response
  }

  /** The connection is gone: the next request dials again. */
  disconnect(): void {
    this.#session?.then((session) => session.destroy())
    this.#session = null
  }

  stop(): void {
    this.disconnect()
  }
}

export class ServerActor extends Actor {
  readonly #host: string
  load = { usedBytes: 0, freeBytes: 100 * GIB, blobs: 0, active: 0, readOnly: false }
  #isStopped = false

  constructor(stage: Stage, number: number, options: { host?: string; key?: number }) {
    super(stage, 'server', number, options.key)
    this.#host = options.host ?? '127.0.0.1'
  }

  /** What it does at each start; sends a block report when asked for one. */
  async register(held: readonly TestBlob[] | null = []): Promise<void> {
    const { number, load } = this
    const server = { number, name: `server ${number}`, host: this.#host, port: 7400 + number }
    const { wantsReport } = await this.ask('server.register', { ...server, load })
    if (wantsReport && held) await this.report(held)
    if (this.#isStopped) return
    this.#beatLater()
  }

  report(held: readonly TestBlob[]): Promise<ResponseOf<'server.report'>> {
    const blobs = held.map(({ blobId, sizeBytes }) => ({ blobId, sizeBytes }))
    const page = { reportId: '0e'.repeat(16), page: 0, last: true, blobs }
    return this.ask('server.report', { number: this.number, ...page })
  }

  /** "It is on my disk." The primary sends the index too. */
  stored(blob: TestBlob, grant: Uint8Array, isPrimary: boolean) {
    const { blobId, sizeBytes, index } = blob
    const request = { number: this.number, blobId, sizeBytes, grant }
    return this.begins('replica.stored', isPrimary ? { ...request, index } : request)
  }

  assignBackup(blob: TestBlob, grant: Uint8Array, exclude: number[] = []) {
    const { blobId, sizeBytes } = blob
    return this.ask('backup-server.assign', { blobId, sizeBytes, grant, exclude })
  }

  /** Silent from now on. */
  override stop(): void {
    this.#isStopped = true
    super.stop()
  }

  #beatLater(): void {
    this.stage.clock.setTimer(() => {
      if (this.#isStopped) return
      const { number, load } = this
      this.begins('server.heartbeat', { number, load }).catch(() => undefined)
      this.#beatLater()
    }, HEARTBEAT_MS)
  }
}

export class ClientActor extends Actor {
  sessionId = ''

  constructor(stage: Stage, number: number) {
    super(stage, 'backup', number)
  }

  async begin(): Promise<void> {
    const request = { repositoryId: REPOSITORY, clientName: `client ${this.number}` }
    this.sessionId = (await this.ask('backup.begin', request)).sessionId
  }

  async missing(...names: string[]): Promise<string[]> {
    const chunkIds = names.map(idOf)
    return (await this.ask('chunks.missing', { sessionId: this.sessionId, chunkIds })).answers
  }

  touch(): Promise<object> {
    return this.ask('backup.touch', { sessionId: this.sessionId })
  }

  assign({ blobId, sizeBytes }: TestBlob): Promise<ResponseOf<'server.assign'>> {
    const request = { sessionId: this.sessionId, blobId, sizeBytes, exclude: [] }
    return this.ask('server.assign', request)
  }

  /** Assigned, reported by both servers, committed: what happens when all is well. */
  async store(blob: TestBlob): Promise<number[]> {
    const { stage } = this
    const assigned = await this.assign(blob)
    if (assigned.state === 'replicated') return assigned.servers
    const primary = stage.serverActor(assigned.server.number)
    const backup = await primary.assignBackup(blob, assigned.grant)
    const committing = primary.stored(blob, assigned.grant, true)
    const other = stage.serverActor(backup.server.number)
    await stage.clock.until(other.stored(blob, backup.grant, false))
    return (await stage.clock.until(committing)).servers
  }

  commit(record: string): Promise<ResponseOf<'snapshot.commit'>> {
    const request = { sessionId: this.sessionId, snapshotId: idOf(record) }
    return this.ask('snapshot.commit', request)
  }

  status(): Promise<ResponseOf<'status'>> {
    return this.ask('status', {})
  }
}
