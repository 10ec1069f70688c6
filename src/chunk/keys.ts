// src/chunk/keys.ts — which keys and ids does a repository's master key give?
import { createHmac, hkdfSync } from 'node:crypto'
import { encodeCbor } from './cbor.ts'

/** Bytes of a repository's master key: 256 bits of randomness. */
export const MASTER_KEY_BYTES = 32

/** What follows from the master key. Ids are lower-case hex, keys are 32 bytes. */
export interface RepositoryKeys {
  /** Names the repository (16 bytes). Public. */
  readonly repositoryId: string
  /** Lets the manager tell the right key from a wrong one (32 bytes). Public, reveals no key. */
  readonly checkValue: string
  /** Chunk ids of file data. */
  readonly idKey: Uint8Array
  /** Chunk ids of tree nodes and snapshot records: a file that happens to hold the bytes of a node
   * must not pass for the node, which has edges where a file has none. */
  readonly nodeIdKey: Uint8Array
  /** Seals chunks. */
  readonly dataKey: Uint8Array
  /** Where files are cut. */
  readonly gearKey: Uint8Array
  /** Group and tag ids. */
  readonly groupKey: Uint8Array
}

/** HKDF-SHA-256 (RFC 5869), the labels as `info`, an empty salt: the master is uniform already. */
export function deriveKeys(master: Uint8Array): RepositoryKeys {
  if (master.length !== MASTER_KEY_BYTES) throw new RangeError('a master key is 32 bytes')
  const derive = (label: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', master, '', `holdfast/1/${label}`, bytes))
  return {
    repositoryId: derive('repository id', 16).toString('hex'),
    checkValue: derive('check value', 32).toString('hex'),
    idKey: derive('data id', 32),
    nodeIdKey: derive('node id', 32),
    dataKey: derive('seal', 32),
    gearKey: derive('gear', 32),
    groupKey: derive('group', 32),
  }
}

/** Which backups belong together for retention: same host, same set of paths. 16 bytes in hex. */
export function groupId(keys: RepositoryKeys, host: string, paths: readonly Uint8Array[]): string {
  const sorted = paths.toSorted(Buffer.compare)
  const distinct = sorted.filter((path, index) => index === 0 || !isSame(path, sorted[index - 1]!))
  return opaque(keys, ['group', host, distinct])
}

/** A tag that the manager can compare and not read. 16 bytes in hex. */
export const tagId = (keys: RepositoryKeys, tag: string): string => opaque(keys, ['tag', tag])

const isSame = (left: Uint8Array, right: Uint8Array): boolean => Buffer.compare(left, right) === 0

// CBOR keeps fields apart: ('a', 'bc') and ('ab', 'c') differ.
function opaque(keys: RepositoryKeys, value: (string | readonly Uint8Array[])[]): string {
  const digest = createHmac('sha256', keys.groupKey).update(encodeCbor(value)).digest()
  return digest.toString('hex', 0, 16)
}
