// src/server/timing.ts — how long does a server wait for whom, and how much does it take on?

export interface ServerTiming {
  /** The manager may ask for another rhythm when it answers the registration. */
  readonly heartbeatMs: number
  /** For registrations and heartbeats; two missed in a row and the manager is dialled again. */
  readonly heartbeatDeadlineMs: number
  /** One attempt to reach the manager. Short: a handshake that began before the manager was up
   * repeats itself ever more slowly, a fresh one is answered at once. */
  readonly dialMs: number
  readonly redialMsMin: number
  readonly redialMsMax: number
  /** Pause before a manager of another cluster is asked again. */
  readonly refusedMs: number
  /** One request to the manager about a blob. It may hold the answer until both replicas are in. */
  readonly managerCallMs: number
  /** A backup server reports its replica for so long before it gives up on the manager. */
  readonly backupReportMs: number
  /** A sender whose next bytes take longer has gone. */
  readonly senderStallMs: number
  /** A second request for a blob takes over from a first that got no bytes for so long. */
  readonly takeOverMs: number
  /** A backup server that takes no bytes for so long is replaced. */
  readonly backupStallMs: number
  /** A backup server that has all bytes and does not answer is replaced. Longer for each attempt:
   * where all disks are slow, replacing one by the next helps nobody. */
  readonly backupAnswerMs: number
  /** The backup server has answered, the manager still waits for its report: ask it again. */
  readonly pendingMs: number
  /** From the last byte to the end of all attempts to have a blob committed. */
  readonly confirmMs: number
  /** So long after a registration "not enough servers" may only mean that the manager has just
   * restarted and the others are still on their way to it. */
  readonly gatheringMs: number
  readonly retryMsMin: number
  readonly retryMsMax: number
  /** A blob that was held already: how long the manager may take to say that it is committed
   * before the backup server is bothered. */
  readonly heldMs: number
  /** Between two progress notes. */
  readonly noteMs: number
  /** A reader that takes nothing for so long loses its buffers. */
  readonly readerStallMs: number
}

export const DEFAULT_TIMING: ServerTiming = {
  heartbeatMs: 2_000,
  heartbeatDeadlineMs: 3_000,
  dialMs: 1_500,
  redialMsMin: 100,
  redialMsMax: 1_000,
  refusedMs: 5_000,
  managerCallMs: 10_000,
  backupReportMs: 15_000,
  senderStallMs: 30_000,
  takeOverMs: 2_000,
  backupStallMs: 5_000,
  backupAnswerMs: 6_000,
  pendingMs: 2_000,
  confirmMs: 60_000,
  gatheringMs: 8_000,
  retryMsMin: 100,
  retryMsMax: 1_000,
  heldMs: 300,
  noteMs: 100,
  readerStallMs: 60_000,
}

export interface ServerLimits {
  /** Blobs that clients store here at once; each costs up to 2.5 MiB of memory. */
  readonly storesMax: number
  /** Blobs that other servers copy here at once; as costly. Apart from the clients' ones: servers
   * that back each other up would otherwise wait in a circle. */
  readonly replicatesMax: number
  /** What all readers together may hold in memory. */
  readonly fetchBytesMax: number
  /** Requests that may wait for one of these, each; beyond, the server says that it is busy. */
  readonly waitersMax: number
  /** Backup servers tried for one blob. */
  readonly backupAttemptsMax: number
}

export const DEFAULT_LIMITS: ServerLimits = {
  storesMax: 16,
  replicatesMax: 16,
  fetchBytesMax: 48 * 2 ** 20,
  waitersMax: 1024,
  backupAttemptsMax: 6,
}
