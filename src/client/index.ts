// src/client/index.ts — what do the command line and the terminal UI use of the engine?
export type { BackupRequest } from './backup/backup.ts'
export {
  Client,
  type ClientOptions,
  type ClusterStatus,
  type CommandOptions,
} from './client.ts'
export type {
  BackupSummary,
  ClientEvent,
  OnEvent,
  Problem,
  RestoreSummary,
  ServerRef,
} from './events.ts'
export type { ClientLimits, ClientTiming } from './limits.ts'
export type { ListedFile, SnapshotInfo } from './listing.ts'
export { type OpenClientOptions, openClient } from './open.ts'
export { displayPath } from './path.ts'
export type { RestoreRequest } from './restore/restore.ts'
export type { Whereabouts } from './where.ts'
