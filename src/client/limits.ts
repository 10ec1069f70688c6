// src/client/limits.ts — how much memory and how many requests may one command use?
//
// A backup holds at most, whatever the sizes and number of files:
//   pendingBytes      plaintext read and not yet sealed into a blob
//   asideBytes        plaintext of chunks that another client is sending just now
//   (blobsInFlight + 2) × 8 MiB   sealed blobs on their way, and the two being filled
//   about 12 MiB      entries between the walk and the tree, per-folder tree nodes, read buffers
// that is 32 + 32 + 64 + 12 = 140 MiB with the defaults in the worst case (all blobs at 8 MiB);
// 90 MiB in practice. To that come the names of the folders on the current path (source/walk.ts).
// A restore holds at most restoreBatches × restoreBatchBytes plus fetchesInFlight chunks of 4 MiB
// twice (sealed and open), that is 2 × 16 + 6 × 8 = 80 MiB, and a record per hard-linked file.

export interface ClientLimits {
  readonly pendingBytes: number
  readonly asideBytes: number
  readonly blobsInFlight: number
  /** Questions to the manager at once. */
  readonly queriesInFlight: number
  /** Entries read ahead of the tree, while the manager is asked about them. */
  readonly entriesAhead: number
  readonly restoreBatchBytes: number
  readonly restoreBatches: number
  readonly fetchesInFlight: number
  /** Tree nodes kept while walking a stored tree. */
  readonly treeCacheBytes: number
}

const MIB = 2 ** 20

export const CLIENT_LIMITS: ClientLimits = {
  pendingBytes: 32 * MIB,
  asideBytes: 32 * MIB,
  blobsInFlight: 6,
  queriesInFlight: 4,
  entriesAhead: 8192,
  restoreBatchBytes: 16 * MIB,
  restoreBatches: 2,
  fetchesInFlight: 6,
  treeCacheBytes: 16 * MIB,
}

/** How long things may take; tests shorten them. */
export interface ClientTiming {
  /** How long a command waits for a manager that is away or in safe mode. */
  readonly managerWaitMs: number
  /** How long it waits for servers to come up, unless told to wait. */
  readonly serversWaitMs: number
  /** Between questions about chunks that another client is sending. */
  readonly pollMs: number
  /** A server without a connection after so long is left for the other copy, where there is one. */
  readonly connectMs: number
  /** Without a byte either way a transfer counts as failed. */
  readonly stallMs: number
  /** The session and its claims are touched at least this often. */
  readonly touchMs: number
  /** First and longest wait between tries of one thing; doubles in between. */
  readonly backoffMs: number
  readonly backoffMsMax: number
}

export const CLIENT_TIMING: ClientTiming = {
  managerWaitMs: 60_000,
  serversWaitMs: 8_000,
  pollMs: 300,
  connectMs: 750,
  stallMs: 15_000,
  touchMs: 2_500, // claims live 10 s: three touches may be lost
  backoffMs: 100,
  backoffMsMax: 2_000,
}
