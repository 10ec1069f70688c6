// src/manager/pending-blobs.ts — which replicas were reported whose blob is not committed yet?
import type { BlobIndex } from '../chunk/index.ts'

export interface PendingBlob {
  readonly blobId: string
  readonly sizeBytes: number
  readonly repositoryId: string
  readonly servers: Set<number>
  /** From the primary's report. */
  index: BlobIndex | null
  readonly sinceMs: number
  /** Set while the commit is under way: every report shares it. */
  commit: Promise<void> | null
  readonly waiters: (() => void)[]
}

const PENDING_MAX = 65_536

/** In memory only: a report that a restart forgets is simply made again. */
export class PendingBlobs {
  readonly #blobs = new Map<string, PendingBlob>()

  note(
    report: { blobId: string; sizeBytes: number; repositoryId: string; server: number },
    index: BlobIndex | null,
    nowMs: number,
  ): PendingBlob {
    const known = this.#blobs.get(report.blobId)
    const { blobId, sizeBytes, repositoryId } = report
    const pending: PendingBlob = known ?? {
      blobId,
      sizeBytes,
      repositoryId,
      servers: new Set(),
      index: null,
      sinceMs: nowMs,
      commit: null,
      waiters: [],
    }
    pending.servers.add(report.server)
    if (index) pending.index = index
    this.#blobs.set(blobId, pending)
    if (this.#blobs.size > PENDING_MAX) this.#dropOldest()
    return pending
  }

  get(blobId: string): PendingBlob | undefined {
    return this.#blobs.get(blobId)
  }

  /** What this server said of its disk is void, but for the blobs that it lists. It says so again:
   * the primary asks a backup server whose report got lost once more. */
  forget(server: number, listed: ReadonlySet<string>): void {
    for (const pending of this.#blobs.values()) {
      if (!listed.has(pending.blobId)) pending.servers.delete(server)
    }
  }

  /** Whoever began these has given up long ago. */
  lapse(sinceBeforeMs: number): void {
    for (const pending of this.#blobs.values()) {
      if (pending.sinceMs < sinceBeforeMs && !pending.commit) this.settle(pending.blobId)
    }
  }

  settle(blobId: string): void {
    const pending = this.#blobs.get(blobId)
    this.#blobs.delete(blobId)
    for (const wake of pending?.waiters ?? []) wake()
  }

  #dropOldest(): void {
    for (const [blobId, pending] of this.#blobs) {
      if (pending.commit) continue
      this.settle(blobId)
      return
    }
  }

  get size(): number {
    return this.#blobs.size
  }
}
