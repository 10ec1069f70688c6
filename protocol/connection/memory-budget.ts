// protocol/connection/memory-budget.ts — how much memory may all connections of an endpoint hold?
//
// Counted is what peers may make us hold (receive windows, or what waits unread where that is more)
// and what we hold for them (send buffers). Windows are promises: not all are kept at once, so the
// budget bounds what is likely, and the windows what is possible.

/** From here on windows stay as they are … */
const GROWTH_RATIO = 0.8
/** … and from here on they shrink, and nobody new is let in. */
const SCARCE_RATIO = 0.95

export class MemoryBudget {
  readonly limitBytes: number
  usedBytes = 0

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  allowsGrowth(bytes: number): boolean {
    return this.usedBytes + bytes <= this.limitBytes * GROWTH_RATIO
  }

  get isScarce(): boolean {
    return this.usedBytes > this.limitBytes * SCARCE_RATIO
  }
}

/** What one connection holds of it. */
export class MemoryShare {
  readonly budget: MemoryBudget
  #bytes = 0
  #isReleased = false

  constructor(budget: MemoryBudget) {
    this.budget = budget
  }

  add(bytes: number): void {
    if (this.#isReleased) return
    this.#bytes += bytes
    this.budget.usedBytes += bytes
  }

  /** The connection is over: nothing counts any more, whoever still holds a part of it. */
  release(): void {
    this.budget.usedBytes -= this.#bytes
    this.#bytes = 0
    this.#isReleased = true
  }
}
