// src/client/open.ts — how does a program become a client of the cluster?
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import path from 'node:path'
import { HoldfastError } from '../errors.ts'
import { enrol } from '../identity/index.ts'
import {
  createEndpoint,
  type Log,
  Peers,
  type Records,
  recordsInto,
  systemClock,
} from '../rpc/index.ts'
import { Client } from './client.ts'
import type { OnEvent } from './events.ts'
import type { ClientLimits, ClientTiming } from './limits.ts'

export interface OpenClientOptions {
  /** Absolute. */
  readonly dataDir: string
  /** From 1; the client's own folder is client-N in the data folder. */
  readonly clientNumber: number
  readonly clientName: string
  readonly manager: { readonly host: string; readonly port: number }
  /** Default 127.0.0.1, any port. */
  readonly bind?: { readonly host: string; readonly port: number }
  /** How long to wait for the manager's folder at the very first start. Default 10 s. */
  readonly enrolWaitMs?: number
  /** How long a command waits for a manager that is away, restarting or in safe mode. */
  readonly managerWaitMs?: number
  readonly limits?: Partial<ClientLimits>
  readonly timing?: Partial<ClientTiming>
  readonly log?: Log
  readonly records?: Records
  readonly signal?: AbortSignal
  readonly onEvent?: OnEvent
}

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Enrols and opens a socket; nothing is sent before the first command. Locks nothing: several
 * commands of one client may run at once. Throws NOT_ENROLLED, BAD_FILE, PORT_IN_USE, BAD_CONFIG. */
export async function openClient(options: OpenClientOptions): Promise<Client> {
  const { dataDir, clientNumber, clientName, signal } = options
  const log = options.log ?? SILENT
  const { identity, cluster } = await enrol({
    dataDir,
    folder: path.join(dataDir, `client-${clientNumber}`),
    roles: ['backup', 'restore'],
    name: clientName,
    number: clientNumber,
    wallMs: () => systemClock.wallMs(),
    waitMs: options.enrolWaitMs ?? 10_000,
    ...(signal && { signal }),
  })
  const host = await addressOf(options.manager.host)
  const bind = options.bind ?? { host: '127.0.0.1', port: 0 }
  const endpoint = await createEndpoint({
    bind,
    identity,
    ...recordsInto(options.records, log),
  })
  const peers = new Peers({ endpoint, clock: systemClock, log })
  return new Client({
    peers,
    manager: { host, port: options.manager.port, publicKey: cluster.managerKey },
    clock: systemClock,
    clientName,
    dataDir,
    ...(options.limits && { limits: options.limits }),
    timing: {
      ...options.timing,
      ...(options.managerWaitMs !== undefined && { managerWaitMs: options.managerWaitMs }),
    },
    onClose: async () => {
      await peers.close()
      await endpoint.close({ drainMs: 500 })
    },
  })
}

async function addressOf(host: string): Promise<string> {
  if (isIP(host)) return host
  try {
    return (await lookup(host)).address
  } catch (cause) {
    const what = `the manager's host '${host}' cannot be found`
    throw new HoldfastError('BAD_CONFIG', `${what}; correct manager.host in the config`, { cause })
  }
}
