// src/chunk/entry.ts — what does the tree keep of a file, a folder, a link?
//
// A CBOR map with small keys, ascending; absent where it does not apply:
//   0 name   1 type   2 mode   3 uid   4 gid   5 user   6 group   7 mtime ns   8 ctime ns   9 inode
//   10 size   11 symlink target   12 hardlink [device, inode, links]   13 device [major, minor]
//   14 holes [[offset, length], …]   15 chunks [[id, length], …]   16 chunk list   17 subtree
//   18 xattrs [[name, value], …]
import type { CborReader, CborWriter } from './cbor.ts'
import { CHUNKS_INLINE_MAX, type ChunkRef } from './chunk-list.ts'
import { PLAINTEXT_BYTES_MAX } from './seal.ts'

export const ENTRY_TYPES = [
  'file',
  'dir',
  'symlink',
  'fifo',
  'socket',
  'chardev',
  'blockdev',
] as const
export type EntryType = (typeof ENTRY_TYPES)[number]

export interface TreeEntry {
  /** Any bytes but NUL and `/`; never empty, `.` or `..`. */
  readonly name: Uint8Array
  readonly type: EntryType
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Names of owner and group where they are known; bytes. */
  readonly user: Uint8Array
  readonly group: Uint8Array
  /** Since 1970 UTC; may be before. */
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly inode: bigint
  /** Of a file, holes included. */
  readonly size: number
  readonly target: Uint8Array | null
  /** Where the inode has several names. */
  readonly hardlink: {
    readonly device: bigint
    readonly inode: bigint
    readonly links: number
  } | null
  readonly device: { readonly major: number; readonly minor: number } | null
  /** In order, without overlap; the chunks hold what is between them. */
  readonly holes: readonly { readonly offset: number; readonly length: number }[]
  /** A file's chunks where they are few; else `list` names their list. */
  readonly chunks: readonly ChunkRef[]
  readonly list: string | null
  /** The root node of a folder. */
  readonly subtree: string | null
  readonly xattrs: readonly { readonly name: Uint8Array; readonly value: Uint8Array }[]
}

const NAME_BYTES_MAX = 4096
const TARGET_BYTES_MAX = 65_536
const OWNER_BYTES_MAX = 256
const UINT32_MAX = 2 ** 32 - 1
export const HOLES_MAX = 16_384
const XATTRS_MAX = 256
const XATTR_BYTES_MAX = 65_536
const ID_BYTES = 32
const SLASH = 0x2f
const DOT = 0x2e

/** A name that may become part of a path: what else comes from a tree never reaches the disk. */
export function isHarmlessName(name: Uint8Array): boolean {
  if (name.length === 0 || name.length > NAME_BYTES_MAX) return false
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) return false
  return !name.includes(SLASH) && !name.includes(0)
}

/** The chunks that the entry refers to. */
export function edgesOf(entry: TreeEntry): string[] {
  const edges = entry.chunks.map((chunk) => chunk.id)
  if (entry.list !== null) edges.push(entry.list)
  if (entry.subtree !== null) edges.push(entry.subtree)
  return edges
}

/** Throws RangeError when a reader would refuse the entry. */
export function writeEntry(writer: CborWriter, entry: TreeEntry): void {
  if (!isHarmlessName(entry.name)) throw new RangeError('a name that no folder can hold')
  if (entry.holes.length > HOLES_MAX) throw new RangeError(`more than ${HOLES_MAX} holes`)
  const fields: [number, () => void][] = [
    [0, () => writer.bytes(entry.name)],
    [1, () => writer.int(ENTRY_TYPES.indexOf(entry.type))],
    [2, () => writer.int(entry.mode)],
    [3, () => writer.int(entry.uid)],
    [4, () => writer.int(entry.gid)],
    [5, () => writer.bytes(entry.user)],
    [6, () => writer.bytes(entry.group)],
    [7, () => writer.int(entry.mtimeNs)],
    [8, () => writer.int(entry.ctimeNs)],
    [9, () => writer.int(entry.inode)],
    [10, () => writer.int(entry.size)],
  ]
  const { target, hardlink, device, holes, chunks, list, subtree, xattrs } = entry
  if (target !== null) fields.push([11, () => writer.bytes(target)])
  if (hardlink !== null) {
    fields.push([12, () => writeInts(writer, [hardlink.device, hardlink.inode, hardlink.links])])
  }
  if (device !== null) fields.push([13, () => writeInts(writer, [device.major, device.minor])])
  if (holes.length > 0) {
    fields.push([
      14,
      () => {
        writer.array(holes.length)
        for (const { offset, length } of holes) writeInts(writer, [offset, length])
      },
    ])
  }
  if (chunks.length > 0) {
    fields.push([
      15,
      () => {
        writer.array(chunks.length)
        for (const { id, length } of chunks) {
          writer.array(2)
          writer.hex(id)
          writer.int(length)
        }
      },
    ])
  }
  if (list !== null) fields.push([16, () => writer.hex(list)])
  if (subtree !== null) fields.push([17, () => writer.hex(subtree)])
  if (xattrs.length > 0) {
    fields.push([
      18,
      () => {
        writer.array(xattrs.length)
        for (const { name, value } of xattrs) {
          writer.array(2)
          writer.bytes(name)
          writer.bytes(value)
        }
      },
    ])
  }
  writer.map(fields.length)
  for (const [key, write] of fields) {
    writer.int(key)
    write()
  }
}

function writeInts(writer: CborWriter, values: readonly (number | bigint)[]): void {
  writer.array(values.length)
  for (const value of values) writer.int(value)
}

/** Everything is checked: CORRUPT for whatever a writer would not write. */
export function readEntry(reader: CborReader): TreeEntry {
  const count = reader.map(11, 19, 'entry')
  let left = count
  let nextKey = left > 0 ? reader.uint(18, 'key') : -1
  const take = (key: number): boolean => {
    if (nextKey !== key) return false
    left -= 1
    return true
  }
  const next = (): void => {
    if (left === 0) {
      nextKey = -1
      return
    }
    const key = reader.uint(18, 'key')
    if (key <= nextKey) reader.fail('keys are not in order')
    nextKey = key
  }
  const must = <T>(key: number, read: () => T): T => {
    if (!take(key)) reader.fail(`field ${key} is missing`)
    const value = read()
    next()
    return value
  }
  const may = <T>(key: number, read: () => T, otherwise: T): T => {
    if (!take(key)) return otherwise
    const value = read()
    next()
    return value
  }
  const entry: TreeEntry = {
    name: must(0, () => reader.bytes(1, NAME_BYTES_MAX, 'name')),
    type: ENTRY_TYPES[must(1, () => reader.uint(ENTRY_TYPES.length - 1, 'type'))] as EntryType,
    mode: must(2, () => reader.uint(0o7777, 'mode')),
    uid: must(3, () => reader.uint(UINT32_MAX, 'uid')),
    gid: must(4, () => reader.uint(UINT32_MAX, 'gid')),
    user: must(5, () => reader.bytes(0, OWNER_BYTES_MAX, 'user')),
    group: must(6, () => reader.bytes(0, OWNER_BYTES_MAX, 'group')),
    mtimeNs: must(7, () => reader.int64('mtime')),
    ctimeNs: must(8, () => reader.int64('ctime')),
    inode: must(9, () => reader.uint64('inode')),
    size: must(10, () => reader.uint(Number.MAX_SAFE_INTEGER, 'size')),
    target: may(11, () => reader.bytes(0, TARGET_BYTES_MAX, 'target'), null),
    hardlink: may(12, () => readHardlink(reader), null),
    device: may(13, () => readDevice(reader), null),
    holes: may(14, () => readHoles(reader), []),
    chunks: may(15, () => readChunks(reader), []),
    list: may(16, () => reader.hex(ID_BYTES, 'chunk list'), null),
    subtree: may(17, () => reader.hex(ID_BYTES, 'subtree'), null),
    xattrs: may(18, () => readXattrs(reader), []),
  }
  if (left !== 0) reader.fail('an unknown field')
  checkEntry(reader, entry)
  return entry
}

/** What the fields must be together. */
function checkEntry(reader: CborReader, entry: TreeEntry): void {
  if (!isHarmlessName(entry.name)) reader.fail('a name that no folder may hold')
  if ((entry.type === 'dir') !== (entry.subtree !== null)) reader.fail('subtree and type disagree')
  if ((entry.type === 'symlink') !== (entry.target !== null))
    reader.fail('target and type disagree')
  if (entry.target?.includes(0)) reader.fail('a target with NUL')
  const { chunks, list, holes } = entry
  if (entry.type !== 'file' && (chunks.length > 0 || list !== null || holes.length > 0)) {
    reader.fail('content of something that is no file')
  }
  if (chunks.length > 0 && list !== null) reader.fail('chunks and a list')
  const holeBytes = holes.reduce((sum, hole) => sum + hole.length, 0)
  const last = holes.at(-1)
  if (last && last.offset + last.length > entry.size) reader.fail('a hole behind the end')
  if (list === null && entry.type === 'file') {
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, holeBytes)
    if (bytes !== entry.size) reader.fail('chunks and holes do not make up the size')
  }
}

function readHardlink(reader: CborReader): NonNullable<TreeEntry['hardlink']> {
  reader.array(3, 3, 'hardlink')
  const device = reader.uint64('device')
  const inode = reader.uint64('inode')
  return { device, inode, links: reader.uint(UINT32_MAX, 'links') }
}

function readDevice(reader: CborReader): NonNullable<TreeEntry['device']> {
  reader.array(2, 2, 'device')
  const major = reader.uint(UINT32_MAX, 'major')
  return { major, minor: reader.uint(UINT32_MAX, 'minor') }
}

function readHoles(reader: CborReader): { offset: number; length: number }[] {
  const count = reader.array(1, HOLES_MAX, 'holes')
  let end = 0
  return Array.from({ length: count }, () => {
    reader.array(2, 2, 'hole')
    const offset = reader.uint(Number.MAX_SAFE_INTEGER, 'offset')
    const length = reader.uint(Number.MAX_SAFE_INTEGER - offset, 'length')
    if (offset < end || length === 0) reader.fail('holes are not in order')
    end = offset + length
    return { offset, length }
  })
}

function readChunks(reader: CborReader): ChunkRef[] {
  const count = reader.array(1, CHUNKS_INLINE_MAX, 'chunks')
  return Array.from({ length: count }, () => {
    reader.array(2, 2, 'chunk')
    const id = reader.hex(ID_BYTES, 'chunk id')
    return { id, length: reader.uint(PLAINTEXT_BYTES_MAX, 'chunk length') }
  })
}

function readXattrs(reader: CborReader): { name: Uint8Array; value: Uint8Array }[] {
  const count = reader.array(1, XATTRS_MAX, 'xattrs')
  return Array.from({ length: count }, () => {
    reader.array(2, 2, 'xattr')
    const name = reader.bytes(1, 255, 'xattr name')
    return { name, value: reader.bytes(0, XATTR_BYTES_MAX, 'xattr value') }
  })
}
