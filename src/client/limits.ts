// src/client/limits.ts — how much memory and how many requests may one command use?
//
// What a command means to hold at once, whatever the sizes and number of files. A backup:
//   pendingBytes      plaintext read and not yet sealed into a blob
//   asideBytes        plaintext of chunks that another client is sending just now
//   (blobsInFlight + 2) × 8 MiB   sealed blobs on their way, and the two being filled
//   30 MiB            ids that need no second question (backup/recent-ids.ts)
//   treeCacheBytes, and half as much on its way    nodes of the parent
//   about 12 MiB      entries between the walk and the tree, per-folder tree nodes, read buffers
// that is 32 + 32 + 64 + 30 + 24 + 12 = 194 MiB in the worst case (all blobs at 8 MiB). To that come
// the names of the folders on the current path (source/walk.ts).
// A restore: fetchesInFlight chunks of 4 MiB three times (sealed, opened, decompressed) = 72 MiB, the
// tree nodes 24 MiB, some 12,000 files that wait for their chunks, 2 KiB each = 24 MiB: 120 MiB, and
// a record per hard-linked file.
//
// To this comes the runtime, 115 MiB (the highest that `snapshots` takes), and garbage that Node has
// not looked at yet: some 30 MiB with the launcher's --max-semi-space-size=8, 100 MiB with Node's own
// default. Highest resident size measured, all in all, on 2 cores under load, before and after it
// was looked into:
//   backup of 47,807 files, 1.7 GiB, unchanged        365 → 262 MiB      (first: 291)
//   backup of one file of 3 GB                              273 MiB
//   restore of 47,807 files, 1.7 GiB                  579 → 309 MiB
//   restore of 33,914 files, 208 MiB                  374 → 180 MiB (sampled every 4 s)
// The first restore still crept from 190 to 250 MiB between peaks, with what lives level: the C
// library keeps holes of small buffers. Mapping those from 32 KiB on changed nothing that shows.

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
