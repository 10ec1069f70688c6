// src/server/block-report.ts — how does the manager learn all that a server holds?
//
// A blob that the catalog has here and the report lacks is no longer good. So a blob must never be
// reported stored before a report that was put together without it arrives: the last page is made
// and sent while the gate is closed, and reports of single replicas wait at the gate.
import { LIMITS, type RequestOf } from '../messages.ts'
import type { BlobEntry, BlobStore } from './store/blob-store.ts'

export class ReportGate {
  #open: Promise<void> = Promise.resolve()

  /** Resolves when single replicas may be reported. */
  async pass(): Promise<void> {
    let seen: Promise<void> | null = null
    while (seen !== this.#open) {
      seen = this.#open
      await seen
    }
  }

  /** Keeps the gate closed until `act` has ended, however it ends. */
  async hold(act: () => Promise<unknown>): Promise<void> {
    const done = act()
    this.#open = done.then(
      () => {},
      () => {},
    )
    await done
  }
}

export interface ReportOptions {
  readonly number: number
  readonly reportId: string
  readonly store: BlobStore
  readonly gate: ReportGate
  readonly send: (page: RequestOf<'server.report'>) => Promise<{ unknown: number; missing: number }>
}

/** Sends all pages, one after the other. Memory: one page. Rejects as `send` does; a report whose
 * last page did not arrive never counted. */
export async function sendReport(options: ReportOptions): Promise<{ blobs: number }> {
  const { number, reportId, store, gate, send } = options
  // The walk is live: what is stored between two pages is in one of the later ones.
  const entries = store.list()[Symbol.iterator]()
  let blobs = 0
  let next = entries.next()
  for (let page = 0; ; page += 1) {
    const listed: BlobEntry[] = []
    while (!next.done && listed.length < LIMITS.blobsPerReportPage) {
      listed.push(next.value)
      next = entries.next()
    }
    blobs += listed.length
    const last = next.done === true
    const request = { number, reportId, page, last, blobs: listed }
    if (!last) await send(request)
    else {
      // No await between the end of the walk and the closed gate.
      await gate.hold(() => send(request))
      return { blobs }
    }
  }
}
