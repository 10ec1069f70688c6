// test/sim/schedule.ts — what happens next, and what time is it then? Nothing here waits.

interface Happening {
  readonly atMs: number
  /** Equal times happen in the order in which they were planned. */
  readonly order: number
  readonly act: () => void
}

const isBefore = (a: Happening, b: Happening): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)

/** A binary heap of (time, order, act). */
export class Schedule {
  nowMs = 0
  #order = 0
  readonly #heap: Happening[] = []

  /** Plans `act`; a time in the past is a mistake of the simulator. */
  at(atMs: number, act: () => void): void {
    if (!(atMs >= this.nowMs)) throw new Error(`planned for ${atMs}, and it is ${this.nowMs}`)
    const heap = this.#heap
    const happening = { atMs, order: this.#order++, act }
    let index = heap.length
    heap.push(happening)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(happening, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = happening
  }

  after(delayMs: number, act: () => void): void {
    this.at(this.nowMs + delayMs, act)
  }

  /** Moves the time on to what comes next and does it. False when nothing is planned up to
   * `untilMs`; the time is then `untilMs`. */
  step(untilMs: number): boolean {
    const next = this.#heap[0]
    if (!next || next.atMs > untilMs) {
      this.nowMs = Math.max(this.nowMs, untilMs)
      return false
    }
    this.#removeFirst()
    this.nowMs = next.atMs
    next.act()
    return true
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}
