// src/chunk/index.ts — what do client, server and manager get from here?
export {
  BLOB_SIZE_BYTES_MIN,
  BLOB_TARGET_BYTES,
  BlobBuilder,
  type BlobHeader,
  BlobReceiver,
  type BuiltBlob,
  blobBytesOf,
  findBadSegment,
  readHeader,
  type SealedChunk,
} from './blob.ts'
export {
  BLOB_HEADER_BYTES,
  BLOB_SIZE_BYTES_MAX,
  type BlobEntry,
  type BlobIndex,
  type ChunkKind,
  decodeIndex,
  decodeIndexSummary,
  EDGES_PER_CHUNK_MAX,
  INDEX_SIZE_BYTES_MAX,
  INDEX_TAIL_BYTES,
  type IndexSummary,
  indexLength,
  SEGMENT_BYTES,
  type SnapshotPlain,
} from './blob-index.ts'
export { chunkId } from './chunk-id.ts'
export { CHUNKS_INLINE_MAX, ChunkListWriter, type ChunkNames, type ChunkRef } from './chunk-list.ts'
export { CHUNK_SIZES, Chunker, type ChunkSizes } from './chunker.ts'
export { type Compressor, zstd } from './compressor.ts'
export { ENTRY_TYPES, type EntryType, HOLES_MAX, isHarmlessName, type TreeEntry } from './entry.ts'
export { createKeyFile, readKeyFile } from './key-file.ts'
export { deriveKeys, groupId, type RepositoryKeys, tagId } from './keys.ts'
export { type NodeEdges, nodeEdges } from './node-edges.ts'
export type { EmitNode, LoadNode } from './nodes.ts'
export { open, PLAINTEXT_BYTES_MAX, SEAL_OVERHEAD_BYTES, seal } from './seal.ts'
export { decodeSnapshot, encodeSnapshot, type SnapshotRecord } from './snapshot.ts'
export { readContent, readTree, TreeWriter } from './tree.ts'
