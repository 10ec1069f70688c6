// protocol/connection/deadlines.ts — which of many connections is due first?

interface Entry<T> {
  readonly dueMs: number
  readonly owner: T
}

/** A deadline may lie in the heap so often after it was moved on, per owner, before it is swept. */
const STALE_RATIO_MAX = 4
const STALE_MIN = 64

/** A binary heap. A deadline that moves leaves its old entry behind, which is passed over later:
 * cheaper than to look for it, where most move with every packet. */
export class Deadlines<T> {
  readonly #dueMs = new Map<T, number>()
  #heap: Entry<T>[] = []

  /** Infinity: none. */
  set(owner: T, dueMs: number): void {
    if (this.#dueMs.get(owner) === dueMs) return
    this.#dueMs.set(owner, dueMs)
    if (dueMs === Number.POSITIVE_INFINITY) return
    this.#push({ dueMs, owner })
    if (this.#heap.length > STALE_MIN + STALE_RATIO_MAX * this.#dueMs.size) this.#sweep()
  }

  delete(owner: T): void {
    this.#dueMs.delete(owner)
  }

  get firstMs(): number {
    return this.#first()?.dueMs ?? Number.POSITIVE_INFINITY
  }

  /** Takes out one that is due; null when there is none. */
  takeDue(nowMs: number): T | null {
    const first = this.#first()
    if (!first || first.dueMs > nowMs) return null
    this.#dueMs.delete(first.owner)
    return first.owner
  }

  #isCurrent(entry: Entry<T>): boolean {
    return this.#dueMs.get(entry.owner) === entry.dueMs
  }

  #first(): Entry<T> | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (!first || this.#isCurrent(first)) return first
      this.#removeFirst()
    }
  }

  #sweep(): void {
    const current = [...this.#dueMs].map(([owner, dueMs]) => ({ dueMs, owner }))
    // In order it is a heap already.
    this.#heap = current
      .filter(({ dueMs }) => dueMs !== Number.POSITIVE_INFINITY)
      .sort((a, b) => a.dueMs - b.dueMs)
  }

  #push(entry: Entry<T>): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((heap[parent] as Entry<T>).dueMs <= entry.dueMs) break
      heap[at] = heap[parent] as Entry<T>
      at = parent
    }
    heap[at] = entry
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop() as Entry<T>
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right && right.dueMs < (heap[child] as Entry<T>).dueMs) child += 1
      if ((heap[child] as Entry<T>).dueMs >= last.dueMs) break
      heap[at] = heap[child] as Entry<T>
      at = child
    }
    heap[at] = last
  }
}
