// test/server/support/world.ts — a manager, servers and clients in one process, in virtual time
import type { LocalIdentity } from '../../../protocol/types.ts'
import type { NoteOf, ResponseOf } from '../../../src/messages.ts'
import { call, type Session } from '../../../src/rpc/index.ts'
import { type Log, silentLog } from '../../../src/server/log.ts'
import { MemoryManagerState } from '../../../src/server/manager-state.ts'
import { type Server, type ServerOptions, startServer } from '../../../src/server/server.ts'
import { MemoryStore } from '../../../src/server/store/memory-store.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { type Blob, REPOSITORY_ID } from './blobs.ts'
import {
  addressOf,
  authority,
  type Cast,
  CLUSTER_ID,
  grantFor,
  identityOf,
  keyOf,
  type Role,
} from './cast.ts'
import { Catalog, FakeManager } from './fake-manager.ts'
import { type TestClock, VirtualClock } from './virtual-clock.ts'

const PIECE_BYTES = 48 * 1024

export interface StoreOptions {
  readonly grant?: Uint8Array
  readonly client?: number
  readonly body?: AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal
  readonly onNote?: (note: NoteOf<'blob.store'>) => void
}

export class World implements Cast {
  readonly clusterId = CLUSTER_ID
  readonly repositoryId = REPOSITORY_ID
  readonly clock: TestClock
  readonly network: MemoryNetwork
  readonly catalog = new Catalog()
  readonly stores = new Map<number, MemoryStore>()
  readonly states = new Map<number, MemoryManagerState>()
  readonly servers = new Map<number, Server>()
  readonly said: string[] = []
  manager: FakeManager | null = null
  #clients = new Map<string, Promise<Session>>()
  readonly wallMs = (): number => this.clock.wallMs()

  constructor(clock: TestClock = new VirtualClock()) {
    this.clock = clock
    this.network = new MemoryNetwork({ clock })
  }

  /** A manager and servers 1 … count, registered. */
  static async open(count: number, options: Partial<ServerOptions> = {}): Promise<World> {
    const world = new World()
    world.startManager()
    for (let number = 1; number <= count; number += 1) await world.startServer(number, options)
    const ready = [...world.servers.values()].map((server) => server.ready)
    await world.clock.until(Promise.all(ready))
    return world
  }

  startManager(): FakeManager {
    const role: Role = { kind: 'manager' }
    const address = addressOf(role)
    const endpoint = this.network.endpoint({ identity: identityOf(role), address })
    const { clock, catalog } = this
    this.manager = new FakeManager(endpoint, { cast: this, clock, catalog })
    return this.manager
  }

  killManager(): void {
    this.network.kill(addressOf({ kind: 'manager' }))
    this.manager = null
  }

  killServer(number: number): void {
    this.network.kill(addressOf({ kind: 'server', number }))
  }

  async startServer(number: number, options: Partial<ServerOptions> = {}): Promise<Server> {
    const role: Role = { kind: 'server', number }
    const { host, port } = addressOf(role)
    const identity = identityOf(role)
    const endpoint = this.network.endpoint({ identity, address: { host, port } })
    const { wallMs } = this
    const store =
      this.stores.get(number) ?? new MemoryStore({ capacityBytes: 2 ** 30, reserveBytes: 0 })
    this.stores.set(number, store)
    const state = this.states.get(number) ?? new MemoryManagerState()
    this.states.set(number, state)
    const server = await startServer({
      number,
      name: `server ${number}`,
      host,
      port,
      store,
      state,
      endpoint,
      manager: addressOf({ kind: 'manager' }),
      member: authority.member(identity, { roles: ['server'], wallMs }),
      clock: this.clock,
      random: (lengthBytes) => new Uint8Array(lengthBytes).fill(number),
      log: this.#log(number),
      ...options,
    })
    this.servers.set(number, server)
    return server
  }

  /** Sends a blob to a server as a client does. */
  async store(
    server: number,
    blob: Blob,
    options: StoreOptions = {},
  ): Promise<ResponseOf<'blob.store'>> {
    const { client = 1, signal, onNote } = options
    const { blobId, bytes } = blob
    const session = await this.client(client, server)
    const grant = options.grant ?? this.grant('store', blobId, client)
    const request = { repositoryId: this.repositoryId, blobId, sizeBytes: bytes.length, grant }
    const result = await call(session, 'blob.store', request, {
      body: options.body ?? inPieces(bytes),
      clock: this.clock,
      deadlineMs: null,
      ...(signal ? { signal } : {}),
      ...(onNote ? { onNote } : {}),
    })
    result.discard()
    return result.response
  }

  async fetch(
    server: number,
    blobId: string,
    ranges: { offset: number; length: number }[],
    grant = this.grant('fetch', null, 1),
  ): Promise<Buffer> {
    const session = await this.client(1, server)
    const request = { repositoryId: this.repositoryId, blobId, grant, ranges }
    const { body } = await call(session, 'blob.fetch', request, { clock: this.clock })
    const pieces: Uint8Array[] = []
    for await (const piece of body) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  client(client: number, server: number): Promise<Session> {
    const role: Role = { kind: 'client', number: client }
    const key = `${client}-${server}`
    const known = this.#clients.get(key)
    if (known) return known
    const { host, port } = addressOf({ kind: 'client', number: client * 10 + server })
    const address = { host, port: port + 100 }
    const endpoint = this.network.endpoint({ identity: identityOf(role), address })
    const session = endpoint.connect(addressOf({ kind: 'server', number: server }))
    this.#clients.set(key, session)
    return session
  }

  dial(identity: LocalIdentity, server: number): Promise<Session> {
    const address = addressOf({ kind: 'server', number: server })
    return this.clock.until(this.network.endpoint({ identity }).connect(address))
  }

  /** The client's process is gone. */
  async killClient(client: number, server: number): Promise<void> {
    const session = await this.client(client, server)
    session.destroy()
    this.#clients.delete(`${client}-${server}`)
    const { host, port } = addressOf({ kind: 'client', number: client * 10 + server })
    this.network.kill({ host, port: port + 100 })
  }

  grant(kind: 'store' | 'fetch', blobId: string | null, client: number): Uint8Array {
    const { publicKey } = identityOf({ kind: 'client', number: client })
    return grantFor(this, { kind, blobId, subject: keyOf(publicKey) })
  }

  cutServers(left: number, right: number): void {
    const [from, to] = [left, right].map((number) => addressOf({ kind: 'server', number }))
    if (from && to) this.network.cut(from, to)
  }

  /** Servers that hold the blob on their disk. */
  holders(blob: Blob): number[] {
    return [...this.stores]
      .filter(([, store]) => store.sizeBytes(blob.blobId) !== null)
      .map(([number]) => number)
      .sort()
  }

  async close(): Promise<void> {
    const stopping = Promise.all([...this.servers.values()].map((server) => server.stop()))
    await this.clock.until(stopping)
  }

  #log(number: number): Log {
    const say =
      (level: string) =>
      (message: string, fields: Record<string, unknown> = {}): void => {
        this.said.push(`${level} ${number} ${message} ${JSON.stringify(fields)}`)
      }
    return { ...silentLog, info: say('info'), warn: say('warn'), error: say('error') }
  }
}

export async function* inPieces(bytes: Uint8Array, pieceBytes = PIECE_BYTES) {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
    yield bytes.subarray(offset, offset + pieceBytes)
  }
}
