// src/client/backup/entry-window.ts — how do entries reach the tree in order while some are not ready?

/** One step of building the tree. Steps run in the order of `push`, each once it is ready. */
export interface Slot {
  ready: boolean
  run(): void
}

/** The entries between the walk and the tree: most are ready at once, unchanged files wait for the
 * manager's word that their chunks are still there. */
export class EntryWindow {
  #slots: (Slot | null)[] = []
  #head = 0

  get size(): number {
    return this.#slots.length - this.#head
  }

  push(slot: Slot): void {
    this.#slots.push(slot)
    if (this.size === 1) this.drain()
  }

  /** Runs what is ready at the head. Called whenever a slot became ready. */
  drain(): void {
    while (this.#head < this.#slots.length && this.#slots[this.#head]!.ready) {
      const slot = this.#slots[this.#head]!
      this.#slots[this.#head] = null
      this.#head += 1
      slot.run()
    }
    // Cut off what is done, now and then rather than each time.
    if (this.#head === this.#slots.length || this.#head > 4096) {
      this.#slots = this.#slots.slice(this.#head)
      this.#head = 0
    }
  }
}
