// src/client/events.ts — what does the engine tell a screen, and what does a command end with?
import type { ErrorCode } from '../errors.ts'

/** Something that did not go as asked; the rest went on, and the exit code says so. */
export interface Problem {
  /** Null: not about one file. */
  readonly path: Buffer | null
  /** Of the system (EACCES, ENOENT …), of holdfast (CORRUPT …), or CHANGED for a moving file. */
  readonly code: string
  /** One sentence for a person. */
  readonly message: string
}

export interface ServerRef {
  readonly number: number
  /** Empty when it is not known (yet). */
  readonly name: string
}

/** Called synchronously and often: must be quick and must not throw. */
export type OnEvent = (event: ClientEvent) => void

export type ClientEvent =
  /** `pass` above 1: pieces that lost a copy, or a session, are asked for and sent again. */
  | {
      readonly type: 'phase'
      readonly phase: 'connect' | 'backup' | 'commit' | 'restore' | 'done'
      readonly pass: number
    }
  | {
      readonly type: 'notice'
      readonly code: 'KEY_CREATED' | 'DROPPED' | 'SESSION_RENEWED' | 'RESENDING'
      readonly message: string
    }
  /** The manager or the servers are away; the command goes on by itself when they are back. */
  | { readonly type: 'waiting'; readonly code: ErrorCode; readonly message: string }
  | { readonly type: 'resumed' }
  /** From the scan that runs alongside: what there is to do. */
  | { readonly type: 'total'; files: number; bytes: number; final: boolean }
  | {
      readonly type: 'file'
      readonly state: 'started' | 'finished' | 'unmodified' | 'skipped'
      readonly path: Buffer
      readonly sizeBytes: number
    }
  /** Totals so far. `bytes`: of files dealt with; `storedBytes`: of blobs that two servers hold
   * (backup) or that were fetched (restore). */
  | {
      readonly type: 'progress'
      files: number
      bytes: number
      newBytes: number
      storedBytes: number
    }
  | {
      readonly type: 'blob'
      readonly state: 'assigned' | 'sending' | 'replicated' | 'failed'
      readonly blobId: string
      readonly sizeBytes: number
      readonly primary: ServerRef | null
      readonly backupServer: ServerRef | null
      /** Bytes that the primary has taken, and that the backup server has. */
      readonly storedBytes: number
      readonly forwardedBytes: number
      readonly message: string
    }
  | { readonly type: 'problem'; readonly problem: Problem }
  /** A server holds bytes that do not match their id; the other replica was taken. */
  | {
      readonly type: 'bad-replica'
      readonly server: ServerRef
      readonly blobId: string
      readonly message: string
    }

export interface BackupSummary {
  /** 64 hex digits. */
  readonly snapshot: string
  readonly parent: string | null
  readonly files: number
  readonly folders: number
  /** Symlinks, fifos, sockets, devices. */
  readonly others: number
  readonly newFiles: number
  readonly changedFiles: number
  readonly unmodifiedFiles: number
  /** Sizes of all regular files in the snapshot. */
  readonly bytes: number
  /** Plaintext of the chunks that were sent, data and trees; of a large file that changed while it
   * was read, of both readings. */
  readonly newBytes: number
  /** Blobs that were sent, counting one copy. */
  readonly storedBytes: number
  readonly blobs: number
  readonly seconds: number
  /** Entries left out: unreadable, vanished. */
  readonly skipped: number
  /** All problems, also those beyond `problems`. */
  readonly warnings: number
  /** The first 1,000. */
  readonly problems: readonly Problem[]
  /** What is kept in part or not at all, in words. */
  readonly notices: readonly string[]
  readonly exitCode: 0 | 3
}

export interface RestoreSummary {
  readonly snapshot: string
  readonly files: number
  readonly folders: number
  readonly others: number
  /** Sizes of the regular files that are right now. */
  readonly bytes: number
  readonly writtenBytes: number
  /** Files that were right before. */
  readonly skippedFiles: number
  readonly seconds: number
  readonly warnings: number
  readonly problems: readonly Problem[]
  readonly notices: readonly string[]
  readonly badReplicas: readonly { readonly server: ServerRef; readonly blobId: string }[]
  readonly exitCode: 0 | 3
}

const PROBLEMS_KEPT = 1000

/** Counts problems and keeps the first; each also goes to the screen at once. */
export class Problems {
  readonly #onEvent: OnEvent
  readonly list: Problem[] = []
  count = 0
  constructor(onEvent: OnEvent) {
    this.#onEvent = onEvent
  }

  add(problem: Problem): void {
    this.count += 1
    if (this.list.length < PROBLEMS_KEPT) this.list.push(problem)
    this.#onEvent({ type: 'problem', problem })
  }
}
