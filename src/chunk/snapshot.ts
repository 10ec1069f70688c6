// src/chunk/snapshot.ts — what does a snapshot say of itself?
//
//   {0: version 1, 1: root 32 B, 2: client name, 3: host, 4: [path bytes, …], 5: [tag, …], 6: time ms,
//    7: [files, folders, others, bytes], 8: parent 32 B (absent: none), 9: [exclude, …]}
import { HoldfastError } from '../errors.ts'
import { CborReader, CborWriter } from './cbor.ts'
import { PLAINTEXT_BYTES_MAX } from './seal.ts'

export interface SnapshotRecord {
  readonly version: 1
  /** Id of the root node of the tree. */
  readonly root: string
  readonly clientName: string
  readonly host: string
  /** Absolute, as asked for; bytes. */
  readonly paths: readonly Uint8Array[]
  readonly tags: readonly string[]
  /** When the backup began, milliseconds since 1970 UTC. */
  readonly timeMs: number
  readonly statistics: {
    readonly files: number
    readonly folders: number
    readonly others: number
    /** Sizes of all files. */
    readonly bytes: number
  }
  /** The snapshot that it was compared with. */
  readonly parent: string | null
  readonly excludes: readonly string[]
}

const VERSION = 1
const ID_BYTES = 32
const TEXT_MAX = 255
const PATHS_MAX = 4096
const PATH_BYTES_MAX = 65_536
const TAGS_MAX = 64
const EXCLUDES_MAX = 4096
const EXCLUDE_LENGTH_MAX = 4096
const TIME_MS_MAX = 8.64e15

/** Throws INVALID_REQUEST, naming the field, for a record that `decodeSnapshot` would refuse: too
 * many paths or tags, too long a text. What was written can be read. */
export function encodeSnapshot(record: SnapshotRecord): Uint8Array {
  const bytes = write(record)
  try {
    decodeSnapshot(bytes)
  } catch (cause) {
    const detail = cause instanceof HoldfastError ? cause.detail : String(cause)
    throw new HoldfastError('INVALID_REQUEST', `cannot be written: ${detail}`, { cause })
  }
  return bytes
}

function write(record: SnapshotRecord): Uint8Array {
  const writer = new CborWriter()
  writer.map(record.parent === null ? 9 : 10)
  writer.int(0)
  writer.int(VERSION)
  writer.int(1)
  writer.hex(record.root)
  writer.int(2)
  writer.text(record.clientName)
  writer.int(3)
  writer.text(record.host)
  writer.int(4)
  writer.array(record.paths.length)
  for (const path of record.paths) writer.bytes(path)
  writer.int(5)
  writer.array(record.tags.length)
  for (const tag of record.tags) writer.text(tag)
  writer.int(6)
  writer.int(Math.floor(record.timeMs))
  writer.int(7)
  const { files, folders, others, bytes } = record.statistics
  writer.array(4)
  for (const count of [files, folders, others, bytes]) writer.int(count)
  if (record.parent !== null) {
    writer.int(8)
    writer.hex(record.parent)
  }
  writer.int(9)
  writer.array(record.excludes.length)
  for (const exclude of record.excludes) writer.text(exclude)
  return writer.take()
}

/** Throws CORRUPT for whatever encodeSnapshot would not write. */
export function decodeSnapshot(plaintext: Uint8Array): SnapshotRecord {
  const reader = new CborReader(plaintext, 'snapshot record')
  if (plaintext.length > PLAINTEXT_BYTES_MAX) reader.fail('larger than a chunk')
  const fields = reader.map(9, 10, 'record')
  const key = (wanted: number): void => {
    if (reader.uint(9, 'key') !== wanted) reader.fail(`field ${wanted} is missing`)
  }
  key(0)
  if (reader.uint(2 ** 16, 'version') !== VERSION) {
    reader.fail('written by a newer holdfast; update this one')
  }
  key(1)
  const root = reader.hex(ID_BYTES, 'root')
  key(2)
  const clientName = reader.text(1, TEXT_MAX, 'client name')
  key(3)
  const host = reader.text(0, TEXT_MAX, 'host')
  key(4)
  const paths = list(reader, PATHS_MAX, 'paths', () => reader.bytes(1, PATH_BYTES_MAX, 'path'))
  key(5)
  const tags = list(reader, TAGS_MAX, 'tags', () => reader.text(1, TEXT_MAX, 'tag'))
  key(6)
  const timeMs = reader.uint(TIME_MS_MAX, 'time')
  key(7)
  reader.array(4, 4, 'statistics')
  const [files, folders, others, bytes] = ['files', 'folders', 'others', 'bytes'].map((name) =>
    reader.uint(Number.MAX_SAFE_INTEGER, name),
  ) as [number, number, number, number]
  let parent: string | null = null
  if (fields === 10) {
    key(8)
    parent = reader.hex(ID_BYTES, 'parent')
  }
  key(9)
  const excludes = list(reader, EXCLUDES_MAX, 'excludes', () =>
    reader.text(1, EXCLUDE_LENGTH_MAX, 'exclude'),
  )
  reader.end()
  const statistics = { files, folders, others, bytes }
  const named = { clientName, host, paths, tags, timeMs }
  return { version: VERSION, root, ...named, statistics, parent, excludes }
}

function list<T>(reader: CborReader, max: number, name: string, read: () => T): T[] {
  return Array.from({ length: reader.array(0, max, name) }, read)
}
