// src/messages.ts — which requests exist, who answers them, and what travels?
//
// One stream per request. Requests, answers and notes are CBOR maps of these shapes, checked by
// zod at both ends; bulk data follows as raw bytes (`body`). Hashes and ids travel as lower-case
// hex. See src/rpc/ for the framing and docs/ARCHITECTURE.md for the order of calls.
import { z } from 'zod'

/** Any Uint8Array, whatever memory it is a view of: decoders hand out views. */
const binary = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes')

const hex = (bytes: number, what: string) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${what} is ${bytes * 2} lower-case hex digits`)

export const ChunkId = hex(32, 'a chunk id')
export const BlobId = hex(32, 'a blob id')
export const RepositoryId = hex(16, 'a repository id')
export const ClusterId = hex(16, 'a cluster id')
export const SessionId = hex(16, 'a session id')
export const PublicKey = hex(32, 'a public key')
/** Keyed hash: the manager can compare group and tag ids, never read them. */
export const OpaqueId = hex(16, 'an opaque id')

/** Caps on what one request may hold; a peer that needs more sends several. */
export const LIMITS = {
  chunksPerQuery: 4096,
  edgesPerChunk: 4096,
  blobsPerReportPage: 4096,
  blobSizeBytesMax: 16 * 2 ** 20,
  rangesPerFetch: 1024,
  serversMax: 4096,
} as const

const ServerNumber = z.int().min(1).max(LIMITS.serversMax)
const Bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const TimeMs = z.number().min(0).max(8.64e15)
const Name = z
  .string()
  .min(1)
  .max(255)
  .refine((name) => new TextEncoder().encode(name).length <= 255, 'over 255 bytes')
const Empty = z.strictObject({})
/** Signed permission, opaque to whoever carries it. src/identity/grant.ts has its bytes. */
export const Grant = binary.refine((bytes) => bytes.length <= 512, 'grant too long')

const Certificate = binary.refine((bytes) => bytes.length <= 512, 'certificate too long')
const Directory = binary.refine((bytes) => bytes.length <= 128 * 1024, 'directory too long')
const Revocations = binary.refine((bytes) => bytes.length <= 256 * 1024, 'list too long')
const Role = z.enum(['manager', 'server', 'backup', 'restore', 'operator'])
const Roles = z.array(Role).min(1).max(5)

/** What every node must know of its cluster: the signed directory of the manager's keys
 * (src/identity/directory.ts), the signed list of revoked keys, and what time the manager has. */
const News = z.strictObject({ directory: Directory, revocations: Revocations, nowMs: TimeMs })
const Enrolled = News.extend({ certificate: Certificate })

/** How to reach a server, from the manager's directory. */
export const ServerAddress = z.strictObject({
  number: ServerNumber,
  name: Name,
  host: z.string().min(1).max(255),
  port: z.int().min(1).max(65_535),
  publicKey: PublicKey,
})

export const ServerState = z.enum(['up', 'suspect', 'dead', 'draining', 'retired'])

/** What a server tells with each sign of life. */
const Load = z.strictObject({
  usedBytes: Bytes,
  freeBytes: Bytes,
  blobs: Bytes,
  /** Requests with bulk data under way. */
  active: z.int().min(0),
  readOnly: z.boolean(),
})

const BlobEntry = z.strictObject({ blobId: BlobId, sizeBytes: Bytes })

/** The fields of a snapshot that the manager sees in plain. */
export const SnapshotFields = z.strictObject({
  clientName: Name,
  timeMs: TimeMs,
  groupId: OpaqueId,
  tagIds: z.array(OpaqueId).max(64),
})

export const MESSAGES = {
  // — anyone → manager —

  /** Asked when something does not verify, and when a heartbeat tells of another `trustVersion`. */
  'cluster.directory': { request: Empty, response: News },
  /** The first certificate. The proof is a MAC under the data folder's join secret, or a token.
   * TOKEN_REFUSED: wrong, used or too old. NOT_ALLOWED: the MAC is wrong. REVOKED. */
  'node.enrol': {
    request: z.strictObject({
      roles: Roles,
      name: Name,
      /** Of the server or the client in the config; 0 for an operator. */
      number: z.int().min(0).max(65_535),
      proof: z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('join'), mac: binary }),
        z.strictObject({ kind: z.literal('token'), token: z.string().max(1024) }),
      ]),
    }),
    response: Enrolled,
  },
  /** Another certificate, for a key that the manager knows or, as it has lost its memory, that a
   * manager before it knew: hence the old certificate and all that the node knows of the cluster.
   * NOT_ENROLLED: the key is unknown. REVOKED. */
  'certificate.renew': {
    request: z.strictObject({
      certificate: Certificate,
      directory: Directory,
      revocations: Revocations,
    }),
    response: Enrolled,
  },

  // — operator → manager —

  /** A token for one node elsewhere, good once. */
  'token.create': {
    request: z.strictObject({
      roles: Roles,
      number: z.int().min(1).max(65_535),
      lifeMs: z.number().min(1_000).max(86_400_000),
    }),
    response: z.strictObject({ token: z.string(), notAfterMs: TimeMs }),
  },
  /** Ends what the node may do: its sessions end within seconds. `node` is a name or a public key;
   * all keys of that name are revoked. NOT_FOUND names those that are known. */
  'node.revoke': {
    request: z.strictObject({ node: Name }),
    response: z.strictObject({
      revoked: z.array(z.strictObject({ name: Name, roles: Roles, publicKey: PublicKey })),
    }),
  },
  /** Begins to replace the key that signs certificates and grants. INVALID_REQUEST: the last
   * rotation is under way. */
  'cluster.rotate': {
    request: Empty,
    response: z.strictObject({ signingKey: PublicKey, oldUntilMs: TimeMs }),
  },

  // — client → manager; some of it operator → manager —

  /** Opens the repository whose key the client holds; the first key that comes registers itself.
   * NO_SUCH_REPOSITORY: the cluster has a repository and this key is not its key. */
  'repository.open': {
    request: z.strictObject({ repositoryId: RepositoryId, checkValue: hex(32, 'a check value') }),
    response: z.strictObject({ created: z.boolean() }),
  },
  /** Which repositories exist: a client that has no key must not make one where this is not empty. */
  'repository.list': {
    request: Empty,
    response: z.strictObject({ repositoryIds: z.array(RepositoryId).max(1024) }),
  },
  /** Begins a backup. The session pins what the manager calls present, until it ends. */
  'backup.begin': {
    request: z.strictObject({ repositoryId: RepositoryId, clientName: Name }),
    response: z.strictObject({
      sessionId: SessionId,
      /** Touch the session at least this often, or it lapses. */
      leaseMs: z.number().positive(),
      replicas: z.int().min(1),
    }),
  },
  /** Keeps the session and its claims alive. Every other message of the session does so too. */
  'backup.touch': { request: z.strictObject({ sessionId: SessionId }), response: Empty },
  /** Gives up: pins and claims go. Safe to resend. */
  'backup.abort': { request: z.strictObject({ sessionId: SessionId }), response: Empty },
  /** One answer per chunk, in order. present: two good replicas, pinned. send: claimed for you,
   * send it. wait: another backup is sending it, ask again (it becomes `send` when nothing comes
   * from that backup for 10 s, and after a minute whatever comes). */
  'chunks.missing': {
    request: z.strictObject({
      sessionId: SessionId,
      chunkIds: z.array(ChunkId).min(1).max(LIMITS.chunksPerQuery),
    }),
    response: z.strictObject({ answers: z.array(z.enum(['present', 'send', 'wait'])) }),
  },
  /** Assigns a server for a blob. `replicated`: it is committed already, send nothing.
   * NOT_ENOUGH_SERVERS, SAFE_MODE: nothing was assigned. */
  'server.assign': {
    request: z.strictObject({
      sessionId: SessionId,
      blobId: BlobId,
      sizeBytes: z.int().min(1).max(LIMITS.blobSizeBytesMax),
      /** Servers that just failed this client. */
      exclude: z.array(ServerNumber).max(64),
    }),
    response: z.discriminatedUnion('state', [
      z.strictObject({ state: z.literal('assigned'), server: ServerAddress, grant: Grant }),
      z.strictObject({ state: z.literal('replicated'), servers: z.array(ServerNumber) }),
    ]),
  },
  /** Makes the snapshot: checks that all it reaches has two good replicas, then commits. Safe to
   * resend. UNDER_REPLICATED, UNKNOWN_EDGE, SESSION_EXPIRED: nothing was committed. */
  'snapshot.commit': {
    request: z.strictObject({
      sessionId: SessionId,
      /** The chunk id of the sealed snapshot record. */
      snapshotId: ChunkId,
    }),
    response: z.strictObject({ snapshotId: ChunkId, timeMs: TimeMs }),
  },
  /** Newest last. */
  'snapshots.list': {
    request: z.strictObject({ repositoryId: RepositoryId }),
    response: z.strictObject({
      snapshots: z.array(SnapshotFields.extend({ snapshotId: ChunkId })).max(100_000),
    }),
  },
  /** Where chunks rest. A chunk that is unknown or has no replica has no servers. */
  'chunks.locate': {
    request: z.strictObject({
      repositoryId: RepositoryId,
      chunkIds: z.array(ChunkId).min(1).max(LIMITS.chunksPerQuery),
    }),
    response: z.strictObject({
      /** In the order asked; null: unknown. */
      places: z.array(
        z
          .strictObject({
            blobId: BlobId,
            offset: Bytes,
            length: Bytes,
            /** Replicas, those on servers that are up first. */
            servers: z.array(ServerNumber),
          })
          .nullable(),
      ),
      servers: z.array(ServerAddress),
      /** For blob.fetch at any server, any blob of the repository. */
      grant: Grant,
    }),
  },
  /** The state of the cluster. Needs no session. */
  status: {
    request: Empty,
    response: z.strictObject({
      clusterId: ClusterId,
      safeMode: z.boolean(),
      servers: z.array(
        z.strictObject({
          number: ServerNumber,
          name: Name,
          host: z.string(),
          port: z.int(),
          state: ServerState,
          usedBytes: Bytes,
          freeBytes: Bytes,
          /** Its disk is full or failing: it serves what it has and takes nothing new. */
          readOnly: z.boolean(),
          /** Good replicas in the catalog. */
          blobs: Bytes,
          lastSeenMs: TimeMs.nullable(),
        }),
      ),
      /** Committed blobs to which a current chunk points. lost: no good replica on any server that
       * is not dead. underReplicated: fewer than wanted, lost ones included. */
      blobs: z.strictObject({ total: Bytes, underReplicated: Bytes, lost: Bytes }),
      snapshots: Bytes,
      sessions: Bytes,
    }),
  },

  // — server → manager —

  /** First call of a server on each connection. */
  'server.register': {
    request: z.strictObject({
      number: ServerNumber,
      name: Name,
      host: z.string().min(1).max(255),
      port: z.int().min(1).max(65_535),
      load: Load,
    }),
    response: z.strictObject({
      clusterId: ClusterId,
      /** Counts the manager's catalogs: a new one starts with a higher epoch. */
      epoch: z.int().min(1),
      operation: Bytes,
      heartbeatMs: z.number().positive(),
      /** True: send a full block report now. */
      wantsReport: z.boolean(),
      /** Differs from what the server has: ask for cluster.directory. */
      trustVersion: Bytes,
    }),
  },
  'server.heartbeat': {
    request: z.strictObject({ number: ServerNumber, load: Load }),
    response: z.strictObject({
      epoch: z.int().min(1),
      operation: Bytes,
      wantsReport: z.boolean(),
      trustVersion: Bytes,
    }),
  },
  /** A full block report, in pages of one report id; the last page makes it count. Replicas that
   * the catalog has and the report lacks (or has with another size) are no longer good. */
  'server.report': {
    request: z.strictObject({
      number: ServerNumber,
      reportId: hex(16, 'a report id'),
      page: z.int().min(0),
      last: z.boolean(),
      blobs: z.array(BlobEntry).max(LIMITS.blobsPerReportPage),
    }),
    response: z.strictObject({ unknown: Bytes, missing: Bytes }),
  },
  /** Assigns a backup server for a blob that this server receives. The request may come before
   * all bytes have. */
  'backup-server.assign': {
    request: z.strictObject({
      blobId: BlobId,
      sizeBytes: z.int().min(1).max(LIMITS.blobSizeBytesMax),
      /** The grant that came with the blob. */
      grant: Grant,
      exclude: z.array(ServerNumber).max(64),
    }),
    response: z.strictObject({ server: ServerAddress, grant: Grant }),
  },
  /** "This server has the blob on disk." The primary sends the blob's index and waits until both
   * replicas are reported and committed; the backup server's report is only noted. The manager
   * commits both in one transaction. Safe to resend. */
  'replica.stored': {
    request: z.strictObject({
      number: ServerNumber,
      blobId: BlobId,
      sizeBytes: z.int().min(1).max(LIMITS.blobSizeBytesMax),
      grant: Grant,
      /** The blob's trailer as stored (docs/storage-format.md); only the primary sends it. */
      index: binary.optional(),
    }),
    response: z.strictObject({
      /** pending: another replica's report is awaited (to the primary: after a wait). */
      state: z.enum(['pending', 'committed']),
      servers: z.array(ServerNumber),
    }),
  },

  // — client → server, server → server —

  /** Store this blob and see that a backup server has it too. Body: the blob's bytes. Answers when
   * both replicas are on disk and in the catalog, never earlier; at once when they already are. */
  'blob.store': {
    request: z.strictObject({
      repositoryId: RepositoryId,
      blobId: BlobId,
      sizeBytes: z.int().min(1).max(LIMITS.blobSizeBytesMax),
      grant: Grant,
    }),
    /** Progress, for screens only. */
    note: z.strictObject({
      storedBytes: Bytes,
      forwardedBytes: Bytes,
      backupServer: ServerNumber.nullable(),
    }),
    response: z.strictObject({ servers: z.array(ServerNumber).min(1) }),
  },
  /** Keep a second copy. Body: the blob's bytes. Answers when it is on disk and reported; at once,
   * without reading the body, when it was there already. */
  'blob.replicate': {
    request: z.strictObject({
      repositoryId: RepositoryId,
      blobId: BlobId,
      sizeBytes: z.int().min(1).max(LIMITS.blobSizeBytesMax),
      grant: Grant,
    }),
    response: z.strictObject({ number: ServerNumber }),
  },
  /** Byte ranges of a blob, one after the other in the body. NOT_FOUND, CORRUPT: ask elsewhere. */
  'blob.fetch': {
    request: z.strictObject({
      repositoryId: RepositoryId,
      blobId: BlobId,
      grant: Grant,
      ranges: z
        .array(
          z.strictObject({ offset: Bytes, length: z.int().min(1).max(LIMITS.blobSizeBytesMax) }),
        )
        .min(1)
        .max(LIMITS.rangesPerFetch),
    }),
    response: z.strictObject({ lengthBytes: Bytes }),
  },
} as const

export type Method = keyof typeof MESSAGES
export type RequestOf<M extends Method> = z.infer<(typeof MESSAGES)[M]['request']>
export type ResponseOf<M extends Method> = z.infer<(typeof MESSAGES)[M]['response']>
export type NoteOf<M extends Method> = (typeof MESSAGES)[M] extends {
  note: infer N extends z.ZodType
}
  ? z.infer<N>
  : never
export type ServerAddress = z.infer<typeof ServerAddress>
export type ServerState = z.infer<typeof ServerState>
export type SnapshotFields = z.infer<typeof SnapshotFields>
