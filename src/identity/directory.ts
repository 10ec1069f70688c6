// src/identity/directory.ts — which keys does the cluster's manager have, and who vouches for that?
//
//   u8 version 1 | 16 B cluster id | u48 generation | u48 sequence | 32 B manager's X25519 key |
//   32 B successor's X25519 key | 32 B recovery key | u8 signer (0 cluster key, 1 recovery key) |
//   u8 number of signing keys, 1 or 2 | 32 B each | 64 B signature
//
// A node keeps the directory that it has accepted and follows a newer one of the same cluster: signed
// by a key that the old one lists (rotation), or of a later generation and signed by the recovery
// key (another manager has taken over). A chain is all directories of a generation, oldest first:
// the first is signed by the recovery key, so whoever knows that key can check the whole of it.
import { HoldfastError } from '../errors.ts'
import { PERF_PUBLIC_KEY } from '../perf-key.ts'
import { FieldReader, FieldWriter } from './byte-fields.ts'
import { isSealedBy, SIGNATURE_BYTES, type SigningKey } from './signing.ts'

export interface Directory {
  readonly clusterId: string
  /** 0, or when a recovered manager took over: milliseconds since 1970 UTC. */
  readonly generation: number
  /** Counts changes within a generation; never goes back. */
  readonly sequence: number
  /** X25519, as all keys here 64 hex digits. */
  readonly managerKey: string
  /** The key of the manager that the recovery key would make. */
  readonly successorKey: string
  /** Ed25519. */
  readonly recoveryKey: string
  /** Ed25519, oldest first. */
  readonly signingKeys: readonly string[]
  readonly signer: 'cluster' | 'recovery'
}

const VERSION = 1
const SIGNERS = ['cluster', 'recovery'] as const
const SIGNING_KEYS_MAX = 2
/** Two for each rotation. Keys are rotated by people: this is enough for decades. */
const CHAIN_LENGTH_MAX = 256

export function signDirectory(directory: Directory, key: SigningKey): Uint8Array {
  const body = new FieldWriter()
    .u8(VERSION)
    .hex(directory.clusterId)
    .u48(directory.generation)
    .u48(directory.sequence)
    .hex(directory.managerKey)
    .hex(directory.successorKey)
    .hex(directory.recoveryKey)
    .u8(SIGNERS.indexOf(directory.signer))
    .u8(directory.signingKeys.length)
    .hex(directory.signingKeys.join(''))
    .finish()
  return key.seal('directory', body)
}

/** Any bytes give a directory or null; signatures are not looked at. */
export function decodeDirectory(bytes: Uint8Array): Directory | null {
  const fields = new FieldReader(bytes)
  if (fields.u8() !== VERSION) return null
  const clusterId = fields.hex(16)
  const generation = fields.u48()
  const sequence = fields.u48()
  const managerKey = fields.hex(32)
  const successorKey = fields.hex(32)
  const recoveryKey = fields.hex(32)
  const signer = SIGNERS[fields.u8()]
  const count = fields.u8()
  if (!signer || count < 1 || count > SIGNING_KEYS_MAX) return null
  const signingKeys = Array.from({ length: count }, () => fields.hex(32))
  fields.raw(SIGNATURE_BYTES)
  if (!fields.isAtEnd) return null
  if (managerKey === PERF_PUBLIC_KEY || successorKey === PERF_PUBLIC_KEY) return null
  const keys = { managerKey, successorKey, recoveryKey, signingKeys }
  return { clusterId, generation, sequence, ...keys, signer }
}

export interface Chain {
  readonly bytes: Uint8Array
  readonly links: readonly { readonly sealed: Uint8Array; readonly directory: Directory }[]
  readonly newest: Directory
}

/** Any bytes give a chain of which every link holds, or null. With `recoveryKey`: null for any other
 * cluster's, before its signatures, which anybody can make many of, are looked at. */
export function decodeChain(bytes: Uint8Array, recoveryKey?: string): Chain | null {
  const fields = new FieldReader(bytes)
  const links: { sealed: Uint8Array; directory: Directory }[] = []
  while (!fields.isAtEnd) {
    const sealed = fields.raw(fields.u16())
    const directory = fields.failed ? null : decodeDirectory(sealed)
    if (!directory || links.length >= CHAIN_LENGTH_MAX) return null
    if (recoveryKey !== undefined && directory.recoveryKey !== recoveryKey) return null
    const before = links.at(-1)?.directory
    if (!(before ? follows(sealed, directory, before) : isRoot(sealed, directory))) return null
    links.push({ sealed, directory })
  }
  const newest = links.at(-1)?.directory
  return newest ? { bytes: Uint8Array.from(bytes), links, newest } : null
}

export const encodeChain = (links: readonly Uint8Array[]): Uint8Array =>
  links.reduce((writer, link) => writer.u16(link.length).raw(link), new FieldWriter()).finish()

const isRoot = (sealed: Uint8Array, directory: Directory): boolean =>
  directory.signer === 'recovery' && isSealedBy(directory.recoveryKey, 'directory', sealed)

/** Within one generation. */
function follows(sealed: Uint8Array, next: Directory, before: Directory): boolean {
  return (
    next.signer === 'cluster' &&
    next.clusterId === before.clusterId &&
    next.recoveryKey === before.recoveryKey &&
    next.generation === before.generation &&
    next.sequence > before.sequence &&
    before.signingKeys.some((key) => isSealedBy(key, 'directory', sealed))
  )
}

/** True: `next` replaces `known`. False: it is the same, or an older part of it. Throws
 * WRONG_CLUSTER when it is neither: whoever shows it is not the manager of this cluster. */
export function replaces(next: Chain, known: Chain): boolean {
  const [mine, theirs] = [known.newest, next.newest]
  const refuse = (detail: string): never => {
    throw new HoldfastError('WRONG_CLUSTER', detail)
  }
  if (theirs.clusterId !== mine.clusterId) {
    refuse(`that manager belongs to cluster ${theirs.clusterId}, this node to ${mine.clusterId}`)
  }
  if (theirs.recoveryKey !== mine.recoveryKey) {
    refuse(`that manager claims cluster ${mine.clusterId}, but its recovery key is another`)
  }
  if (theirs.generation > mine.generation) return true // decodeChain has seen the recovery key sign
  const has = (chain: Chain, link: Chain['links'][number] | undefined): boolean =>
    link !== undefined &&
    chain.links.some(({ sealed }) => Buffer.compare(sealed, link.sealed) === 0)
  if (has(known, next.links.at(-1))) return false
  if (has(next, known.links.at(-1))) return true
  return refuse(
    `that manager of cluster ${mine.clusterId} has been replaced by another, or its keys do not ` +
      'follow from those that this node knows; stop it, or restore its folder',
  )
}
