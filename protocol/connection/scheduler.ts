// protocol/connection/scheduler.ts — whose turn is it? Strict urgencies, round robin inside one.
import { QUANTUM_BYTES } from './limits.ts'
import type { SendStream } from './send-stream.ts'

const URGENCIES = 8
/** Every so many packets the lowest class goes first: at least 5 % for it. */
const FLOOR_EVERY = 20

interface Entry {
  readonly stream: SendStream
  sentBytes: number
}

export class Scheduler {
  readonly #queues: Entry[][] = Array.from({ length: URGENCIES }, () => [])
  readonly #queued = new Map<number, number>()
  #packets = 0

  /** The stream has something to send. */
  add(stream: SendStream): void {
    if (this.#queued.has(stream.id)) return
    this.#queued.set(stream.id, stream.urgency)
    this.#queues[stream.urgency]?.push({ stream, sentBytes: 0 })
  }

  remove(stream: SendStream): void {
    const urgency = this.#queued.get(stream.id)
    if (urgency === undefined) return
    this.#queued.delete(stream.id)
    const queue = this.#queues[urgency] as Entry[]
    const index = queue.findIndex((entry) => entry.stream === stream)
    if (index >= 0) queue.splice(index, 1)
  }

  get isEmpty(): boolean {
    return this.#queued.size === 0
  }

  /** Begins a packet: which order of urgencies holds for it. */
  beginPacket(): void {
    this.#packets += 1
  }

  /** Visits streams in order until `send` says that the packet is full. `send` returns the bytes
   * that it took (0: nothing to take now) or -1 when there is no more room. */
  visit(send: (stream: SendStream) => number): void {
    const reversed = this.#packets % FLOOR_EVERY === 0
    for (let i = 0; i < URGENCIES; i += 1) {
      const queue = this.#queues[reversed ? URGENCIES - 1 - i : i] as Entry[]
      let turns = queue.length
      while (queue.length > 0 && turns > 0) {
        turns -= 1
        const entry = queue[0] as Entry
        const sent = send(entry.stream)
        if (sent < 0) return
        entry.sentBytes += sent
        if (!entry.stream.hasData) {
          queue.shift()
          this.#queued.delete(entry.stream.id)
        } else if (sent === 0 || entry.sentBytes >= QUANTUM_BYTES) {
          entry.sentBytes = 0
          queue.push(queue.shift() as Entry)
        } else turns += 1
      }
    }
  }
}
