// src/manager/main.ts — how does the manager run as a process of its own?
import { join } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { foundCluster, garbageCollector, lockFolder, makeFolder } from '../identity/index.ts'
import {
  createEndpoint,
  type Log,
  type Records,
  recordsInto,
  systemClock,
  systemRandom,
} from '../rpc/index.ts'
import { openCatalog } from './catalog/open.ts'
import { type ManagerTiming, startManager } from './manager.ts'

/** Those parts of the config that the manager needs. */
export interface ManagerConfig {
  readonly manager: {
    readonly name: string
    readonly host: string
    readonly port: number
    readonly bind?:
      | { readonly host?: string | undefined; readonly port?: number | undefined }
      | undefined
  }
  readonly replicas?: number
  readonly timing?: Partial<ManagerTiming>
  readonly limits?: { readonly reserveBytes?: number | undefined } | undefined
}

export interface RunManagerOptions {
  readonly config: ManagerConfig
  /** Absolute. The manager's own folder is manager in it. */
  readonly dataDir: string
  readonly log: Log
  readonly records?: Records
  /** Ends the manager. */
  readonly signal: AbortSignal
  /** Makes this the successor of a manager that is lost. */
  readonly recoveryKeyPath?: string | undefined
  /** What the operator must know, once: at the first start, and after a recovery. */
  readonly onNotice?: (notice: string) => void
  readonly onReady?: (what: { name: string; host: string; port: number }) => void
}

/** Resolves when `signal` has fired and everything is closed. Rejects with DATA_FOLDER_LOCKED,
 * BAD_FILE, PORT_IN_USE, WRONG_CLUSTER, BAD_USAGE (a recovery key, and nothing is lost). */
export async function runManager(options: RunManagerOptions): Promise<void> {
  const { config, dataDir, log, signal } = options
  const { name, host, port, bind } = config.manager
  const folder = join(dataDir, 'manager')
  makeFolder(folder, 0o700)
  await using ends = new AsyncDisposableStack()
  const lock = await lockFolder(folder)
  ends.defer(() => lock.release())

  const wallMs = (): number => systemClock.wallMs()
  const { recoveryKeyPath } = options
  const { authority, notices } = await foundCluster({
    dataDir,
    name,
    wallMs,
    ...(recoveryKeyPath !== undefined && { recoveryKeyPath }),
  })
  for (const notice of notices) {
    log.warn(notice)
    options.onNotice?.(notice)
  }
  const where = { host: bind?.host ?? host, port: bind?.port ?? port }
  const endpoint = await createEndpoint({
    bind: where,
    identity: authority.identity(),
    admission: 'by-application', // by the manager's gate
    ...recordsInto(options.records, log),
  }).catch((error) => {
    throw listenError(error, where)
  })
  const { replicas, timing, limits } = config
  const manager = await startManager({
    endpoint,
    catalog: openCatalog(join(folder, 'catalog.sqlite')),
    authority,
    where: { host, port },
    clock: systemClock,
    random: systemRandom,
    log,
    collectGarbage: garbageCollector(),
    ...(replicas !== undefined && { replicas }),
    ...(timing && { timing }),
    ...(limits?.reserveBytes !== undefined && { reserveBytes: limits.reserveBytes }),
  })
  ends.defer(() => manager.stop())
  log.info('the manager serves', { clusterId: manager.clusterId, epoch: manager.meta.epoch })
  options.onReady?.({ name, host, port })
  if (signal.aborted) return
  await new Promise<void>((stop) => signal.addEventListener('abort', () => stop(), { once: true }))
}

function listenError(error: unknown, where: { host: string; port: number }): unknown {
  const { cause } = error as { cause?: { code?: string } }
  if (cause?.code !== 'EADDRINUSE') return error
  const detail = `port ${where.port} on ${where.host} is in use: stop the other program or change manager.port in the config`
  return new HoldfastError('PORT_IN_USE', detail, { cause: error })
}
