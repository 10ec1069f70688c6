// test/client/support/fake-cluster.ts — how does the engine behave when manager and servers do just
// what a test says? Everything in memory, no network: calls are checked by the catalogue and answered.
import { randomBytes } from 'node:crypto'
import { BlobReceiver, decodeIndex } from '../../../src/chunk/index.ts'
import { type ErrorCode, HoldfastError } from '../../../src/errors.ts'
import { MESSAGES, type Method, type RequestOf, type ResponseOf } from '../../../src/messages.ts'
import type { PeerAddress } from '../../../src/rpc/index.ts'

interface FakeServer {
  readonly number: number
  up: boolean
  readonly blobs: Map<string, Buffer>
}
interface FakeChunk {
  readonly blobId: string
  readonly offset: number
  readonly length: number
  readonly edges: readonly string[]
}
interface FakeSession {
  readonly pinned: Set<string>
}
type AnyCall = { method: Method; request: Record<string, unknown>; to: PeerAddress }
type Options = {
  body?: AsyncIterable<Uint8Array>
  signal?: AbortSignal
  onNote?: (n: never) => void
}

const GRANT = new Uint8Array(8)

export class FakeCluster {
  readonly servers: FakeServer[]
  readonly chunks = new Map<string, FakeChunk>()
  readonly claims = new Map<string, { sessionId: string; atMs: number }>()
  readonly sessions = new Map<string, FakeSession>()
  readonly snapshots: ResponseOf<'snapshots.list'>['snapshots'] = []
  readonly calls: AnyCall[] = []
  repositoryIds: string[] = []
  managerUp = true
  claimMs = 10_000
  #blobsStored = 0
  /** Runs before each call is answered; may change the cluster, or throw to fail the call. */
  before: (call: AnyCall) => void | Promise<void> = () => undefined

  readonly manager: PeerAddress = { host: '127.0.0.1', port: 1, publicKey: new Uint8Array(32) }

  constructor(serverCount = 4) {
    this.servers = Array.from({ length: serverCount }, (_, index) => ({
      number: index + 1,
      up: true,
      blobs: new Map(),
    }))
  }

  count(method: Method): number {
    return this.calls.filter((call) => call.method === method).length
  }

  /** Distinct blobs on any server. */
  get blobIds(): Set<string> {
    return new Set(this.servers.flatMap((server) => [...server.blobs.keys()]))
  }

  replicas(blobId: string): FakeServer[] {
    return this.servers.filter((server) => server.up && server.blobs.has(blobId))
  }

  isGood(chunkId: string): boolean {
    const chunk = this.chunks.get(chunkId)
    return chunk !== undefined && this.replicas(chunk.blobId).length >= 2
  }

  /** Everything that a snapshot reaches, by its edges. */
  reach(snapshotId: string): Set<string> {
    const seen = new Set<string>()
    const todo = [snapshotId]
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      if (seen.has(id)) continue
      seen.add(id)
      todo.push(...(this.chunks.get(id)?.edges ?? []))
    }
    return seen
  }

  readonly peers = {
    call: async <M extends Method>(
      to: PeerAddress,
      method: M,
      request: RequestOf<M>,
      options: unknown = {},
    ) => {
      const legal = MESSAGES[method].request.parse(request) as Record<string, unknown>
      const call = { method, request: legal, to }
      this.calls.push(call)
      await new Promise((resolve) => setImmediate(resolve))
      await this.before(call)
      const opts = options as Options
      if (opts.signal?.aborted) throw new HoldfastError('CANCELLED', 'aborted')
      const [response, body] = await this.#answer(to, method, legal, opts)
      MESSAGES[method].response.parse(response)
      return { response: response as ResponseOf<M>, body: stream(body), discard: () => undefined }
    },
  }

  async #answer(
    to: PeerAddress,
    method: Method,
    request: never | object,
    options: Options,
  ): Promise<readonly [object, readonly Uint8Array[]]> {
    if (to.port === 1) {
      if (!this.managerUp) throw new HoldfastError('UNREACHABLE', 'the manager is down')
      return [this.#manager(method, request as never), []] as const
    }
    const server = this.servers[to.port - 2]!
    if (!server.up) throw new HoldfastError('UNREACHABLE', `server ${server.number} is down`)
    if (method === 'blob.store') return [await this.#store(server, request as never, options), []]
    return this.#fetch(server, request as never)
  }

  #status(): ResponseOf<'status'> {
    return {
      clusterId: '00'.repeat(16),
      safeMode: false,
      servers: [],
      blobs: { total: 0, underReplicated: 0, lost: 0 },
      snapshots: this.snapshots.length,
      sessions: this.sessions.size,
    }
  }

  #manager(method: Method, request: never): object {
    const handlers: { [M in Method]?: (r: RequestOf<M>) => ResponseOf<M> } = {
      status: () => this.#status(),
      'repository.list': () => ({ repositoryIds: this.repositoryIds }),
      'repository.open': ({ repositoryId }) => this.#openRepository(repositoryId),
      'backup.begin': () => this.#begin(),
      'backup.touch': ({ sessionId }) => {
        this.#session(sessionId)
        return {}
      },
      'backup.abort': ({ sessionId }) => {
        this.sessions.delete(sessionId)
        return {}
      },
      'chunks.missing': (r) => this.#missing(r),
      'server.assign': (r) => this.#assign(r),
      'snapshot.commit': (r) => this.#commit(r),
      'snapshots.list': () => ({ snapshots: this.snapshots }),
      'chunks.locate': (r) => this.#locate(r),
    }
    const handle = handlers[method] as ((r: never) => object) | undefined
    if (!handle) throw new HoldfastError('UNKNOWN_METHOD', method)
    return handle(request)
  }

  #openRepository(repositoryId: string) {
    const created = this.repositoryIds.length === 0
    if (created) this.repositoryIds.push(repositoryId)
    else if (!this.repositoryIds.includes(repositoryId)) throw error('NO_SUCH_REPOSITORY')
    return { created }
  }

  #begin() {
    const sessionId = randomBytes(16).toString('hex')
    this.sessions.set(sessionId, { pinned: new Set() })
    return { sessionId, leaseMs: 60_000, replicas: 2 }
  }

  #session(sessionId: string): FakeSession {
    const session = this.sessions.get(sessionId)
    if (!session) throw error('SESSION_EXPIRED')
    return session
  }

  #missing({ sessionId, chunkIds }: RequestOf<'chunks.missing'>) {
    const session = this.#session(sessionId)
    const answers = chunkIds.map((id) => {
      if (this.isGood(id)) {
        session.pinned.add(id)
        return 'present' as const
      }
      const claim = this.claims.get(id)
      const isTaken =
        claim !== undefined &&
        claim.sessionId !== sessionId &&
        this.sessions.has(claim.sessionId) &&
        Date.now() - claim.atMs < this.claimMs
      if (isTaken) return 'wait' as const
      this.claims.set(id, { sessionId, atMs: Date.now() })
      return 'send' as const
    })
    return { answers }
  }

  #assign({ sessionId, blobId, exclude }: RequestOf<'server.assign'>): ResponseOf<'server.assign'> {
    this.#session(sessionId)
    const holders = this.replicas(blobId)
    if (holders.length >= 2) {
      return { state: 'replicated', servers: holders.map((server) => server.number) }
    }
    const up = this.servers.filter((server) => server.up)
    const free = up.filter((server) => !exclude.includes(server.number))
    if (up.length < 2 || free.length === 0) throw error('NOT_ENOUGH_SERVERS')
    const server = free[this.#blobsStored++ % free.length]!
    return { state: 'assigned', server: this.#address(server), grant: GRANT }
  }

  #commit({ sessionId, snapshotId }: RequestOf<'snapshot.commit'>) {
    this.#session(sessionId)
    for (const id of this.reach(snapshotId)) {
      if (!this.chunks.has(id)) throw error('UNKNOWN_EDGE')
      if (!this.isGood(id)) throw error('UNDER_REPLICATED')
    }
    const place = this.chunks.get(snapshotId)!
    const blob = this.replicas(place.blobId)[0]!.blobs.get(place.blobId)!
    const entry = indexOf(blob).entries.find((one) => one.id === snapshotId)!
    this.snapshots.push({ snapshotId, ...entry.snapshot!, tagIds: [...entry.snapshot!.tagIds] })
    this.sessions.delete(sessionId)
    return { snapshotId, timeMs: entry.snapshot!.timeMs }
  }

  #locate({ chunkIds }: RequestOf<'chunks.locate'>) {
    const places = chunkIds.map((id) => {
      const chunk = this.chunks.get(id)
      if (!chunk) return null
      const { blobId, offset, length } = chunk
      return { blobId, offset, length, servers: this.#holders(blobId) }
    })
    return { places, servers: this.servers.map((one) => this.#address(one)), grant: GRANT }
  }

  /** Also those that are down: the manager does not know yet. */
  #holders = (blobId: string): number[] =>
    this.servers.filter((server) => server.blobs.has(blobId)).map((server) => server.number)

  #address(server: FakeServer) {
    const publicKey = server.number.toString(16).padStart(64, '0')
    const name = `server-${server.number}`
    return { number: server.number, name, host: '127.0.0.1', port: server.number + 1, publicKey }
  }

  async #store(server: FakeServer, request: RequestOf<'blob.store'>, { body, onNote }: Options) {
    const pieces: Uint8Array[] = []
    for await (const piece of body!) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    if (bytes.length !== request.sizeBytes) throw error('INVALID_REQUEST')
    const others = this.servers.filter((one) => one.up && one !== server)
    const backup = others[server.number % Math.max(1, others.length)]
    if (!server.up) throw error('UNREACHABLE')
    if (!backup) throw error('NOT_ENOUGH_SERVERS')
    const note = { storedBytes: bytes.length, forwardedBytes: 0, backupServer: backup.number }
    onNote?.(note as never)
    const index = indexOf(bytes, request.blobId)
    for (const holder of [server, backup]) holder.blobs.set(request.blobId, bytes)
    for (const { id, offset, length, edges } of index.entries) {
      const place = { blobId: request.blobId, offset, length, edges }
      if (!this.isGood(id)) this.chunks.set(id, place)
      this.claims.delete(id)
    }
    return { servers: [server.number, backup.number] }
  }

  #fetch(server: FakeServer, request: RequestOf<'blob.fetch'>) {
    const blob = server.blobs.get(request.blobId)
    if (!blob) throw error('NOT_FOUND')
    const pieces = request.ranges.map(({ offset, length }) =>
      blob.subarray(offset, offset + length),
    )
    return [{ lengthBytes: pieces.reduce((sum, one) => sum + one.length, 0) }, pieces] as const
  }
}

const error = (code: ErrorCode): HoldfastError =>
  new HoldfastError(code, 'said the fake', { remote: true })

function indexOf(bytes: Buffer, blobId?: string) {
  const receiver = new BlobReceiver(bytes.length)
  receiver.update(bytes)
  const received = receiver.finish()
  if (blobId !== undefined && received.blobId !== blobId) throw error('CORRUPT')
  return decodeIndex(received.index, bytes.length)
}

async function* stream(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    // In halves, as a network would cut anywhere.
    yield piece.subarray(0, piece.length >> 1)
    yield piece.subarray(piece.length >> 1)
  }
}
