// src/identity/enrolment.ts — how does a node become part of a cluster?
//
// On one machine the data folder is enough: the manager writes DATA/cluster/cluster.json at its first
// start, and a node that can read the join secret in it enrols itself. Elsewhere a token does. Either
// way the node keeps in its own folder what it has accepted of the cluster (cluster.json), its key
// (KIND.key) and its certificate (KIND.cert).
import { join } from 'node:path'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { NodeIdentity } from './authority.ts'
import { decodeCertificate, type Role } from './certificate.ts'
import { type ClusterFile, readClusterFile, writeClusterFile } from './cluster-file.ts'
import { loadOrCreateKeyPair } from './key-pair.ts'
import { makeFolder } from './make-folder.ts'
import { type Ask, compareClocks, Member } from './member.ts'
import { readPrivate } from './private-file.ts'
import { decodeToken, HOW_TO_GET_A_TOKEN, type Token } from './token.ts'
import { type Peer, Trust } from './trust.ts'
import { replaceWhole } from './whole-file.ts'

export interface EnrolOptions {
  readonly dataDir: string
  /** The node's own folder; made when absent. */
  readonly folder: string
  readonly kind: 'server' | 'client' | 'operator'
  readonly roles: readonly Role[]
  readonly name: string
  readonly number: number
  readonly wallMs: () => number
  /** How long to wait for the manager's folder at the very first start. Default 10 s. */
  readonly waitMs?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly join?: Join | undefined
}

export interface Join {
  readonly token: string
  /** Dials the manager, lets `work` ask it, hangs up. */
  readonly withManager: (
    where: { host: string; port: number; publicKey: Uint8Array },
    identity: NodeIdentity,
    work: (peer: Peer, ask: Ask) => Promise<void>,
  ) => Promise<void>
}

const WAIT_MS_DEFAULT = 10_000
const POLL_MS = 200

/** The node as a member of its cluster; its certificate may be missing or have ended, until it has
 * reached the manager. With a token it has one. NOT_ENROLLED: no manager has been here, and there is
 * no token. WRONG_CLUSTER: the folder belongs to another cluster. BAD_FILE. With a token also
 * TOKEN_REFUSED, CLOCK_WRONG, UNREACHABLE. */
export async function enrol(options: EnrolOptions): Promise<Member> {
  const { dataDir, folder, kind } = options
  const paths = {
    pinned: join(folder, 'cluster.json'),
    certificate: join(folder, `${kind}.cert`),
    shared: sharedPath(dataDir),
  }
  const token = options.join ? decodeToken(options.join.token) : null
  const pinned = await readClusterFile(paths.pinned)
  const isAlone = pinned || token
  const shared = isAlone ? await readClusterFile(paths.shared) : await awaitCluster(options)
  const known = pinned ?? shared
  if (!known && !token) throw notEnrolled(dataDir)
  const isNews = pinned !== null && shared !== null && follow(pinned, shared, options)
  if (known && token) mustBeSame(known, token, options)
  makeFolder(folder, 0o700)
  const keys = await loadOrCreateKeyPair(join(folder, `${kind}.key`))
  let identity = { ...keys, certificate: await readCertificate(paths.certificate, keys.publicKey) }
  let file = known
  if (options.join && token && identity.certificate.length === 0) {
    const joined = await useToken(options, options.join, { token, identity, known })
    // In this order: with a certificate the token is not looked at again.
    await writeClusterFile(paths.pinned, { ...joined.file, joinSecret: null })
    await replaceWhole(paths.certificate, base64(joined.certificate), 0o600)
    identity = { ...identity, certificate: joined.certificate }
    file = joined.file
  }
  if (!file) throw notEnrolled(dataDir)
  const { trust, manager } = file
  const own = (changed: Trust): ClusterFile => ({ trust: changed, joinSecret: null, manager })
  if (!pinned || isNews) await writeClusterFile(paths.pinned, own(trust))
  const { roles, name, number, wallMs } = options
  return new Member(
    {
      identity,
      trust,
      roles,
      name,
      number,
      wallMs,
      canEnrol: shared?.joinSecret != null,
      readJoinSecret: async () => {
        const current = await readClusterFile(paths.shared)
        return current?.trust.clusterId === trust.clusterId ? current.joinSecret : null
      },
      saveCertificate: (bytes) => replaceWhole(paths.certificate, base64(bytes), 0o600),
      saveTrust: (changed) => writeClusterFile(paths.pinned, own(changed)),
    },
    manager,
  )
}

/** True when whoever runs this may enrol through the data folder, as an operator too. */
export async function canEnrolHere(dataDir: string): Promise<boolean> {
  return (await readClusterFile(sharedPath(dataDir)))?.joinSecret != null
}

async function useToken(
  { roles, name, number, wallMs }: EnrolOptions,
  { token: text, withManager }: Join,
  { token, identity, known }: { token: Token; identity: NodeIdentity; known: ClusterFile | null },
): Promise<{ certificate: Uint8Array; file: ClusterFile }> {
  const isForUs = token.number === number && token.roles.every((role) => fits(role, roles))
  if (!isForUs) {
    const what = token.roles.includes('server') ? 'server' : 'client'
    const detail = `the token is for ${what} ${token.number}`
    throw new HoldfastError('TOKEN_REFUSED', `${detail}; ${HOW_TO_GET_A_TOKEN}`)
  }
  const { host, port } = token
  const where = { host, port, publicKey: Buffer.from(token.managerKey, 'hex') }
  let joined: { certificate: Uint8Array; file: ClusterFile } | null = null
  let isThere = false
  const work: Parameters<Join['withManager']>[2] = async (peer, ask) => {
    isThere = true
    const news = await ask('cluster.directory', {})
    compareClocks(wallMs(), news.nowMs)
    const trust = trustByToken(news.directory, token)
    if (known) known.trust.learn(news)
    trust.learn(news)
    trust.certificate(peer, { nowMs: wallMs(), role: 'manager' })
    const proof = { kind: 'token' as const, token: text.trim() }
    const request = { roles: [...token.roles], name, number, proof }
    const { certificate: signed, ...latest } = await ask('node.enrol', request)
    const certificate = Uint8Array.from(signed)
    trust.learn(latest)
    const { publicKey } = identity
    trust.certificate({ publicKey, certificate }, { nowMs: wallMs() })
    joined = { certificate, file: { trust, joinSecret: null, manager: { host, port } } }
  }
  await withManager(where, identity, work).catch((error: unknown) => {
    throw isThere || !isHoldfastError(error, 'WRONG_CLUSTER') ? error : strangeManager(token, error)
  })
  if (!joined) throw new HoldfastError('INTERNAL', 'the manager was not asked')
  return joined
}

function strangeManager(token: Token, cause: unknown): HoldfastError {
  const { host, port, clusterId, managerKey } = token
  const who = `the manager of cluster ${clusterId} (key ${managerKey.slice(0, 8)})`
  const detail =
    `the manager at ${host}:${port} is not ${who}, which made the token: it may have been replaced ` +
    `since, or moved; ${HOW_TO_GET_A_TOKEN}`
  return new HoldfastError('WRONG_CLUSTER', detail, { cause })
}

/** A server's token is for a server; a client's for any of a client's roles. */
const fits = (role: Role, roles: readonly Role[]): boolean =>
  roles.includes('server') ? role === 'server' : role === 'backup' || role === 'restore'

/** The transport has proven that this comes from the manager that the token names. */
function trustByToken(directory: Uint8Array, token: Token): Trust {
  const detail = "the manager's keys are not those in the token"
  const trust = tryTrust(directory)
  const { clusterId, managerKey, signingKeys } = trust?.directory ?? {}
  if (clusterId !== undefined && clusterId !== token.clusterId) {
    throw new HoldfastError('WRONG_CLUSTER', `${detail}: it is of cluster ${clusterId}`)
  }
  if (!trust || managerKey !== token.managerKey || !signingKeys?.includes(token.signingKey)) {
    throw new HoldfastError('TOKEN_REFUSED', `${detail}; ${HOW_TO_GET_A_TOKEN}`)
  }
  return trust
}

function tryTrust(directory: Uint8Array): Trust | null {
  try {
    return Trust.from(directory)
  } catch {
    return null
  }
}

/** Learns what the manager has written into the data folder since. True when there was anything. */
function follow(pinned: ClusterFile, shared: ClusterFile, options: EnrolOptions): boolean {
  try {
    return pinned.trust.learn(shared.trust.news)
  } catch (error) {
    if (!isHoldfastError(error, 'WRONG_CLUSTER')) throw error
    const [own, other] = [pinned.trust.clusterId, shared.trust.clusterId]
    const detail =
      own === other
        ? error.detail
        : `${options.folder} belongs to cluster ${own}, but ${options.dataDir} has cluster ` +
          `${other}; use the data folder that belongs to it`
    throw new HoldfastError('WRONG_CLUSTER', detail, { cause: error })
  }
}

function mustBeSame(known: ClusterFile, token: Token, { folder }: EnrolOptions): void {
  if (known.trust.clusterId === token.clusterId) return
  const detail = `the token is for cluster ${token.clusterId}, but ${folder} belongs to cluster `
  const advice = 'use another --data folder, or a token of that cluster'
  throw new HoldfastError('WRONG_CLUSTER', `${detail}${known.trust.clusterId}; ${advice}`)
}

async function awaitCluster(options: EnrolOptions): Promise<ClusterFile | null> {
  const path = sharedPath(options.dataDir)
  const endMs = performance.now() + (options.waitMs ?? WAIT_MS_DEFAULT)
  for (;;) {
    const file = await readClusterFile(path)
    if (file) return file
    options.signal?.throwIfAborted()
    if (performance.now() >= endMs) return null
    await new Promise((wake) => setTimeout(wake, POLL_MS))
  }
}

/** Empty when there is none, or it is for another key: the next contact brings a new one. */
async function readCertificate(path: string, publicKey: Uint8Array): Promise<Uint8Array> {
  const text = await readPrivate(path)
  const bytes = Uint8Array.from(Buffer.from(text ?? '', 'base64'))
  const decoded = decodeCertificate(bytes)
  const isOurs = decoded.ok && Buffer.from(publicKey).equals(hex(decoded.certificate.publicKey))
  return isOurs ? bytes : new Uint8Array(0)
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex')
const base64 = (bytes: Uint8Array): string => `${Buffer.from(bytes).toString('base64')}\n`
const sharedPath = (dataDir: string): string => join(dataDir, 'cluster', 'cluster.json')

const notEnrolled = (dataDir: string): HoldfastError =>
  new HoldfastError(
    'NOT_ENROLLED',
    `no manager has started with the data folder ${dataDir} yet; start it with ` +
      '`holdfast manager` (or `holdfast up`), give the right folder with --data, or, when the ' +
      `manager is on another machine, ${HOW_TO_GET_A_TOKEN}`,
  )
