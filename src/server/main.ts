// src/server/main.ts — how does one server run as a process of its own?
import { join } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { enrol, garbageCollector, lockFolder, makeFolder } from '../identity/index.ts'
import {
  createEndpoint,
  type Records,
  recordsInto,
  systemClock,
  systemRandom,
  type TransportEndpoint,
  visitor,
} from '../rpc/index.ts'
import { failpointFrom } from './failpoints.ts'
import type { Log } from './log.ts'
import { FileManagerState } from './manager-state.ts'
import { startServer } from './server.ts'
import { DiskStore } from './store/disk-store.ts'
import { codeOf, realFileSystem } from './store/file-system.ts'

/** A disk that is written to the last block can't even be cleaned up. */
const RESERVE_BYTES_DEFAULT = 2 ** 30
/** A server talks to many at once, over long paths: what its connections may hold. */
const MEMORY_BUDGET_BYTES = 2 ** 30

/** Those parts of the config that a server needs. */
export interface ServerConfig {
  readonly manager: { readonly host: string; readonly port: number }
  readonly servers: readonly {
    readonly name: string
    readonly host: string
    readonly port: number
    readonly bind?:
      | { readonly host?: string | undefined; readonly port?: number | undefined }
      | undefined
  }[]
  readonly limits?: { readonly reserveBytes?: number | undefined } | undefined
}

export interface RunServerOptions {
  readonly config: ServerConfig
  /** From 1: the place in config.servers. */
  readonly number: number
  /** Absolute. The server's own folder is server-N in it. */
  readonly dataDir: string
  readonly log: Log
  readonly records?: Records
  /** Ends the server. */
  readonly signal: AbortSignal
  /** The socket is open and reads are served. */
  readonly onListening?: (where: { host: string; port: number }) => void
  /** Registered with the manager, for the first time in this run. */
  readonly onReady?: (what: { number: number; name: string; host: string; port: number }) => void
  readonly enrolWaitMs?: number
  /** For a machine that can't read the manager's data folder: `holdfast token` prints it. */
  readonly joinToken?: string | undefined
  /** Default: HOLDFAST_FAILPOINT of the environment. */
  readonly failpoint?: string
}

/** Resolves when `signal` has fired and everything is closed. Rejects with BAD_CONFIG (no such
 * number), DATA_FOLDER_LOCKED, NOT_ENROLLED, BAD_FILE, PORT_IN_USE, STORAGE_FAILED; at the first
 * contact with the manager with WRONG_CLUSTER, CLOCK_WRONG, TOKEN_REFUSED, REVOKED. */
export async function runServer(options: RunServerOptions): Promise<void> {
  const { config, number, dataDir, log, signal } = options
  const place = config.servers[number - 1]
  if (!place) {
    const problem = `servers: there is no server ${number}, the config has ${config.servers.length}`
    throw new HoldfastError('BAD_CONFIG', problem)
  }
  const { name, host, port } = place
  const folder = join(dataDir, `server-${number}`)
  makeFolder(folder, 0o700)
  await using ends = new AsyncDisposableStack()
  const lock = await lockFolder(folder)
  ends.defer(() => lock.release())

  const reach = failpointFrom(options.failpoint ?? process.env.HOLDFAST_FAILPOINT)
  const nowMs = (): number => systemClock.nowMs()
  const { store, problems } = await DiskStore.open({
    folder,
    reserveBytes: config.limits?.reserveBytes ?? RESERVE_BYTES_DEFAULT,
    nowMs,
    reach,
  })
  for (const { path, problem } of problems) log.warn(`${path}: ${problem}`)
  const usage = await store.usage()
  log.info('store opened', { blobs: usage.blobs, usedBytes: usage.usedBytes })

  const bind = { host: place.bind?.host ?? host, port: place.bind?.port ?? port }
  const token = options.joinToken
  const member = await enrol({
    dataDir,
    folder,
    kind: 'server',
    roles: ['server'],
    name,
    number,
    wallMs: () => systemClock.wallMs(),
    waitMs: options.enrolWaitMs,
    signal,
    join: token === undefined ? undefined : { token, withManager: visitor(bind.host, signal) },
  })
  const statePath = join(folder, 'state.json')
  const state = await FileManagerState.open({ fs: realFileSystem, path: statePath, nowMs })
  mustBeSameCluster(state.highest?.clusterId, member.trust.clusterId, folder)

  const records = recordsInto(options.records, log)
  const endpoint = await listen(
    {
      bind,
      identity: member.identity,
      admission: 'by-application', // by the server's gate
      memoryBudgetBytes: MEMORY_BUDGET_BYTES,
      ...records,
    },
    number,
  )
  ends.defer(() => endpoint.close())
  const server = await startServer({
    number,
    name,
    host,
    port,
    store,
    state,
    endpoint,
    manager: member.managerAt(config.manager),
    member,
    clock: systemClock,
    random: systemRandom,
    log,
    reach,
    collectGarbage: garbageCollector(),
  })
  ends.defer(() => server.stop())
  store.onLost = (blobId) => {
    log.error('a blob is gone from the disk', { blobId })
    server.wantReport()
  }
  options.onListening?.(endpoint.local)
  server.ready.then(
    () => options.onReady?.({ number, name, host, port }),
    () => {}, // stopped before
  )
  await Promise.race([aborted(signal), server.refused])
}

async function listen(
  options: Parameters<typeof createEndpoint>[0],
  number: number,
): Promise<TransportEndpoint> {
  try {
    return await createEndpoint(options)
  } catch (error) {
    const cause = (error as { cause?: unknown }).cause ?? error
    if (codeOf(cause) !== 'EADDRINUSE') throw error
    const { bind } = options
    const where = `port ${bind.port} on ${bind.host} is in use`
    const field = `servers[${number - 1}].port`
    const detail = `${where}: stop the other program or change ${field} in the config`
    throw new HoldfastError('PORT_IN_USE', detail, { cause: error })
  }
}

function mustBeSameCluster(seen: string | undefined, now: string, folder: string): void {
  if (seen === undefined || seen === now) return
  const detail = `${folder} belongs to cluster ${seen}, not ${now}: use another --data folder`
  throw new HoldfastError('WRONG_CLUSTER', detail)
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
