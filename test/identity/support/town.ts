// test/identity/support/town.ts — a manager that signs, and nodes that join it, in one process
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalIdentity, Session, TransportEndpoint } from '../../../protocol/types.ts'
import { decodeCertificate, type Role } from '../../../src/identity/certificate.ts'
import type { EnrolOptions } from '../../../src/identity/enrolment.ts'
import { type Founded, foundCluster } from '../../../src/identity/found.ts'
import type { Ask, Member } from '../../../src/identity/member.ts'
import { openCatalogHere } from '../../../src/manager/catalog/open.ts'
import { type Manager, startManager } from '../../../src/manager/manager.ts'
import type { Method, RequestOf, ResponseOf } from '../../../src/messages.ts'
import { call } from '../../../src/rpc/index.ts'
import { silentLog } from '../../../src/server/log.ts'
import { VirtualClock } from '../../server/support/virtual-clock.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'

export const WHERE = { host: '127.0.0.1', port: 7400 }
export const HOUR_MS = 3_600_000
/** Virtual and real alike. */
const STEP_MS = 2
const SETTLE_MS = 50
export const DAY_MS = 24 * HOUR_MS

/** A real manager with real files, over a network in memory. */
export class Town {
  readonly clock = new VirtualClock()
  readonly network = new MemoryNetwork({ clock: this.clock })
  readonly said: string[] = []
  /** How often the manager cleared away what strangers left. */
  collections = 0
  /** Added to what time it is. */
  aheadMs = 1_700_000_000_000
  manager: Manager | null = null
  #catalog = openCatalogHere(':memory:')
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  readonly wallMs = (): number => this.clock.nowMs() + this.aheadMs

  /** Time goes on slowly: files are real, and no time of ours can hurry them. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    while (!isSettled) {
      await this.clock.advance(STEP_MS)
      await new Promise((wake) => setTimeout(wake, STEP_MS))
    }
    return promise
  }

  /** What was begun by the time that passes is also done. */
  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms)
    await this.until(new Promise((done) => setTimeout(done, SETTLE_MS)))
  }

  get dataDir(): string {
    return join(this.folder, 'data')
  }

  async start(recoveryKeyPath?: string): Promise<Founded> {
    const founded = await foundCluster({
      dataDir: this.dataDir,
      name: 'manager',
      wallMs: this.wallMs,
      ...(recoveryKeyPath !== undefined && { recoveryKeyPath }),
    })
    const { authority } = founded
    const say = (message: string, fields = {}) =>
      void this.said.push(`${message} ${JSON.stringify(fields)}`)
    this.manager = await startManager({
      endpoint: this.network.endpoint({ identity: authority.identity(), address: WHERE }),
      catalog: this.#catalog,
      authority,
      where: WHERE,
      clock: { ...clockOf(this.clock), wallMs: this.wallMs },
      random: (length) => new Uint8Array(length).fill(3),
      log: { ...silentLog, warn: say },
      collectGarbage: () => {
        this.collections += 1
      },
    })
    return founded
  }

  kill(): void {
    this.network.kill(WHERE)
    this.manager = null
  }

  /** The machine is gone, and everything that the manager knew. */
  async lose(): Promise<void> {
    this.kill()
    this.#catalog = openCatalogHere(':memory:')
    for (const name of ['manager', 'cluster']) {
      await rm(join(this.dataDir, name), { recursive: true })
    }
  }

  /** What a node says to itself when it starts. `elsewhere`: on a machine of its own. */
  options(name: string, more: Partial<EnrolOptions> & { elsewhere?: boolean } = {}): EnrolOptions {
    const { elsewhere, ...rest } = more
    const dataDir = elsewhere ? join(this.folder, name) : this.dataDir
    return {
      dataDir,
      folder: join(dataDir, name),
      kind: 'server',
      roles: ['server'],
      name,
      number: 1,
      wallMs: this.wallMs,
      waitMs: 0,
      ...rest,
    }
  }

  async token(roles: Role[], number: number, lifeMs = HOUR_MS): Promise<string> {
    return this.manager?.authority.token({ ...WHERE, roles, number, lifeMs }).token ?? ''
  }

  join(token: string): NonNullable<EnrolOptions['join']> {
    return {
      token,
      withManager: async (to, identity, work) => {
        const session = await this.until(this.network.endpoint({ identity }).connect(to))
        await this.until(work(session.peer, this.ask(session)))
      },
    }
  }

  ask(session: Session): Ask {
    return async <M extends Method>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>> => {
      const result = await call(session, method, request, { clock: this.clock, deadlineMs: null })
      result.discard()
      return result.response
    }
  }

  /** The node reaches the manager, as it does at each start. */
  async meet(member: Member): Promise<{ session: Session; endpoint: TransportEndpoint }> {
    const endpoint = this.network.endpoint({ identity: member.identity as LocalIdentity })
    const publicKey = Buffer.from(member.trust.directory.managerKey, 'hex')
    const session = await this.until(endpoint.connect({ ...WHERE, publicKey }))
    await this.until(member.admitManager(session, this.ask(session)))
    return { session, endpoint }
  }

  async close(): Promise<void> {
    await this.manager?.stop()
  }
}

const clockOf = (clock: VirtualClock) => ({
  nowMs: () => clock.nowMs(),
  setTimer: (fire: () => void, delayMs: number) => clock.setTimer(fire, delayMs),
  defer: (fire: () => void) => clock.defer(fire),
})

export const endOf = (member: Member): number => {
  const decoded = decodeCertificate(member.identity.certificate)
  return decoded.ok ? decoded.certificate.notAfterMs : 0
}
