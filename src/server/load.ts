// src/server/load.ts — what does a heartbeat say of the disk, even when the disk hangs?
import type { RequestOf } from '../messages.ts'
import type { Log } from './log.ts'
import type { BlobStore, StoreUsage } from './store/blob-store.ts'

/** The figures of the last look, while a new one is under way: a heartbeat that waited for a slow
 * disk would make the whole server look dead. */
export class Load {
  readonly #store: BlobStore
  readonly #active: () => number
  readonly #log: Log
  #usage: StoreUsage | null = null
  #looking: Promise<StoreUsage> | null = null

  constructor(store: BlobStore, active: () => number, log: Log) {
    this.#store = store
    this.#active = active
    this.#log = log
  }

  async current(): Promise<RequestOf<'server.heartbeat'>['load']> {
    this.#looking ??= this.#look()
    const { usedBytes, freeBytes, blobs, readOnly } = this.#usage ?? (await this.#looking)
    return { usedBytes, freeBytes, blobs, readOnly, active: this.#active() }
  }

  async #look(): Promise<StoreUsage> {
    const usage = await this.#store.usage()
    this.#sayChange(usage)
    this.#usage = usage
    this.#looking = null
    return usage
  }

  /** Once per change, so that an operator finds the moment in the log. */
  #sayChange({ readOnly, freeBytes }: StoreUsage): void {
    if (readOnly === (this.#usage?.readOnly ?? false)) return
    if (readOnly) {
      const advice = 'free space or look at the disk; what is stored stays readable'
      this.#log.warn(`the disk is full or failing: nothing new is taken; ${advice}`, { freeBytes })
    } else this.#log.info('the disk has room again', { freeBytes })
  }
}
