// src/client/backup/counts.ts — what did one pass over the sources meet?
import type { OnEvent } from '../events.ts'

const PROGRESS_MS = 100

/** Plain counters, and the throttled event that shows them. */
export class Counts {
  files = 0
  folders = 0
  others = 0
  newFiles = 0
  changedFiles = 0
  unmodifiedFiles = 0
  skipped = 0
  /** Dealt with so far: read, or found unmodified. */
  bytes = 0
  /** Sizes of the files in the tree. */
  sizes = 0
  sockets = 0
  virtualFolders = 0
  withXattrs = 0
  #nextAtMs = 0

  /** Tells the screen, at most ten times a second. */
  report(
    nowMs: number,
    sent: { readonly newBytes: number; readonly storedBytes: number },
    onEvent: OnEvent,
    always = false,
  ): void {
    if (!always && nowMs < this.#nextAtMs) return
    this.#nextAtMs = nowMs + PROGRESS_MS
    const { newBytes, storedBytes } = sent
    onEvent({ type: 'progress', files: this.files, bytes: this.bytes, newBytes, storedBytes })
  }

  /** In words: what a restore will not bring back. */
  notices(): string[] {
    const notices: string[] = []
    if (this.withXattrs > 0) {
      notices.push(
        `not kept yet: extended attributes (ACLs too), which ${this.withXattrs} of the entries have`,
      )
    }
    if (this.virtualFolders > 0) {
      notices.push(`${this.virtualFolders} folders made up by the kernel are kept empty`)
    }
    if (this.sockets > 0)
      notices.push(`${this.sockets} sockets are listed; programs make them anew`)
    return notices
  }
}
