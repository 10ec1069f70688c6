// src/identity/cluster-file.ts — how do files say which cluster this is, and who speaks for it?
//
// JSON, mode 0600. DATA/cluster/cluster.json (written by the manager) also has the join secret: who can
// read it may enrol. The others, one in each node's folder, are what that node has accepted.
import { HoldfastError } from '../errors.ts'
import { readPrivate } from './private-file.ts'
import { Trust } from './trust.ts'
import { replaceWhole } from './whole-file.ts'

export interface ClusterFile {
  readonly trust: Trust
  /** 64 hex digits; null in a node's own folder. */
  readonly joinSecret: string | null
  /** Where the token said that the manager is; null without a token. */
  readonly manager: { readonly host: string; readonly port: number } | null
}

const VERSION = 1

/** Null when there is none. BAD_FILE: it is damaged, or others can read it. */
export async function readClusterFile(path: string): Promise<ClusterFile | null> {
  const text = await readPrivate(path)
  if (text === null) return null
  try {
    return parse(JSON.parse(text) as Record<string, unknown>)
  } catch (cause) {
    const detail = `${path} is damaged; restore it from a copy`
    throw new HoldfastError('BAD_FILE', detail, { cause })
  }
}

function parse(fields: Record<string, unknown>): ClusterFile {
  const {
    version,
    clusterId,
    directory,
    revocations,
    joinSecret = null,
    manager = null,
    before,
  } = fields
  if (version !== VERSION || typeof directory !== 'string') throw new Error('not ours')
  const trust = Trust.from(Buffer.from(directory, 'base64'))
  if (trust.clusterId !== clusterId) throw new Error('names another cluster than its directory')
  if (typeof revocations === 'string') {
    trust.learn({ ...trust.news, revocations: Buffer.from(revocations, 'base64') })
  }
  const { directory: chain, revocations: list } = (before ?? {}) as Record<string, unknown>
  if (typeof chain === 'string' && typeof list === 'string') {
    const [directory, revocations] = [chain, list].map((text) => Buffer.from(text, 'base64'))
    if (directory && revocations) trust.setBefore({ directory, revocations })
  }
  if (joinSecret !== null && !/^[0-9a-f]{64}$/.test(String(joinSecret))) throw new Error('secret')
  const { host, port } = (manager ?? {}) as { host?: unknown; port?: unknown }
  const where = typeof host === 'string' && typeof port === 'number' ? { host, port } : null
  return { trust, joinSecret: joinSecret as string | null, manager: where }
}

export async function writeClusterFile(path: string, file: ClusterFile): Promise<void> {
  const { directory, revocations } = file.trust.news
  const { before } = file.trust
  const fields = {
    version: VERSION,
    clusterId: file.trust.clusterId,
    managerKey: file.trust.directory.managerKey,
    directory: Buffer.from(directory).toString('base64'),
    revocations: Buffer.from(revocations).toString('base64'),
    ...(before && {
      before: {
        directory: Buffer.from(before.directory).toString('base64'),
        revocations: Buffer.from(before.revocations).toString('base64'),
      },
    }),
    ...(file.joinSecret !== null && { joinSecret: file.joinSecret }),
    ...(file.manager && { manager: file.manager }),
  }
  await replaceWhole(path, `${JSON.stringify(fields, null, 2)}\n`, 0o600)
}
