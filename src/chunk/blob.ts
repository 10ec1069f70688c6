// src/chunk/blob.ts — how do chunks become a blob, and how is one checked without keys?
//
//   0   8  magic 89 "HFBLOB" 0A        12   4  length of the trailer
//   8   2  format version              16  16  repository id
//  10   2  zero                        32   …  sealed chunks, then the trailer (blob-index.ts)
//
// Little-endian. The blob id is the SHA-256 of all of it. The header tells the trailer's length so
// that whoever receives a blob keeps the trailer and nothing else.
import assert from 'node:assert'
import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { HoldfastError } from '../errors.ts'
import {
  BLOB_HEADER_BYTES,
  BLOB_SIZE_BYTES_MAX,
  type BlobEntry,
  type ChunkKind,
  decodeIndexSummary,
  EDGES_PER_CHUNK_MAX,
  encodeIndex,
  FORMAT_VERSION,
  INDEX_SIZE_BYTES_MAX,
  INDEX_TAIL_BYTES,
  indexBytesFixed,
  indexBytesOf,
  isHex,
  mustBePlain,
  SEGMENT_BYTES,
  type SnapshotPlain,
} from './blob-index.ts'

/** A blob is closed when it has reached this size, trailer included. */
export const BLOB_TARGET_BYTES = 4 * 2 ** 20
/** A header, one chunk of a byte, and its trailer. */
export const BLOB_SIZE_BYTES_MIN =
  BLOB_HEADER_BYTES + 1 + indexBytesOf(0, null) + indexBytesFixed(BLOB_HEADER_BYTES + 1)
const MAGIC = Buffer.from('89484642 4c4f420a'.replace(' ', ''), 'hex')

export interface BlobHeader {
  readonly version: number
  readonly repositoryId: string
  /** Length of the trailer. */
  readonly indexBytes: number
}

export interface SealedChunk {
  readonly id: string
  readonly kind: ChunkKind
  readonly sealed: Uint8Array
  /** Ids that the chunk refers to; at most 4,096. */
  readonly edges: readonly string[]
  /** Needed for kind snapshot, and for no other. */
  readonly snapshot?: SnapshotPlain
}

export interface BuiltBlob {
  readonly blobId: string
  readonly bytes: Uint8Array
  readonly chunks: readonly {
    readonly id: string
    readonly offset: number
    readonly length: number
  }[]
}

/** Bytes that a chunk takes in a blob, its part of the trailer included. */
export const blobBytesOf = (chunk: Pick<SealedChunk, 'sealed' | 'edges' | 'snapshot'>): number =>
  chunk.sealed.length + indexBytesOf(chunk.edges.length, chunk.snapshot ?? null)

/** Collects chunks for one blob. Holds references until `finish`, which copies each byte once. */
export class BlobBuilder {
  readonly #repositoryId: string
  readonly #chunks: SealedChunk[] = []
  readonly #ids = new Set<string>()
  #coveredBytes = BLOB_HEADER_BYTES
  #listBytes = 0

  constructor(repositoryId: string) {
    assert(isHex(repositoryId, 16), 'a repository id is 32 hex digits')
    this.#repositoryId = repositoryId
  }

  /** True when the blob has its size: build it and begin the next one. A blob that takes chunks
   * only while this is false stays within all limits. */
  get isFull(): boolean {
    return this.sizeBytes >= BLOB_TARGET_BYTES
  }

  /** What `finish` would give now, trailer included. */
  get sizeBytes(): number {
    return this.#coveredBytes + this.#listBytes + indexBytesFixed(this.#coveredBytes)
  }

  get chunkCount(): number {
    return this.#chunks.length
  }

  has(id: string): boolean {
    return this.#ids.has(id)
  }

  /** `sealed` is only read at `finish`. Wrong shapes and a second chunk of one id are assertions;
   * so are more bytes than a blob may have, which `isFull` prevents. */
  add(chunk: SealedChunk): void {
    const { id, kind, sealed, edges, snapshot } = chunk
    assert(isHex(id, 32), 'a chunk id is 64 hex digits')
    assert(!this.#ids.has(id), `chunk ${id} is in the blob already`)
    assert(sealed.length > 0, 'a sealed chunk has bytes')
    assert(edges.length <= EDGES_PER_CHUNK_MAX, `${edges.length} edges are too many`)
    for (const edge of edges) assert(isHex(edge, 32), 'an edge is 64 hex digits')
    assert((kind === 'snapshot') === (snapshot !== undefined), 'plain fields for snapshots only')
    if (snapshot) mustBePlain(snapshot)
    this.#chunks.push(chunk)
    this.#ids.add(id)
    this.#coveredBytes += sealed.length
    this.#listBytes += indexBytesOf(edges.length, snapshot ?? null)
    const indexBytes = this.sizeBytes - this.#coveredBytes
    assert(this.sizeBytes <= BLOB_SIZE_BYTES_MAX, 'a blob that no reader would take')
    assert(indexBytes <= INDEX_SIZE_BYTES_MAX, 'an index that no reader would take')
  }

  /** The blob. At least one chunk must have been added. The builder is used up. */
  finish(): BuiltBlob {
    assert(this.#chunks.length > 0, 'a blob without chunks')
    const indexBytes = this.sizeBytes - this.#coveredBytes
    const bytes = Buffer.allocUnsafeSlow(this.sizeBytes)
    MAGIC.copy(bytes, 0)
    bytes.writeUInt16LE(FORMAT_VERSION, 8)
    bytes.writeUInt16LE(0, 10)
    bytes.writeUInt32LE(indexBytes, 12)
    bytes.write(this.#repositoryId, 16, 'hex')
    const entries: BlobEntry[] = []
    let offset = BLOB_HEADER_BYTES
    for (const { id, kind, sealed, edges, snapshot } of this.#chunks) {
      bytes.set(sealed, offset)
      const length = sealed.length
      entries.push({ id, kind, offset, length, edges, snapshot: snapshot ?? null })
      offset += length
    }
    const segmentCrcs = crcsOf(bytes.subarray(0, offset))
    const repositoryId = this.#repositoryId
    bytes.set(encodeIndex({ repositoryId, entries, segmentCrcs, coveredBytes: offset }), offset)
    const blobId = createHash('sha256').update(bytes).digest('hex')
    const chunks = entries.map(({ id, offset, length }) => ({ id, offset, length }))
    return { blobId, bytes, chunks }
  }
}

function crcsOf(covered: Uint8Array): Uint32Array {
  const crcs = new Uint32Array(Math.ceil(covered.length / SEGMENT_BYTES))
  for (let index = 0; index < crcs.length; index += 1) {
    crcs[index] = crc32(covered.subarray(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES))
  }
  return crcs
}

/** The first 32 bytes of a blob. CORRUPT for anything else. */
export function readHeader(bytes: Uint8Array): BlobHeader {
  if (bytes.length < BLOB_HEADER_BYTES) fail('too short for a header')
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, BLOB_HEADER_BYTES)
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) fail('no blob begins like this')
  const version = header.readUInt16LE(8)
  if (version !== FORMAT_VERSION) fail(`format version ${version} is not known here`)
  if (header.readUInt16LE(10) !== 0) fail('a reserved field is in use')
  return {
    version,
    indexBytes: header.readUInt32LE(12),
    repositoryId: header.toString('hex', 16, 32),
  }
}

/** Checks a blob while it arrives, without keys: hash, header, trailer's frame, and the CRC-32 of
 * each segment. Holds the trailer and 32 bytes, whatever the size. */
export class BlobReceiver {
  readonly #sizeBytes: number
  readonly #hash: Hash = createHash('sha256')
  readonly #header = Buffer.alloc(BLOB_HEADER_BYTES)
  readonly #crcs: number[] = []
  #seenBytes = 0
  #indexStart = Number.POSITIVE_INFINITY
  #index = Buffer.alloc(0)
  #repositoryId = ''

  /** `sizeBytes`: the whole blob. CORRUPT when no blob has that size. */
  constructor(sizeBytes: number) {
    const isPossible =
      Number.isSafeInteger(sizeBytes) &&
      sizeBytes >= BLOB_SIZE_BYTES_MIN &&
      sizeBytes <= BLOB_SIZE_BYTES_MAX
    if (!isPossible) fail(`a blob cannot have ${sizeBytes} bytes`)
    this.#sizeBytes = sizeBytes
  }

  /** The next bytes, which stay the caller's. CORRUPT as soon as they cannot be a blob. */
  update(bytes: Uint8Array): void {
    if (this.#seenBytes + bytes.length > this.#sizeBytes) fail('more bytes than announced')
    this.#hash.update(bytes)
    const rest = this.#seenBytes < BLOB_HEADER_BYTES ? this.#takeHeader(bytes) : bytes
    const coveredBytes = Math.max(0, Math.min(rest.length, this.#indexStart - this.#seenBytes))
    this.#takeCovered(rest.subarray(0, coveredBytes))
    const indexPart = rest.subarray(coveredBytes)
    if (indexPart.length === 0) return
    this.#index.set(indexPart, this.#seenBytes - this.#indexStart)
    this.#seenBytes += indexPart.length
  }

  /** The blob's id and its trailer, once all bytes have passed. The caller compares the id. */
  finish(): { blobId: string; index: Uint8Array } {
    if (this.#seenBytes !== this.#sizeBytes) fail('fewer bytes than announced')
    const summary = decodeIndexSummary(this.#index, this.#sizeBytes)
    if (summary.repositoryId !== this.#repositoryId) fail('header and index name two repositories')
    for (const [segment, crc] of summary.segmentCrcs.entries()) {
      if (this.#crcs[segment] !== crc) fail(`the CRC-32 of segment ${segment} is wrong`)
    }
    return { blobId: this.#hash.digest('hex'), index: this.#index }
  }

  /** What follows the header in these bytes. */
  #takeHeader(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, BLOB_HEADER_BYTES - this.#seenBytes)
    this.#header.set(part, this.#seenBytes)
    this.#takeCovered(part)
    if (this.#seenBytes === BLOB_HEADER_BYTES) {
      const { indexBytes, repositoryId } = readHeader(this.#header)
      const indexBytesMax = Math.min(INDEX_SIZE_BYTES_MAX, this.#sizeBytes - BLOB_HEADER_BYTES)
      if (indexBytes < INDEX_TAIL_BYTES || indexBytes > indexBytesMax) {
        fail(`an index of ${indexBytes} bytes cannot be`)
      }
      this.#repositoryId = repositoryId
      this.#indexStart = this.#sizeBytes - indexBytes
      this.#index = Buffer.alloc(indexBytes)
    }
    return bytes.subarray(part.length)
  }

  #takeCovered(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const segment = Math.floor(this.#seenBytes / SEGMENT_BYTES)
      const room = SEGMENT_BYTES - (this.#seenBytes % SEGMENT_BYTES)
      const part = bytes.subarray(at, at + room)
      this.#crcs[segment] = crc32(part, this.#crcs[segment] ?? 0)
      this.#seenBytes += part.length
      at += part.length
    }
  }
}

/** The number of the first segment in `bytes` that is not what was stored, or null. `bytes` begin
 * at `start` of the blob, a multiple of 64 KiB, and end with a segment or later than `coveredBytes`:
 * what is in the trailer is not looked at. */
export function findBadSegment(
  bytes: Uint8Array,
  start: number,
  summary: { readonly segmentCrcs: Uint32Array; readonly coveredBytes: number },
): number | null {
  assert(start % SEGMENT_BYTES === 0, 'a range that begins inside a segment')
  const { segmentCrcs, coveredBytes } = summary
  const end = Math.min(start + bytes.length, coveredBytes)
  for (let at = start; at < end; at += SEGMENT_BYTES) {
    const segment = at / SEGMENT_BYTES
    const segmentEnd = Math.min(at + SEGMENT_BYTES, coveredBytes)
    if (crc32(bytes.subarray(at - start, segmentEnd - start)) !== segmentCrcs[segment]) {
      return segment
    }
  }
  return null
}

function fail(problem: string): never {
  throw new HoldfastError('CORRUPT', `blob: ${problem}`)
}
