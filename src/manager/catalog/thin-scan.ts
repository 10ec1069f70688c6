// src/manager/catalog/thin-scan.ts — must all blobs be counted again to know that none is thin?
import type { Transaction } from 'kysely'
import type { Quorum } from './catalog.ts'
import { thinBlobs } from './replication.ts'
import type { Tables } from './schema.ts'

/** Remembers that no blob was thin, until something may have made one so: a commit then costs what
 * has changed, not a look at each blob there is. The catalog has one writer, and this is with it. */
export class ThinScan {
  /** The servers that counted when nothing was thin, and the doubts there were by then. */
  #whole: { live: ReadonlySet<number>; wanted: number; doubts: number } | null = null
  #doubts = 0

  /** A copy is no longer good, or a blob came with fewer than it should have. */
  doubt(): void {
    this.#doubts += 1
  }

  /** In a transaction: is no blob thin? `confirm` it once that transaction is committed. */
  async look(
    tx: Transaction<Tables>,
    { live, wanted }: Quorum,
  ): Promise<{ isWhole: boolean; confirm: () => void }> {
    const known = this.#whole
    const holds =
      known?.doubts === this.#doubts &&
      known.wanted >= wanted &&
      known.live.isSubsetOf(new Set(live))
    if (holds) return { isWhole: true, confirm: () => undefined }
    const doubts = this.#doubts
    const thin = await thinBlobs(tx, { live, wanted }).limit(1).executeTakeFirst()
    if (thin) return { isWhole: false, confirm: () => undefined }
    const confirm = (): void => {
      this.#whole = { live: new Set(live), wanted, doubts }
    }
    return { isWhole: true, confirm }
  }
}
