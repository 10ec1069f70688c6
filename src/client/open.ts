// src/client/open.ts — how does a program become a client of the cluster?
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import path from 'node:path'
import { HoldfastError } from '../errors.ts'
import { type Ask, enrol, type Member, SessionWatch } from '../identity/index.ts'
import {
  type CallOptions,
  call,
  createEndpoint,
  type Log,
  type PeerAddress,
  Peers,
  type Records,
  recordsInto,
  type Session,
  systemClock,
  type TransportEndpoint,
  visitor,
} from '../rpc/index.ts'
import { Client } from './client.ts'
import type { OnEvent } from './events.ts'
import type { ClientLimits, ClientTiming } from './limits.ts'
import { returnFreeMemory } from './os/native.ts'

export interface OpenClientOptions {
  /** Absolute. */
  readonly dataDir: string
  /** From 1; the client's own folder is client-N in the data folder. */
  readonly clientNumber: number
  readonly clientName: string
  /** Instead of client N: for what only an operator may do. Needs the manager's data folder. */
  readonly asOperator?: boolean
  /** For a machine that can't read the manager's data folder: `holdfast token` prints it. */
  readonly joinToken?: string | undefined
  readonly manager: { readonly host: string; readonly port: number }
  /** Default: any port; the loopback for a manager there, else all addresses. */
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

/** Revocations reach a client within this, and the time for an answer. */
const TEND_MS = 30_000
const ASK_MS = 5_000
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Enrols and opens a socket; nothing is sent before the first command. Locks nothing: several
 * commands of one client may run at once. Throws NOT_ENROLLED, BAD_FILE, BAD_CONFIG, WRONG_CLUSTER;
 * with a token also TOKEN_REFUSED, CLOCK_WRONG, UNREACHABLE. */
export async function openClient(options: OpenClientOptions): Promise<Client> {
  const { dataDir } = options
  const log = options.log ?? SILENT
  returnFreeMemory()
  const member = await becomeMember(options)
  const place = member.managerAt(options.manager)
  const host = await addressOf(place.host)
  const bind = options.bind ?? { host: anyAddressFor(host), port: 0 }
  const endpoint = await createEndpoint({
    bind,
    identity: member.identity,
    ...recordsInto(options.records, log),
  })
  const askManager: Ask = async (method, request) => {
    const result = await peers.call(manager, method, request, { deadlineMs: ASK_MS })
    result.discard()
    return result.response
  }
  const peers = peersOf(member, { endpoint, log, askManager })
  const manager = {
    host,
    port: place.port,
    // It may be replaced, and then has another key.
    get publicKey() {
      return Buffer.from(member.trust.directory.managerKey, 'hex')
    },
  }
  const tending = tend(member, askManager, log)
  return new Client({
    peers,
    manager,
    clock: systemClock,
    clientName: options.clientName,
    dataDir,
    ...(options.limits && { limits: options.limits }),
    timing: {
      ...options.timing,
      ...(options.managerWaitMs !== undefined && { managerWaitMs: options.managerWaitMs }),
    },
    onClose: async () => {
      tending.stop()
      await peers.close()
      await endpoint.close({ drainMs: 500 })
      await member.saved()
    },
  })
}

async function becomeMember(options: OpenClientOptions): Promise<Member> {
  const { dataDir, clientNumber, clientName, asOperator, joinToken, signal } = options
  const who = asOperator
    ? { kind: 'operator' as const, roles: ['operator' as const], name: 'operator', number: 0 }
    : {
        kind: 'client' as const,
        roles: ['backup' as const, 'restore' as const],
        name: clientName,
        number: clientNumber,
      }
  const bindHost = options.bind?.host ?? anyAddressFor(options.manager.host)
  return await enrol({
    ...who,
    dataDir,
    folder: path.join(dataDir, asOperator ? 'operator' : `client-${clientNumber}`),
    wallMs: () => systemClock.wallMs(),
    waitMs: options.enrolWaitMs,
    signal,
    join:
      joinToken === undefined
        ? undefined
        : { token: joinToken, withManager: visitor(bindHost, signal) },
  })
}

function peersOf(
  member: Member,
  parts: { endpoint: TransportEndpoint; log: Log; askManager: Ask },
): Peers {
  const { endpoint, log, askManager } = parts
  const watch = new SessionWatch(member.trust, log)
  const isManager = (to: PeerAddress): boolean =>
    Buffer.from(to.publicKey).toString('hex') === member.trust.directory.managerKey
  const peers = new Peers({
    endpoint,
    clock: systemClock,
    log,
    prepare: async (to) => {
      // A machine that slept for hours: the manager first, then the servers.
      if (!isManager(to) && !member.isCertified) await member.tend(askManager)
    },
    admit: async (session, to) => {
      if (isManager(to)) await member.admitManager(session, askOn(session))
      else await member.admitServer(session, askManager)
      watch.add(session)
    },
    successorOf: (to) =>
      isManager(to) ? Buffer.from(member.trust.directory.successorKey, 'hex') : null,
    strangerAt: (to) => (isManager(to) ? member.strangerAt(`${to.host}:${to.port}`) : null),
  })
  member.onIdentity((identity) => {
    endpoint.setIdentity(identity)
    peers.renew()
  })
  return peers
}

const askOn = (session: Session): Ask => {
  const options: CallOptions<never> & { clock: typeof systemClock } = {
    clock: systemClock,
    deadlineMs: ASK_MS,
    urgency: 0,
  }
  return async (method, request) => {
    const result = await call(session, method, request, options)
    result.discard()
    return result.response
  }
}

/** While it is open, the client hears of revoked servers and new keys, and stays certified. */
function tend(member: Member, askManager: Ask, log: Log): { stop: () => void } {
  let timer = systemClock.setTimer(fire, TEND_MS)
  function fire(): void {
    timer = systemClock.setTimer(fire, TEND_MS)
    const work = member.tend(askManager)
    work.catch((error: unknown) => log.warn('no news of the cluster', { error: String(error) }))
  }
  return { stop: () => timer.cancel() }
}

/** Node binds either family; the loopback stays on this machine. */
function anyAddressFor(host: string): string {
  if (host === 'localhost' || host === '::1' || host.startsWith('127.')) {
    return host === '::1' ? '::1' : '127.0.0.1'
  }
  return host.includes(':') ? '::' : '0.0.0.0'
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
