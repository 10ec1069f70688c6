// src/server/load.ts — what does a heartbeat say of the disk, even when the disk hangs?
import type { RequestOf } from '../messages.ts'
import type { BlobStore, StoreUsage } from './store/blob-store.ts'

/** The figures of the last look, while a new one is under way: a heartbeat that waited for a slow
 * disk would make the whole server look dead. */
export class Load {
  readonly #store: BlobStore
  readonly #active: () => number
  #usage: StoreUsage | null = null
  #looking: Promise<StoreUsage> | null = null

  constructor(store: BlobStore, active: () => number) {
    this.#store = store
    this.#active = active
  }

  async current(): Promise<RequestOf<'server.heartbeat'>['load']> {
    this.#looking ??= this.#look()
    const { usedBytes, freeBytes, blobs, readOnly } = this.#usage ?? (await this.#looking)
    return { usedBytes, freeBytes, blobs, readOnly, active: this.#active() }
  }

  async #look(): Promise<StoreUsage> {
    const usage = await this.#store.usage()
    this.#usage = usage
    this.#looking = null
    return usage
  }
}
