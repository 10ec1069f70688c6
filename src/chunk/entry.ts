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

// With these caps an entry is never larger than a node may be.
const NAME_BYTES_MAX = 4096
const TARGET_BYTES_MAX = 65_536
const OWNER_BYTES_MAX = 256
export const HOLES_MAX = 16_384
const XATTRS_MAX = 256
const XATTR_NAME_BYTES_MAX = 255
/** Names and values of all extended attributes of one entry. */
const XATTR_BYTES_MAX = 256 * 1024
const UINT32_MAX = 2 ** 32 - 1
const UINT64_MAX = 2n ** 64n - 1n
const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
/** Fields 0 to 10. */
const FIELDS_ALWAYS = 11
const FIELDS_MAX = 19
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

/** Throws RangeError, and writes nothing, when a reader would refuse the entry: what was written
 * can be read. */
export function writeEntry(writer: CborWriter, entry: TreeEntry): void {
  const problem = problemOf(entry)
  if (problem !== null) throw new RangeError(problem)
  const { target, hardlink, device, holes, chunks, list, subtree, xattrs } = entry
  let optionalFields = 0
  for (const value of [target, hardlink, device, list, subtree]) {
    if (value !== null) optionalFields += 1
  }
  for (const values of [holes, chunks, xattrs]) if (values.length > 0) optionalFields += 1
  writer.map(FIELDS_ALWAYS + optionalFields)
  writer.int(0)
  writer.bytes(entry.name)
  writer.int(1)
  writer.int(ENTRY_TYPES.indexOf(entry.type))
  writer.int(2)
  writer.int(entry.mode)
  writer.int(3)
  writer.int(entry.uid)
  writer.int(4)
  writer.int(entry.gid)
  writer.int(5)
  writer.bytes(entry.user)
  writer.int(6)
  writer.bytes(entry.group)
  writer.int(7)
  writer.int(entry.mtimeNs)
  writer.int(8)
  writer.int(entry.ctimeNs)
  writer.int(9)
  writer.int(entry.inode)
  writer.int(10)
  writer.int(entry.size)
  if (target !== null) {
    writer.int(11)
    writer.bytes(target)
  }
  if (hardlink !== null) {
    writer.int(12)
    writer.array(3)
    writer.int(hardlink.device)
    writer.int(hardlink.inode)
    writer.int(hardlink.links)
  }
  if (device !== null) {
    writer.int(13)
    writer.array(2)
    writer.int(device.major)
    writer.int(device.minor)
  }
  if (holes.length > 0) {
    writer.int(14)
    writer.array(holes.length)
    for (const { offset, length } of holes) {
      writer.array(2)
      writer.int(offset)
      writer.int(length)
    }
  }
  if (chunks.length > 0) {
    writer.int(15)
    writer.array(chunks.length)
    for (const { id, length } of chunks) {
      writer.array(2)
      writer.hex(id)
      writer.int(length)
    }
  }
  if (list !== null) {
    writer.int(16)
    writer.hex(list)
  }
  if (subtree !== null) {
    writer.int(17)
    writer.hex(subtree)
  }
  if (xattrs.length > 0) {
    writer.int(18)
    writer.array(xattrs.length)
    for (const { name, value } of xattrs) {
      writer.array(2)
      writer.bytes(name)
      writer.bytes(value)
    }
  }
}

/** Everything is checked: CORRUPT for whatever a writer would not write. */
export function readEntry(reader: CborReader): TreeEntry {
  const fields = new FieldReader(reader, reader.map(FIELDS_ALWAYS, FIELDS_MAX, 'entry'))
  fields.must(0)
  const name = reader.bytes(1, NAME_BYTES_MAX, 'name')
  fields.must(1)
  const type = ENTRY_TYPES[reader.uint(ENTRY_TYPES.length - 1, 'type')] as EntryType
  fields.must(2)
  const mode = reader.uint(0o7777, 'mode')
  fields.must(3)
  const uid = reader.uint(UINT32_MAX, 'uid')
  fields.must(4)
  const gid = reader.uint(UINT32_MAX, 'gid')
  fields.must(5)
  const user = reader.bytes(0, OWNER_BYTES_MAX, 'user')
  fields.must(6)
  const group = reader.bytes(0, OWNER_BYTES_MAX, 'group')
  fields.must(7)
  const mtimeNs = reader.int64('mtime')
  fields.must(8)
  const ctimeNs = reader.int64('ctime')
  fields.must(9)
  const inode = reader.uint64('inode')
  fields.must(10)
  const size = reader.uint(Number.MAX_SAFE_INTEGER, 'size')
  const entry: TreeEntry = {
    name,
    type,
    mode,
    uid,
    gid,
    user,
    group,
    mtimeNs,
    ctimeNs,
    inode,
    size,
    target: fields.may(11) ? reader.bytes(0, TARGET_BYTES_MAX, 'target') : null,
    hardlink: fields.may(12) ? readHardlink(reader) : null,
    device: fields.may(13) ? readDevice(reader) : null,
    holes: fields.may(14) ? readHoles(reader) : [],
    chunks: fields.may(15) ? readChunks(reader) : [],
    list: fields.may(16) ? reader.hex(ID_BYTES, 'chunk list') : null,
    subtree: fields.may(17) ? reader.hex(ID_BYTES, 'subtree') : null,
    xattrs: fields.may(18) ? readXattrs(reader) : [],
  }
  fields.end()
  const problem = problemOf(entry)
  if (problem !== null) reader.fail(problem)
  return entry
}

/** The keys of a map, ascending. */
class FieldReader {
  readonly #reader: CborReader
  #left: number
  /** Read already, and its value comes next; −1: not read. */
  #key = -1

  constructor(reader: CborReader, count: number) {
    this.#reader = reader
    this.#left = count
  }

  /** True when the value of that key comes next. */
  may(key: number): boolean {
    if (this.#left === 0) return false
    if (this.#key === -1) this.#key = this.#reader.uint(FIELDS_MAX - 1, 'key')
    if (this.#key !== key) return false
    this.#key = -1
    this.#left -= 1
    return true
  }

  must(key: number): void {
    if (!this.may(key)) this.#reader.fail(`field ${key} is missing`)
  }

  /** A key that is out of order, twice or unknown was never asked for, and is left. */
  end(): void {
    if (this.#left !== 0) this.#reader.fail('fields that are unknown or out of order')
  }
}

/** Why a reader would refuse the entry, or null. Readers and writers ask the same question. */
function problemOf(entry: TreeEntry): string | null {
  const { type, chunks, list, holes } = entry
  if (!isHarmlessName(entry.name)) return 'a name that no folder can hold'
  if (!ENTRY_TYPES.includes(type)) return 'an unknown type'
  if (!isUint(entry.mode, 0o7777)) return 'a mode that is none'
  if (!isUint(entry.uid, UINT32_MAX) || !isUint(entry.gid, UINT32_MAX)) return 'an owner over 2^32'
  if (entry.user.length > OWNER_BYTES_MAX || entry.group.length > OWNER_BYTES_MAX) {
    return 'too long a name of an owner'
  }
  if (!isInt64(entry.mtimeNs) || !isInt64(entry.ctimeNs)) return 'a time over 64 bits'
  if (!isUint64(entry.inode)) return 'an inode over 64 bits'
  if (!isUint(entry.size, Number.MAX_SAFE_INTEGER)) return 'an impossible size'
  const isDevice = type === 'chardev' || type === 'blockdev'
  if ((type === 'dir') !== (entry.subtree !== null)) return 'subtree and type disagree'
  if ((type === 'symlink') !== (entry.target !== null)) return 'target and type disagree'
  if (isDevice !== (entry.device !== null)) return 'device and type disagree'
  if (type === 'file') return contentProblemOf(entry) ?? detailProblemOf(entry)
  if (chunks.length > 0 || list !== null || holes.length > 0) return 'content of what is no file'
  return detailProblemOf(entry)
}

function contentProblemOf({ chunks, list, holes, size }: TreeEntry): string | null {
  if (holes.length > HOLES_MAX) return `more than ${HOLES_MAX} holes`
  let end = 0
  let bytes = 0
  for (const { offset, length } of holes) {
    if (!isUint(offset, size) || !isUint(length, size - offset)) return 'a hole behind the end'
    if (offset < end || length === 0) return 'holes are not in order'
    end = offset + length
    bytes += length
  }
  if (chunks.length > 0 && list !== null) return 'chunks and a list'
  if (chunks.length > CHUNKS_INLINE_MAX) return `more than ${CHUNKS_INLINE_MAX} chunks`
  if (list !== null) return null // The reader of the list adds up its lengths.
  for (const { length } of chunks) {
    if (!isUint(length, PLAINTEXT_BYTES_MAX) || length === 0) return 'an impossible chunk length'
    bytes += length
  }
  return bytes === size ? null : 'chunks and holes do not make up the size'
}

function detailProblemOf({ target, hardlink, device, xattrs }: TreeEntry): string | null {
  if (target && target.length > TARGET_BYTES_MAX) return 'too long a target'
  if (target?.includes(0)) return 'a target with NUL'
  if (hardlink) {
    const { device, inode, links } = hardlink
    const isLegal = isUint64(device) && isUint64(inode) && isUint(links, UINT32_MAX)
    if (!isLegal) return 'a hardlink that is none'
  }
  if (device && !(isUint(device.major, UINT32_MAX) && isUint(device.minor, UINT32_MAX))) {
    return 'a device number over 32 bits'
  }
  if (xattrs.length > XATTRS_MAX) return `more than ${XATTRS_MAX} attributes`
  let last: Uint8Array | null = null
  let bytes = 0
  for (const { name, value } of xattrs) {
    if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX || name.includes(0)) {
      return 'an attribute without a proper name'
    }
    if (last && Buffer.compare(last, name) >= 0) return 'attributes are not in order'
    last = name
    bytes += name.length + value.length
  }
  return bytes > XATTR_BYTES_MAX ? `attributes of more than ${XATTR_BYTES_MAX} bytes` : null
}

const isUint = (value: number, max: number): boolean =>
  Number.isSafeInteger(value) && value >= 0 && value <= max
const isUint64 = (value: bigint): boolean => value >= 0n && value <= UINT64_MAX
const isInt64 = (value: bigint): boolean => value >= INT64_MIN && value <= INT64_MAX

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
  return Array.from({ length: count }, () => {
    reader.array(2, 2, 'hole')
    const offset = reader.uint(Number.MAX_SAFE_INTEGER, 'offset')
    return { offset, length: reader.uint(Number.MAX_SAFE_INTEGER, 'length') }
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
    const name = reader.bytes(1, XATTR_NAME_BYTES_MAX, 'xattr name')
    return { name, value: reader.bytes(0, XATTR_BYTES_MAX, 'xattr value') }
  })
}
