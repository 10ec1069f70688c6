// src/identity/found.ts — how does a cluster begin, go on after a restart, and come back when lost?
//
// DATA/manager/: manager.key (transport), cluster.key (signing), cluster.json (what they are for; once
// it is there the cluster has begun). DATA/cluster/cluster.json: for the nodes of this data folder.
// DATA/recovery.key: made once, for a person to take away.
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { Authority } from './authority.ts'
import { type ClusterFile, readClusterFile, writeClusterFile } from './cluster-file.ts'
import { ClusterKeys } from './cluster-keys.ts'
import { encodeChain, signDirectory } from './directory.ts'
import { type KeyPair, loadKeyPair, loadOrCreateKeyPair, replaceKeyPair } from './key-pair.ts'
import { makeFolder } from './make-folder.ts'
import { readPrivate } from './private-file.ts'
import {
  formatRecoveryKey,
  newRecoveryKey,
  type RecoveryKey,
  readRecoveryKey,
  recoverySigner,
  successorKeys,
} from './recovery.ts'
import { Trust } from './trust.ts'
import { createWhole, replaceWhole } from './whole-file.ts'

export interface FoundOptions {
  readonly dataDir: string
  readonly name: string
  readonly wallMs: () => number
  /** Makes a successor of the manager that the file is for. */
  readonly recoveryKeyPath?: string
}

export interface Founded {
  readonly authority: Authority
  /** What the operator must know, once. */
  readonly notices: readonly string[]
}

/** The authority of the manager in this data folder: made at its first start. BAD_FILE: what is
 * there does not fit together. WRONG_CLUSTER: the recovery key is another cluster's. */
export async function foundCluster(options: FoundOptions): Promise<Founded> {
  const { dataDir } = options
  for (const folder of ['manager', 'cluster']) {
    makeFolder(join(dataDir, folder), 0o700)
  }
  const paths = pathsIn(dataDir)
  const own = await readClusterFile(paths.own)
  const shared = await readClusterFile(paths.shared)
  if (options.recoveryKeyPath) {
    return recover(options, paths, { own, shared, file: options.recoveryKeyPath })
  }
  if (own) return { authority: await goOn(options, paths, { own, shared }), notices: [] }
  return begin(options, paths, shared)
}

const pathsIn = (dataDir: string) => ({
  own: join(dataDir, 'manager', 'cluster.json'),
  shared: join(dataDir, 'cluster', 'cluster.json'),
  managerKey: join(dataDir, 'manager', 'manager.key'),
  clusterKey: join(dataDir, 'manager', 'cluster.key'),
  recovery: join(dataDir, 'recovery.key'),
})

type Paths = ReturnType<typeof pathsIn>

async function begin(
  options: FoundOptions,
  paths: Paths,
  shared: ClusterFile | null,
): Promise<Founded> {
  const hasKeys = await isThere(paths.clusterKey)
  const hasRecovery = await isThere(paths.recovery)
  if (shared || (hasRecovery && !hasKeys)) throw managerIsLost(paths, shared)
  // With keys but no cluster.json a first start was cut off: go on with its recovery key.
  const recovery = hasRecovery
    ? await readRecoveryKey(paths.recovery)
    : newRecoveryKey(randomBytes(16).toString('hex'))
  const keyPair = await loadOrCreateKeyPair(paths.managerKey)
  const keys = await ClusterKeys.create(keepIn(paths.clusterKey))
  await createWhole(paths.recovery, formatRecoveryKey(recovery), 0o600)
  const trust = root({ recovery, generation: 0, keyPair, keys, sequence: options.wallMs() })
  const authority = await open(options, paths, { trust, shared: null, keyPair, keys })
  return { authority, notices: [keepElsewhere(paths.recovery)] }
}

async function recover(
  options: FoundOptions,
  paths: Paths,
  found: { own: ClusterFile | null; shared: ClusterFile | null; file: string },
): Promise<Founded> {
  if (found.own) {
    const detail = `${paths.own} is there, so the manager's folder is not lost`
    throw new HoldfastError('BAD_USAGE', `${detail}; start it without --recovery-key`)
  }
  const recovery = await readRecoveryKey(found.file)
  const { clusterId } = recovery
  const before = found.shared?.trust.directory
  if (before && before.clusterId !== clusterId) {
    const detail = `${found.file} is for cluster ${clusterId}, ${options.dataDir} holds cluster `
    throw new HoldfastError('WRONG_CLUSTER', `${detail}${before.clusterId}; give the right --data`)
  }
  const keyPair = successorKeys(recovery)
  await replaceKeyPair(paths.managerKey, keyPair)
  const keys = await ClusterKeys.create(keepIn(paths.clusterKey))
  const next = { ...recovery, successor: recovery.successor + 1 }
  // Later than whatever the lost manager said last, even when this clock is behind.
  const lastMs = Math.max(found.shared?.trust.version ?? 0, before?.generation ?? 0)
  const generation = Math.max(Math.floor(options.wallMs()), lastMs + 1)
  const trust = root({ recovery: next, generation, keyPair, keys, sequence: generation })
  // Who could read the old join secret shall not be let in by the new manager.
  const authority = await open(options, paths, { trust, shared: null, keyPair, keys })
  await replaceWhole(paths.recovery, formatRecoveryKey(next), 0o600)
  const told = `this manager has taken over cluster ${clusterId}; its nodes will follow it`
  return { authority, notices: [told, keepElsewhere(paths.recovery)] }
}

async function goOn(
  options: FoundOptions,
  paths: Paths,
  { own, shared }: { own: ClusterFile; shared: ClusterFile | null },
): Promise<Authority> {
  const { trust } = own
  const { managerKey, signingKeys } = trust.directory
  if (shared && shared.trust.clusterId !== trust.clusterId) {
    const detail = `${paths.shared} is of cluster ${shared.trust.clusterId}, ${paths.own} of `
    throw new HoldfastError('BAD_FILE', `${detail}${trust.clusterId}; restore the right one`)
  }
  const keyPair = await loadKeyPair(paths.managerKey)
  if (!keyPair || Buffer.from(keyPair.publicKey).toString('hex') !== managerKey) {
    const detail = `${paths.managerKey} is not the key that ${paths.own} names`
    throw new HoldfastError('BAD_FILE', `${detail}; restore the manager's folder from a copy`)
  }
  const keys = await readKeys(paths.clusterKey)
  await keys.keep(signingKeys)
  return open(options, paths, { trust, shared, keyPair, keys })
}

async function readKeys(path: string): Promise<ClusterKeys> {
  const text = await readPrivate(path)
  const keys = ClusterKeys.parse(text ?? '', keepIn(path))
  if (keys) return keys
  const problem = text === null ? 'is not there' : 'is damaged'
  const detail = `${path} ${problem}; restore the manager's folder from a copy`
  throw new HoldfastError('BAD_FILE', detail)
}

const keepIn =
  (path: string) =>
  (text: string): Promise<void> =>
    replaceWhole(path, text, 0o600)

async function open(
  { name, wallMs }: FoundOptions,
  paths: Paths,
  parts: { trust: Trust; shared: ClusterFile | null; keyPair: KeyPair; keys: ClusterKeys },
): Promise<Authority> {
  const { trust, shared, keyPair, keys } = parts
  const joinSecret = shared?.joinSecret ?? randomBytes(32).toString('hex')
  const file = { trust, joinSecret, manager: null }
  const save = async (): Promise<void> => {
    await writeClusterFile(paths.own, { ...file, joinSecret: null })
    await writeClusterFile(paths.shared, file)
  }
  await save()
  return new Authority({ keyPair, keys, trust, joinSecret, save, name, wallMs })
}

function root(parts: {
  /** Of which `successor` is the next one. */
  recovery: RecoveryKey
  generation: number
  sequence: number
  keyPair: KeyPair
  keys: ClusterKeys
}): Trust {
  const { recovery, generation, keyPair, keys } = parts
  const key = recoverySigner(recovery)
  const directory = {
    clusterId: recovery.clusterId,
    generation,
    sequence: Math.floor(parts.sequence),
    managerKey: Buffer.from(keyPair.publicKey).toString('hex'),
    successorKey: Buffer.from(successorKeys(recovery).publicKey).toString('hex'),
    recoveryKey: key.publicKey,
    signingKeys: keys.publicKeys,
    signer: 'recovery' as const,
  }
  return Trust.from(encodeChain([signDirectory(directory, key)]))
}

function managerIsLost(paths: Paths, shared: ClusterFile | null): HoldfastError {
  const which = shared ? `cluster ${shared.trust.clusterId}` : 'a cluster'
  return new HoldfastError(
    'BAD_FILE',
    `this data folder belongs to ${which}, but the manager's own folder is gone: restore it from ` +
      'a copy, or make a successor with `holdfast manager --recovery-key FILE` ' +
      `(to begin another cluster, use another --data folder)${shared ? '' : `; ${paths.recovery}`}`,
  )
}

const keepElsewhere = (path: string): string =>
  `made the recovery key ${path}: move it to a safe place on another medium, and remove it here; ` +
  'without it nobody can replace a manager whose machine is lost'

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
