// src/manager/catalog/catalog.ts — what does the manager remember, and what does it promise of it?
import type { Role } from '../../identity/index.ts'
import type { SnapshotFields } from '../../messages.ts'

/** Ids are lower-case hex. Every write has reached the disk (fsync) when its promise resolves; one
 * that rejects has changed nothing. Calls may run at once; each is atomic. */
export interface Catalog {
  /** Creates the cluster's identity at the very first call, and counts openings as epochs. */
  open(clusterId: string): Promise<CatalogMeta>
  operation(): Promise<number>

  repositories(): Promise<{ repositoryId: string; checkValue: string }[]>
  addRepository(row: { repositoryId: string; checkValue: string; nowMs: number }): Promise<void>

  servers(): Promise<ServerRow[]>
  putServer(row: ServerRow): Promise<void>

  /** All keys that were ever let in. */
  members(): Promise<MemberRow[]>
  member(publicKey: string): Promise<MemberRow | null>
  /** Adds or changes. False, and nothing changes, when the key is revoked. */
  putMember(row: Omit<MemberRow, 'revokedMs'>): Promise<boolean>
  /** For good. Keys that are unknown, or revoked already, stay as they are. */
  revokeMembers(revocation: { publicKeys: readonly string[]; nowMs: number }): Promise<void>
  /** True the first time, and again for the same key (its answer got lost). Forgets tokens that
   * have ended. */
  useToken(use: TokenUse): Promise<boolean>

  addSession(row: SessionRow): Promise<void>
  /** Null when there is none (any more). */
  session(sessionId: string): Promise<SessionRow | null>
  touchSessions(sessionIds: readonly string[], nowMs: number): Promise<void>
  /** Removes the session and its pins; no-op when it is gone. */
  endSession(sessionId: string): Promise<void>
  /** Removes sessions not touched since; returns their ids. */
  lapseSessions(touchedBeforeMs: number): Promise<string[]>
  sessionCount(): Promise<number>

  /** Per chunk: does it rest on `wanted` good replicas on `live` servers? Those are pinned for the
   * session in the same transaction. SESSION_EXPIRED when that is gone. */
  pinPresent(query: PinQuery): Promise<boolean[]>
  /** Commits a blob, its replicas and its chunks in one transaction. A chunk that rests well
   * elsewhere stays there; any other is current in this blob from now on. Safe to repeat. */
  commitBlob(commit: BlobCommit): Promise<void>
  /** Null: not committed. Servers with a good replica. */
  blob(blobId: string): Promise<{ sizeBytes: number; servers: number[] } | null>
  /** In the order asked; null: unknown. */
  locate(repositoryId: string, chunkIds: readonly string[]): Promise<(Place | null)[]>

  /** Checks the reach of the record, commits the snapshot and ends the session, or says what stands
   * in the way. SESSION_EXPIRED when the session is gone, unless the snapshot is committed. */
  commitSnapshot(commit: SnapshotCommit): Promise<SnapshotVerdict>
  snapshots(repositoryId: string): Promise<(SnapshotFields & { snapshotId: string })[]>

  /** A server's full report: what it has is good, what it lacks is not. */
  applyReport(report: BlockReport): Promise<{ unknown: number; missing: number }>
  counts(live: readonly number[], wanted: number): Promise<CatalogCounts>
  /** Good replicas by server number: how many, and their bytes. */
  replicaCounts(): Promise<Map<number, { blobs: number; bytes: number }>>
  close(): Promise<void>
}

export interface CatalogMeta {
  readonly clusterId: string
  /** How often this catalog was opened, from 1. */
  readonly epoch: number
  readonly operation: number
  readonly isEmpty: boolean
}

export interface ServerRow {
  readonly number: number
  readonly name: string
  readonly host: string
  readonly port: number
  readonly publicKey: string
  readonly lastSeenMs: number
}

export interface MemberRow {
  /** X25519, 64 hex digits. */
  readonly publicKey: string
  readonly name: string
  readonly number: number
  readonly roles: Role[]
  /** When its last certificate ends; as all times here in milliseconds since 1970 UTC. */
  readonly notAfterMs: number
  readonly revokedMs: number | null
}

export interface TokenUse {
  readonly tokenId: string
  readonly publicKey: string
  readonly notAfterMs: number
  readonly nowMs: number
}

export interface SessionRow {
  readonly sessionId: string
  readonly repositoryId: string
  readonly clientName: string
  /** Of the client that began it: nobody else may use the session. */
  readonly publicKey: string
  readonly touchedMs: number
}

/** Who counts: servers that are not dead, and how many replicas are enough. */
export interface Quorum {
  readonly live: readonly number[]
  readonly wanted: number
}

export interface PinQuery extends Quorum {
  readonly sessionId: string
  readonly repositoryId: string
  readonly chunkIds: readonly string[]
}

export interface CommittedChunk {
  readonly id: string
  readonly kind: 'data' | 'tree' | 'snapshot'
  readonly offset: number
  readonly length: number
  readonly edges: readonly string[]
  readonly snapshot: SnapshotFields | null
}

export interface BlobCommit extends Quorum {
  readonly repositoryId: string
  readonly blobId: string
  readonly sizeBytes: number
  readonly servers: readonly number[]
  readonly chunks: readonly CommittedChunk[]
  readonly nowMs: number
}

export interface Place {
  readonly blobId: string
  readonly offset: number
  readonly length: number
  readonly servers: number[]
}

export interface SnapshotCommit extends Quorum {
  readonly repositoryId: string
  readonly snapshotId: string
  readonly sessionId: string
  readonly nowMs: number
}

export type SnapshotVerdict =
  /** visited: how many chunks the check looked at. */
  | { readonly state: 'committed'; readonly timeMs: number; readonly visited: number }
  | { readonly state: 'unknown-edge'; readonly chunkId: string }
  | { readonly state: 'under-replicated'; readonly count: number }
  | { readonly state: 'not-a-record' }

export interface BlockReport {
  readonly server: number
  /** When its first page came. Blobs committed from then on may be younger than the list: their
   * replicas stay as they are. */
  readonly beforeMs: number
  readonly blobs: readonly { readonly blobId: string; readonly sizeBytes: number }[]
}

/** Committed blobs to which a current chunk points. */
export interface CatalogCounts {
  readonly total: number
  readonly underReplicated: number
  readonly lost: number
  readonly snapshots: number
}
