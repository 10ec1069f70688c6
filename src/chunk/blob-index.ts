// src/chunk/blob-index.ts — what does the trailer of a blob say, byte by byte?
//
//   0   4  magic "HFIX"               24  4  number of chunks, C
//   4   2  format version             28  4  number of edges, E
//   6   2  zero                       32  4  number of snapshot records, S
//   8  16  repository id              36  4  number of segments, N
//  40        C × 44: id 32, kind 1, zero 1, edges 2, offset 4, length 4
//            E × 32: edge ids, chunk after chunk
//            S × (24 + 16 × tags + name): time 8 (ms), group id 16 | tags 2, name bytes 2 | …
//            N ×  4: CRC-32 of each 64 KiB before the trailer
//  −8   4  length of the trailer
//  −4   4  CRC-32 of the trailer up to here
//
// Little-endian. Chunks lie one after the other from the header to the trailer, without gaps.
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../errors.ts'

export const BLOB_HEADER_BYTES = 32
/** More is refused by every reader; a blob aims at a quarter of it. */
export const BLOB_SIZE_BYTES_MAX = 16 * 2 ** 20
/** More is refused: a trailer must fit into one request to the manager. */
export const INDEX_SIZE_BYTES_MAX = 3 * 2 ** 20
export const EDGES_PER_CHUNK_MAX = 4096
/** One CRC-32 for each so many bytes before the trailer. */
export const SEGMENT_BYTES = 64 * 1024
export const FORMAT_VERSION = 1
/** The last bytes of every blob: length and CRC-32 of the trailer. */
export const INDEX_TAIL_BYTES = 8
export const TAGS_PER_SNAPSHOT_MAX = 64
export const NAME_LENGTH_MAX = 255

const MAGIC = 0x58494648 // "HFIX"
const FIXED_BYTES = 40
const ENTRY_BYTES = 44
const ID_BYTES = 32
const SNAPSHOT_FIXED_BYTES = 28
const OPAQUE_ID_BYTES = 16
const TIME_MS_MAX = 8.64e15 // As far as Date goes.

/** data: bytes of a file. tree: a node of tree.ts. snapshot: a record of snapshot.ts. */
export type ChunkKind = 'data' | 'tree' | 'snapshot'
const KINDS: readonly ChunkKind[] = ['data', 'tree', 'snapshot']

/** What the manager sees of a snapshot beside its id. */
export interface SnapshotPlain {
  /** 1 to 255 UTF-16 units. */
  readonly clientName: string
  /** Whole milliseconds since 1970. */
  readonly timeMs: number
  /** 32 hex digits. */
  readonly groupId: string
  /** 32 hex digits each, at most 64. */
  readonly tagIds: readonly string[]
}

export interface BlobEntry {
  /** The chunk id, 64 hex digits; each id at most once in a blob. */
  readonly id: string
  readonly kind: ChunkKind
  /** Of the sealed bytes, from the start of the blob. */
  readonly offset: number
  /** Of the sealed bytes, at least 1. */
  readonly length: number
  /** The chunks that this one refers to. */
  readonly edges: readonly string[]
  /** Given for each chunk of kind snapshot, and for no other. */
  readonly snapshot: SnapshotPlain | null
}

export interface BlobIndex {
  readonly repositoryId: string
  readonly entries: readonly BlobEntry[]
  readonly segmentCrcs: Uint32Array
  /** Where the trailer begins: the segments cover what is before. */
  readonly coveredBytes: number
}

/** What servers need of a trailer to check ranges. */
export interface IndexSummary {
  readonly repositoryId: string
  readonly chunkCount: number
  readonly segmentCrcs: Uint32Array
  readonly coveredBytes: number
}

/** How many bytes a chunk adds to the trailer. */
export function indexBytesOf(edgeCount: number, snapshot: SnapshotPlain | null): number {
  const plainBytes = snapshot
    ? SNAPSHOT_FIXED_BYTES +
      Buffer.byteLength(snapshot.clientName) +
      snapshot.tagIds.length * OPAQUE_ID_BYTES
    : 0
  return ENTRY_BYTES + edgeCount * ID_BYTES + plainBytes
}

/** The bytes of a trailer that are there whatever it holds, for so many bytes before it. */
export const indexBytesFixed = (coveredBytes: number): number =>
  FIXED_BYTES + Math.ceil(coveredBytes / SEGMENT_BYTES) * 4 + INDEX_TAIL_BYTES

/** The trailer's bytes. The entries must be as `decodeIndex` wants them. */
export function encodeIndex({ repositoryId, entries, segmentCrcs }: BlobIndex): Buffer {
  const edgeCount = entries.reduce((sum, { edges }) => sum + edges.length, 0)
  const snapshots = entries.flatMap(({ snapshot }) => (snapshot ? [snapshot] : []))
  const variableBytes = entries.reduce(
    (sum, { edges, snapshot }) => sum + indexBytesOf(edges.length, snapshot),
    0,
  )
  const bytes = Buffer.alloc(
    FIXED_BYTES + variableBytes + segmentCrcs.length * 4 + INDEX_TAIL_BYTES,
  )
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt16LE(FORMAT_VERSION, 4)
  bytes.write(repositoryId, 8, 'hex')
  bytes.writeUInt32LE(entries.length, 24)
  bytes.writeUInt32LE(edgeCount, 28)
  bytes.writeUInt32LE(snapshots.length, 32)
  bytes.writeUInt32LE(segmentCrcs.length, 36)
  let at = FIXED_BYTES
  for (const { id, kind, offset, length, edges } of entries) {
    bytes.write(id, at, 'hex')
    bytes[at + 32] = KINDS.indexOf(kind)
    bytes.writeUInt16LE(edges.length, at + 34)
    bytes.writeUInt32LE(offset, at + 36)
    bytes.writeUInt32LE(length, at + 40)
    at += ENTRY_BYTES
  }
  for (const { edges } of entries) {
    for (const edge of edges) at += bytes.write(edge, at, 'hex')
  }
  for (const snapshot of snapshots) at = writeSnapshot(bytes, at, snapshot)
  for (const crc of segmentCrcs) at = bytes.writeUInt32LE(crc, at)
  at = bytes.writeUInt32LE(bytes.length, at)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, at)), at)
  return bytes
}

function writeSnapshot(bytes: Buffer, start: number, snapshot: SnapshotPlain): number {
  const { clientName, timeMs, groupId, tagIds } = snapshot
  let at = bytes.writeBigUInt64LE(BigInt(timeMs), start)
  at += bytes.write(groupId, at, 'hex')
  at = bytes.writeUInt16LE(tagIds.length, at)
  at = bytes.writeUInt16LE(Buffer.byteLength(clientName), at)
  for (const tagId of tagIds) at += bytes.write(tagId, at, 'hex')
  return at + bytes.write(clientName, at)
}

/** Length of the trailer from the last 8 bytes (or more) of a blob. CORRUPT when it cannot be. */
export function indexLength(lastBytes: Uint8Array, sizeBytes: number): number {
  if (lastBytes.length < INDEX_TAIL_BYTES) fail('no room for the length of the index')
  const tail = bufferOf(lastBytes.subarray(lastBytes.length - INDEX_TAIL_BYTES))
  const length = tail.readUInt32LE(0)
  const lengthMax = Math.min(INDEX_SIZE_BYTES_MAX, sizeBytes - BLOB_HEADER_BYTES)
  if (length < FIXED_BYTES + INDEX_TAIL_BYTES || length > lengthMax) {
    fail(`an index of ${length} bytes cannot be`)
  }
  return length
}

/** The checked frame of a trailer without its entries: cheap, for servers. CORRUPT for anything
 * that is not the trailer of a blob of that size. */
export function decodeIndexSummary(trailer: Uint8Array, sizeBytes: number): IndexSummary {
  const { repositoryId, chunkCount, segmentCrcs, coveredBytes } = readFrame(trailer, sizeBytes)
  return { repositoryId, chunkCount, segmentCrcs, coveredBytes }
}

/** Everything that a trailer says. Any bytes give a value or CORRUPT; what it gives is consistent:
 * ranges follow each other inside the blob, ids are distinct, every count is within its cap. */
export function decodeIndex(trailer: Uint8Array, sizeBytes: number): BlobIndex {
  const frame = readFrame(trailer, sizeBytes)
  const { bytes, repositoryId, chunkCount, edgeCount, segmentCrcs, coveredBytes } = frame
  const edgesStart = FIXED_BYTES + chunkCount * ENTRY_BYTES
  const edgesEnd = edgesStart + edgeCount * ID_BYTES
  const snapshots = readSnapshots(bytes, edgesEnd, frame)

  const entries: BlobEntry[] = []
  const seen = new Set<string>()
  let expectedOffset = BLOB_HEADER_BYTES
  let edgeAt = edgesStart
  for (let at = FIXED_BYTES; at < edgesStart; at += ENTRY_BYTES) {
    const id = bytes.toString('hex', at, at + ID_BYTES)
    const kind = KINDS[bytes[at + 32]!]
    const edgesOfChunk = bytes.readUInt16LE(at + 34)
    const offset = bytes.readUInt32LE(at + 36)
    const length = bytes.readUInt32LE(at + 40)
    if (!kind || bytes[at + 33] !== 0) return fail(`chunk ${id} has an unknown kind`)
    if (seen.has(id)) fail(`chunk ${id} is listed twice`)
    if (offset !== expectedOffset || length === 0)
      fail(`chunk ${id} does not follow the one before`)
    if (edgesOfChunk > EDGES_PER_CHUNK_MAX) fail(`chunk ${id} has too many edges`)
    if (edgeAt + edgesOfChunk * ID_BYTES > edgesEnd) fail(`edges of chunk ${id} are missing`)
    const edges: string[] = []
    for (let edge = 0; edge < edgesOfChunk; edge += 1) {
      edges.push(bytes.toString('hex', edgeAt, edgeAt + ID_BYTES))
      edgeAt += ID_BYTES
    }
    const snapshot = kind === 'snapshot' ? (snapshots.shift() ?? null) : null
    if (kind === 'snapshot' && snapshot === null) fail(`snapshot ${id} has no plain fields`)
    seen.add(id)
    entries.push({ id, kind, offset, length, edges, snapshot })
    expectedOffset += length
  }
  if (expectedOffset !== coveredBytes) fail('the chunks do not end where the index begins')
  if (edgeAt !== edgesEnd) fail('edges that belong to no chunk')
  if (snapshots.length > 0) fail('plain fields that belong to no snapshot')
  return { repositoryId, entries, segmentCrcs, coveredBytes }
}

interface Frame extends IndexSummary {
  readonly bytes: Buffer
  readonly edgeCount: number
  readonly snapshotCount: number
  /** Where the segment CRCs begin. */
  readonly crcsStart: number
}

function readFrame(trailer: Uint8Array, sizeBytes: number): Frame {
  const bytes = bufferOf(trailer)
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes > BLOB_SIZE_BYTES_MAX) fail('too large a blob')
  if (indexLength(bytes, sizeBytes) !== bytes.length) fail('another length than it states')
  const crcAt = bytes.length - 4
  if (crc32(bytes.subarray(0, crcAt)) !== bytes.readUInt32LE(crcAt)) fail('its CRC-32 is wrong')
  if (bytes.readUInt32LE(0) !== MAGIC) fail('no index begins like this')
  const version = bytes.readUInt16LE(4)
  if (version !== FORMAT_VERSION) fail(`format version ${version} is not known here`)
  if (bytes.readUInt16LE(6) !== 0) fail('a reserved field is in use')

  const chunkCount = bytes.readUInt32LE(24)
  const edgeCount = bytes.readUInt32LE(28)
  const snapshotCount = bytes.readUInt32LE(32)
  const segmentCount = bytes.readUInt32LE(36)
  const coveredBytes = sizeBytes - bytes.length
  // All products stay far below 2^53, so sums of untrusted counts are exact.
  const crcsStart = bytes.length - INDEX_TAIL_BYTES - segmentCount * 4
  const listsEnd = FIXED_BYTES + chunkCount * ENTRY_BYTES + edgeCount * ID_BYTES
  const leastEnd = listsEnd + snapshotCount * SNAPSHOT_FIXED_BYTES
  if (chunkCount === 0) fail('no chunks')
  if (segmentCount !== Math.ceil(coveredBytes / SEGMENT_BYTES)) fail('a wrong number of segments')
  if (leastEnd > crcsStart) fail('its lists are longer than itself')
  const segmentCrcs = new Uint32Array(segmentCount)
  for (let index = 0; index < segmentCount; index += 1) {
    segmentCrcs[index] = bytes.readUInt32LE(crcsStart + index * 4)
  }
  const repositoryId = bytes.toString('hex', 8, 24)
  return {
    bytes,
    repositoryId,
    chunkCount,
    edgeCount,
    snapshotCount,
    segmentCrcs,
    coveredBytes,
    crcsStart,
  }
}

function readSnapshots(bytes: Buffer, start: number, frame: Frame): SnapshotPlain[] {
  const { snapshotCount, crcsStart } = frame
  const snapshots: SnapshotPlain[] = []
  let at = start
  for (let index = 0; index < snapshotCount; index += 1) {
    if (at + SNAPSHOT_FIXED_BYTES > crcsStart) fail('a snapshot is cut off')
    const timeMs = Number(bytes.readBigUInt64LE(at))
    const groupId = bytes.toString('hex', at + 8, at + 24)
    const tagCount = bytes.readUInt16LE(at + 24)
    const nameBytes = bytes.readUInt16LE(at + 26)
    at += SNAPSHOT_FIXED_BYTES
    if (timeMs > TIME_MS_MAX) fail('a snapshot has no possible time')
    if (tagCount > TAGS_PER_SNAPSHOT_MAX) fail('a snapshot has too many tags')
    if (at + tagCount * OPAQUE_ID_BYTES + nameBytes > crcsStart) fail('a snapshot is cut off')
    const tagIds: string[] = []
    for (let tag = 0; tag < tagCount; tag += 1) {
      tagIds.push(bytes.toString('hex', at, at + OPAQUE_ID_BYTES))
      at += OPAQUE_ID_BYTES
    }
    const clientName = readName(bytes.subarray(at, at + nameBytes))
    at += nameBytes
    snapshots.push({ clientName, timeMs, groupId, tagIds })
  }
  if (at !== crcsStart) fail('bytes between its parts')
  return snapshots
}

function readName(bytes: Buffer): string {
  const name = bytes.toString()
  if (!Buffer.from(name).equals(bytes)) fail('a client name is not UTF-8')
  if (name.length < 1 || name.length > NAME_LENGTH_MAX) fail('a client name is too long or empty')
  return name
}

/** Throws RangeError for what no trailer can hold: a defect of the caller. */
export function mustBePlain({ clientName, timeMs, groupId, tagIds }: SnapshotPlain): void {
  const isLegal =
    clientName.isWellFormed() &&
    clientName.length >= 1 &&
    clientName.length <= NAME_LENGTH_MAX &&
    Number.isSafeInteger(timeMs) &&
    timeMs >= 0 &&
    timeMs <= TIME_MS_MAX &&
    tagIds.length <= TAGS_PER_SNAPSHOT_MAX &&
    [groupId, ...tagIds].every((id) => isHex(id, OPAQUE_ID_BYTES))
  if (!isLegal) throw new RangeError('snapshot fields that do not fit the format')
}

export const isHex = (text: string, bytes: number): boolean =>
  text.length === bytes * 2 && /^[0-9a-f]*$/.test(text)

const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)

function fail(problem: string): never {
  throw new HoldfastError('CORRUPT', `index of a blob: ${problem}`)
}
