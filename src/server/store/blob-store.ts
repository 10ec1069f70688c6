// src/server/store/blob-store.ts — what does every place that keeps blobs promise?
//
// A blob is in the store whole, verified and durable, or it is not in the store. Nothing here
// changes a blob in place. All failures are HoldfastErrors:
//   STORAGE_FULL    no room above the reserve, or the store is read-only after repeated failures
//   STORAGE_FAILED  the disk failed on this one blob; others are not concerned
//   CORRUPT         the bytes are not those of the id, or break the blob format
//   NOT_FOUND       the blob is not held
//   INVALID_REQUEST a range outside the blob

export interface BlobStore {
  /** The size of a blob that is held and durable, else null. From memory, no I/O. */
  sizeBytes(blobId: string): number | null
  /** Begins to take a blob in. Several drafts of one id may run at once and all end well. Checks
   * free space against the reserve, counting what other drafts still have to write.
   * Rejects with STORAGE_FULL, STORAGE_FAILED. */
  create(blobId: string, sizeBytes: number): Promise<BlobDraft>
  /** Opens a held blob for reading ranges. Rejects with NOT_FOUND, STORAGE_FAILED. */
  open(blobId: string): Promise<BlobReader>
  /** All that is held, live: blobs that join while it is walked are met before the end. */
  list(): Iterable<BlobEntry>
  /** Room and content. Never rejects: with a disk that does not answer, freeBytes is 0. */
  usage(): Promise<StoreUsage>
  /** Takes a blob out of service without deleting it. Resolves when it no longer counts as held.
   * Rejects with NOT_FOUND, STORAGE_FAILED. */
  quarantine(blobId: string): Promise<void>
}

/** A blob on its way in. Always end with close(). */
export interface BlobDraft {
  readonly blobId: string
  readonly sizeBytes: number
  /** Hashes and writes the pieces after those before. One call at a time. The pieces must not
   * change afterwards. Rejects with CORRUPT when there are more than sizeBytes, STORAGE_FULL,
   * STORAGE_FAILED; the draft can then only be closed. */
  append(pieces: readonly Uint8Array[]): Promise<void>
  /** Bytes whose append() has resolved; possible until close(), after commit() too. */
  read(offset: number, lengthBytes: number): Promise<Uint8Array>
  /** Verifies size, hash and format, then makes bytes and name durable. When the id is held by
   * then this changes nothing. Resolves with the blob's trailer (its index). Rejects with CORRUPT,
   * STORAGE_FULL, STORAGE_FAILED: nothing is held that was not held before. */
  commit(): Promise<{ index: Uint8Array }>
  /** Frees everything; what was not committed is gone. Never rejects, safe to call twice. */
  close(): Promise<void>
}

export interface BlobReader {
  readonly blobId: string
  readonly sizeBytes: number
  /** Exactly that range, in new memory. Rejects with INVALID_REQUEST outside the blob, CORRUPT
   * when the file is shorter than it was, STORAGE_FAILED. Never resolves short. */
  read(offset: number, lengthBytes: number): Promise<Uint8Array>
  /** Never rejects, safe to call twice. */
  close(): Promise<void>
}

export interface BlobEntry {
  readonly blobId: string
  readonly sizeBytes: number
}

export interface StoreUsage {
  readonly usedBytes: number
  /** As the disk says; the reserve is a part of it. */
  readonly freeBytes: number
  readonly blobs: number
  /** True: create() would refuse now, or has refused for want of room that is still not there. */
  readonly readOnly: boolean
}

/** What a start found besides good blobs. Nothing of it was deleted. */
export interface StoreProblem {
  readonly path: string
  readonly problem: string
}
