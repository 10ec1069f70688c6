// protocol/connection/scheduler.ts — whose turn is it? Strict urgencies, round robin inside one.
//
//   urgency 0 … 7, first the streams that repeat what was lost, then the others in turn, 64 KiB each;
//   what is last of all that waits still gets a twentieth of the bytes
import { QUANTUM_BYTES } from './limits.ts'
import type { SendStream } from './send-stream.ts'

const URGENCIES = 8
/** Bytes for the last class per byte of the others: 5 % of all. */
const FLOOR_RATIO = 0.05 / 0.95
/** What the last class can save up while others send. */
const FLOOR_BYTES_MAX = QUANTUM_BYTES

interface Entry {
  readonly stream: SendStream
  sentBytes: number
}

interface UrgencyClass {
  /** Streams with something to send, in turn. */
  readonly turns: Entry[]
  /** Those of them that have something to repeat. */
  readonly losers: SendStream[]
}

export class Scheduler {
  readonly #classes: UrgencyClass[] = Array.from({ length: URGENCIES }, () => ({
    turns: [],
    losers: [],
  }))
  readonly #queued = new Map<number, number>()
  readonly #losers = new Set<SendStream>()
  /** What the last class has a claim to. */
  #floorBytes = 0

  /** The stream has something to send. */
  add(stream: SendStream): void {
    const queue = this.#classes[stream.urgency] as UrgencyClass
    if (stream.hasLost && !this.#losers.has(stream)) {
      this.#losers.add(stream)
      queue.losers.push(stream)
    }
    if (this.#queued.has(stream.id)) return
    this.#queued.set(stream.id, stream.urgency)
    queue.turns.push({ stream, sentBytes: 0 })
  }

  /** Before its urgency changes, or when it has nothing to send any more. */
  remove(stream: SendStream): void {
    const urgency = this.#queued.get(stream.id)
    if (urgency === undefined) return
    const { turns, losers } = this.#classes[urgency] as UrgencyClass
    this.#queued.delete(stream.id)
    turns.splice(
      turns.findIndex((entry) => entry.stream === stream),
      1,
    )
    if (this.#losers.delete(stream)) losers.splice(losers.indexOf(stream), 1)
  }

  get isEmpty(): boolean {
    return this.#queued.size === 0
  }

  /** Asks streams in order until `send` says that the packet is full. `send` returns the bytes that
   * it took (0: nothing to take now) or -1 when there is no more room. */
  visit(send: (stream: SendStream) => number): void {
    const last = this.#lastUrgency()
    if (last < 0) return
    if (this.#floorBytes > 0) {
      const sent = this.#visitClass(last, send)
      this.#floorBytes -= Math.abs(sent)
      if (sent < 0) return
    }
    for (let urgency = 0; urgency <= last; urgency += 1) {
      const sent = this.#visitClass(urgency, send)
      const earned = urgency < last ? Math.abs(sent) * FLOOR_RATIO : 0
      this.#floorBytes = Math.min(FLOOR_BYTES_MAX, this.#floorBytes + earned)
      if (sent < 0) return
    }
  }

  #lastUrgency(): number {
    for (let urgency = URGENCIES - 1; urgency >= 0; urgency -= 1) {
      if ((this.#classes[urgency] as UrgencyClass).turns.length > 0) return urgency
    }
    return -1
  }

  /** Bytes that its streams took; negative when the packet is full with them. */
  #visitClass(urgency: number, send: (stream: SendStream) => number): number {
    const { turns, losers } = this.#classes[urgency] as UrgencyClass
    let total = 0
    while (losers.length > 0) {
      const stream = losers[0] as SendStream
      const sent = stream.hasLost ? send(stream) : 0
      if (sent < 0) return -total
      total += sent
      if (stream.hasLost && sent > 0) continue
      losers.shift()
      this.#losers.delete(stream)
    }
    let index = 0
    while (index < turns.length) {
      const entry = turns[index] as Entry
      const sent = entry.stream.hasData ? send(entry.stream) : 0
      if (sent < 0) return -total
      total += sent
      entry.sentBytes += sent
      if (!entry.stream.hasData) {
        turns.splice(index, 1)
        this.#queued.delete(entry.stream.id)
      } else if (sent === 0) {
        index += 1 // Held back by a limit: it keeps its turn.
      } else if (entry.sentBytes >= QUANTUM_BYTES) {
        entry.sentBytes = 0
        turns.splice(index, 1)
        turns.push(entry)
      }
    }
    return total
  }
}
