// src/client/backup/recent-ids.ts — which chunks need no second question in this backup?

// Two generations of this many ids, about 120 bytes each: 30 MiB at most, 128 GiB of file data.
const GENERATION = 131_072

/** A set that forgets its oldest half when it is full. Forgetting costs one more question to the
 * manager, nothing else. */
export class RecentIds {
  #young = new Set<string>()
  #old = new Set<string>()

  add(id: string): void {
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young
      this.#young = new Set()
    }
    this.#young.add(id)
  }

  has(id: string): boolean {
    return this.#young.has(id) || this.#old.has(id)
  }
}
