// src/identity/enrolment.ts — how does a node become part of a cluster?
//
// On one machine the data folder is enough: the manager writes DATA/cluster/cluster.json at its
// first start, and a node that can read it enrols itself. The node keeps a copy in its own folder,
// so that it knows its cluster, and its manager's key, ever after.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { encodeCertificate, type Role } from './certificate.ts'
import { type KeyPair, loadOrCreateKeyPair } from './key-pair.ts'
import { makeFolder } from './make-folder.ts'
import { createWhole } from './whole-file.ts'

export interface Cluster {
  readonly clusterId: string
  /** The manager's X25519 public key. */
  readonly managerKey: Uint8Array
}

/** Fits the transport's LocalIdentity. */
export interface NodeIdentity extends KeyPair {
  readonly certificate: Uint8Array
}

interface ClusterFile {
  readonly clusterId: string
  readonly managerKey: string
  readonly joinSecret: string
}

const HOUR_MS = 3_600_000
const LIFE_MS = { server: 24 * HOUR_MS, client: 24 * HOUR_MS } as const
const WAIT_MS_DEFAULT = 10_000
const POLL_MS = 200
/** A node that starts just before its clock is set back must not be refused. */
const BACKDATE_MS = HOUR_MS

/** The manager's own identity and cluster; made at its first start. */
export async function createCluster(options: {
  dataDir: string
  name: string
  wallMs: () => number
}): Promise<{ identity: NodeIdentity; cluster: Cluster }> {
  const folder = join(options.dataDir, 'manager')
  makeFolder(folder, 0o700)
  makeFolder(join(options.dataDir, 'cluster'), 0o700)
  const keys = await loadOrCreateKeyPair(join(folder, 'manager.key'))
  const path = clusterPath(options.dataDir)
  const managerKey = Buffer.from(keys.publicKey).toString('hex')
  const fresh = {
    version: 1,
    clusterId: randomBytes(16).toString('hex'),
    managerKey,
    joinSecret: randomBytes(32).toString('hex'),
  }
  await createWhole(path, `${JSON.stringify(fresh, null, 2)}\n`, 0o600)
  const file = await readClusterFile(path)
  if (file?.managerKey !== managerKey) {
    const detail = `${path} names another manager's key than ${folder}; restore the folder that belongs to it`
    throw new HoldfastError('BAD_FILE', detail)
  }
  const who = { roles: ['manager'] as const, name: options.name, number: 0 }
  const cluster = clusterOf(file)
  return { identity: identityOf(keys, cluster, who, options.wallMs()), cluster }
}

export interface EnrolOptions {
  readonly dataDir: string
  /** The node's own folder; made when absent. */
  readonly folder: string
  readonly roles: readonly Role[]
  readonly name: string
  readonly number: number
  readonly wallMs: () => number
  /** How long to wait for the manager's folder at the very first start. Default 10 s. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
}

/** NOT_ENROLLED: no manager has been here. BAD_FILE: the folder belongs to another cluster. */
export async function enrol(
  options: EnrolOptions,
): Promise<{ identity: NodeIdentity; cluster: Cluster }> {
  const { dataDir, folder, roles, name, number } = options
  const pinnedPath = join(folder, 'cluster.json')
  const pinned = await readClusterFile(pinnedPath)
  const current = pinned ? await readClusterFile(clusterPath(dataDir)) : await awaitCluster(options)
  const file = pinned ?? current
  if (!file) throw notEnrolled(dataDir)
  if (pinned && current && pinned.clusterId !== current.clusterId) {
    const detail =
      `${folder} belongs to cluster ${pinned.clusterId}, but ${dataDir} has cluster ` +
      `${current.clusterId}; use the data folder that belongs to it`
    throw new HoldfastError('BAD_FILE', detail)
  }
  makeFolder(folder, 0o700)
  if (!pinned) await createWhole(pinnedPath, `${JSON.stringify(file, null, 2)}\n`, 0o600)
  const kind = roles.includes('server') ? 'server' : 'client'
  const keys = await loadOrCreateKeyPair(join(folder, `${kind}.key`))
  const cluster = clusterOf(file)
  const identity = identityOf(keys, cluster, { roles, name, number }, options.wallMs())
  return { identity, cluster }
}

/** A certificate from now on. Made by the node itself until the manager signs. */
function identityOf(
  keys: KeyPair,
  cluster: Cluster,
  who: { roles: readonly Role[]; name: string; number: number },
  nowMs: number,
): NodeIdentity {
  const lifeMs = who.roles.includes('server') ? LIFE_MS.server : LIFE_MS.client
  const certificate = encodeCertificate({
    version: 1,
    clusterId: cluster.clusterId,
    publicKey: Buffer.from(keys.publicKey).toString('hex'),
    ...who,
    notBeforeMs: Math.max(0, Math.floor(nowMs - BACKDATE_MS)),
    notAfterMs: Math.floor(nowMs + lifeMs),
    serial: randomBytes(16).toString('hex'),
  })
  return { ...keys, certificate }
}

async function awaitCluster(options: EnrolOptions): Promise<ClusterFile | null> {
  const path = clusterPath(options.dataDir)
  const endMs = performance.now() + (options.waitMs ?? WAIT_MS_DEFAULT)
  for (;;) {
    const file = await readClusterFile(path)
    if (file) return file
    options.signal?.throwIfAborted()
    if (performance.now() >= endMs) return null
    await new Promise((wake) => setTimeout(wake, POLL_MS))
  }
}

async function readClusterFile(path: string): Promise<ClusterFile | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw new HoldfastError('BAD_FILE', `${path} cannot be read: ${String(error)}`, {
      cause: error,
    })
  }
  const bad = (): never => {
    throw new HoldfastError('BAD_FILE', `${path} is damaged; restore it from a copy`)
  }
  try {
    const { version, clusterId, managerKey, joinSecret } = JSON.parse(text) as Record<
      string,
      unknown
    >
    const isHex = (value: unknown, digits: number): value is string =>
      typeof value === 'string' && value.length === digits && /^[0-9a-f]*$/.test(value)
    if (
      version !== 1 ||
      !isHex(clusterId, 32) ||
      !isHex(managerKey, 64) ||
      !isHex(joinSecret, 64)
    ) {
      return bad()
    }
    return { clusterId, managerKey, joinSecret, version } as ClusterFile
  } catch {
    return bad()
  }
}

const clusterPath = (dataDir: string): string => join(dataDir, 'cluster', 'cluster.json')

const clusterOf = (file: ClusterFile): Cluster => ({
  clusterId: file.clusterId,
  managerKey: Uint8Array.from(Buffer.from(file.managerKey, 'hex')),
})

const notEnrolled = (dataDir: string): HoldfastError =>
  new HoldfastError(
    'NOT_ENROLLED',
    `no manager has started with the data folder ${dataDir} yet; start it with ` +
      '`holdfast manager` (or `holdfast up`), or give the right folder with --data',
  )
