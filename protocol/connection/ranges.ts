// protocol/connection/ranges.ts — which whole numbers have been seen? Sorted, disjoint, half-open.

/** A set of numbers kept as ranges [start, end). Cheap where additions come mostly in order. */
export class RangeSet {
  readonly starts: number[] = []
  readonly ends: number[] = []

  get count(): number {
    return this.starts.length
  }

  get isEmpty(): boolean {
    return this.starts.length === 0
  }

  /** The index of the first range whose end is >= value. */
  #find(value: number): number {
    let low = 0
    let high = this.ends.length
    // Additions at the top are the common case by far.
    if (high > 0 && (this.ends[high - 1] as number) < value) return high
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.ends[middle] as number) < value) low = middle + 1
      else high = middle
    }
    return low
  }

  has(value: number): boolean {
    const index = this.#find(value + 1)
    return index < this.starts.length && (this.starts[index] as number) <= value
  }

  /** Adds [start, end) and merges what touches. */
  add(start: number, end: number): void {
    if (start >= end) return
    const first = this.#find(start)
    let last = first
    let low = start
    let high = end
    while (last < this.starts.length && (this.starts[last] as number) <= end) {
      low = Math.min(low, this.starts[last] as number)
      high = Math.max(high, this.ends[last] as number)
      last += 1
    }
    if (last === first + 1) {
      this.starts[first] = low
      this.ends[first] = high
      return
    }
    this.starts.splice(first, last - first, low)
    this.ends.splice(first, last - first, high)
  }

  /** Removes [start, end). */
  remove(start: number, end: number): void {
    if (start >= end) return
    let index = this.#find(start + 1)
    while (index < this.starts.length && (this.starts[index] as number) < end) {
      const low = this.starts[index] as number
      const high = this.ends[index] as number
      const pieces: [number, number][] = []
      if (low < start) pieces.push([low, start])
      if (high > end) pieces.push([end, high])
      this.starts.splice(index, 1, ...pieces.map((piece) => piece[0]))
      this.ends.splice(index, 1, ...pieces.map((piece) => piece[1]))
      index += pieces.length
    }
  }

  /** Removes what `other` holds of [start, end). */
  removeAll(other: RangeSet, start: number, end: number): void {
    for (let i = other.#find(start + 1); i < other.count; i += 1) {
      const low = other.starts[i] as number
      if (low >= end) return
      this.remove(Math.max(low, start), Math.min(other.ends[i] as number, end))
    }
  }

  removeFirst(): void {
    this.starts.shift()
    this.ends.shift()
  }

  clear(): void {
    this.starts.length = 0
    this.ends.length = 0
  }
}
