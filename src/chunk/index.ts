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
  type SealedChunk,
} from './blob.ts'
export {
  BLOB_SIZE_BYTES_MAX,
  type BlobEntry,
  type BlobIndex,
  type ChunkKind,
  decodeIndex,
  decodeIndexSummary,
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
export { type NodeEdges, nodeEdges, nodesBelow } from './node-edges.ts'
export type { EmitNode, LoadNode } from './nodes.ts'
export { open, seal } from './seal.ts'
export { decodeSnapshot, encodeSnapshot, type SnapshotRecord } from './snapshot.ts'
export { readContent, readTree, TreeWriter } from './tree.ts'
