// test/sim/link.ts — what does one direction of a path do to datagrams?
import type { Random } from './random.ts'
import type { Schedule } from './schedule.ts'

/** Every trouble can be changed while the world runs: `link.options.delayMs = 200`. */
export interface LinkOptions {
  /** Bottleneck, megabit per second; Infinity: none. */
  rateMbit: number
  delayMs: number
  /** Up to so much more, evenly; packets may pass each other by it. */
  jitterMs: number
  /** What waits in front of the bottleneck; more is dropped at the tail. */
  queueBytes: number
  /** A token bucket in front of it instead of a queue: what exceeds the rate by so much is dropped.
   * Infinity: none. */
  policerBytes: number
  /** Delivers only at multiples of this, as radio links and thinned acknowledgements do; 0: at once. */
  slotMs: number
  lossRatio: number
  /** Gilbert–Elliott: loss comes in bursts of `packetsMean`, so that `lossRatio` holds overall. */
  burstPackets: number
  duplicateRatio: number
  /** One random bit is flipped in so many of a hundred packets … */
  corruptRatio: number
  /** … or in every n-th. */
  corruptEvery: number
  reorderRatio: number
  /** What a reordered packet waits longer than the others; less, when it is negative. */
  reorderMs: number
  /** Larger datagrams vanish without a word. */
  mtuBytes: number
  /** Partition: nothing passes. */
  isDown: boolean
  /** Scripted loss, by what is seen: true drops. `index` counts from 0 in this direction. */
  drop: ((packet: Uint8Array, index: number) => boolean) | null
}

export const CLEAN_LINK: LinkOptions = {
  rateMbit: Number.POSITIVE_INFINITY,
  delayMs: 10,
  jitterMs: 0,
  queueBytes: Number.POSITIVE_INFINITY,
  policerBytes: Number.POSITIVE_INFINITY,
  slotMs: 0,
  lossRatio: 0,
  burstPackets: 1,
  duplicateRatio: 0,
  corruptRatio: 0,
  corruptEvery: 0,
  reorderRatio: 0,
  reorderMs: 0,
  mtuBytes: 65_507,
  isDown: false,
  drop: null,
}

export interface LinkCounts {
  sent: number
  sentBytes: number
  delivered: number
  dropped: number
  /** Of the dropped: for want of room in the queue. */
  overflowed: number
  duplicated: number
  corrupted: number
  reordered: number
  queueBytesMax: number
}

/** Megabit per second in bytes per millisecond. */
const BYTES_PER_MS = 125
const DUPLICATE_DELAY_MS = 0.05
const BURST_PAUSE_MS = 100

export class Link {
  readonly options: LinkOptions
  readonly counts: LinkCounts
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #deliver: (bytes: Uint8Array) => void
  #busyUntilMs = 0
  #isBadState = false
  #lastSentMs = 0
  #deliveredMax = -1

  constructor(
    options: Partial<LinkOptions>,
    parts: { schedule: Schedule; random: Random; deliver: (bytes: Uint8Array) => void },
  ) {
    this.options = { ...CLEAN_LINK, ...options }
    this.#schedule = parts.schedule
    this.#random = parts.random
    this.#deliver = parts.deliver
    this.counts = {
      sent: 0,
      sentBytes: 0,
      delivered: 0,
      dropped: 0,
      overflowed: 0,
      duplicated: 0,
      corrupted: 0,
      reordered: 0,
      queueBytesMax: 0,
    }
  }

  /** The bytes belong to the link. `deliver`: to others than its own end, who share it. */
  send(bytes: Uint8Array, deliver = this.#deliver): void {
    const { options, counts } = this
    const index = counts.sent
    counts.sent += 1
    counts.sentBytes += bytes.length
    if (this.#isLost(bytes, index)) {
      counts.dropped += 1
      return
    }
    const departMs = this.#passBottleneck(bytes.length)
    if (departMs === null) return
    const isLate = this.#random.chance(options.reorderRatio)
    const extraMs = options.jitterMs * this.#random.ratio() + (isLate ? options.reorderMs : 0)
    const { slotMs } = options
    const freeMs = departMs + options.delayMs + extraMs
    const arriveMs = slotMs > 0 ? Math.ceil(freeMs / slotMs) * slotMs : freeMs
    const arriving = this.#corrupt(bytes, index)
    this.#schedule.at(arriveMs, () => this.#arrive(arriving, index, deliver))
    if (!this.#random.chance(options.duplicateRatio)) return
    counts.duplicated += 1
    const copy = arriving.slice()
    this.#schedule.at(arriveMs + DUPLICATE_DELAY_MS, () => this.#arrive(copy, index, deliver))
  }

  #isLost(bytes: Uint8Array, index: number): boolean {
    const { options } = this
    if (options.isDown || bytes.length > options.mtuBytes) return true
    if (options.drop?.(bytes, index)) return true
    if (options.lossRatio === 0) return false
    if (options.burstPackets <= 1) return this.#random.chance(options.lossRatio)
    // All is lost in the bad state, whose mean length and share of time are given. It does not
    // outlast a pause: what blinds a path is over after a while, whether or not anybody sends.
    const { nowMs } = this.#schedule
    if (nowMs - this.#lastSentMs > BURST_PAUSE_MS) this.#isBadState = false
    this.#lastSentMs = nowMs
    const leave = 1 / options.burstPackets
    const enter = (leave * options.lossRatio) / (1 - options.lossRatio)
    this.#isBadState = this.#isBadState ? !this.#random.chance(leave) : this.#random.chance(enter)
    return this.#isBadState
  }

  /** When the last byte has left the bottleneck; null when its queue was full. */
  #passBottleneck(lengthBytes: number): number | null {
    const { nowMs } = this.#schedule
    const { rateMbit, queueBytes, policerBytes } = this.options
    if (rateMbit === Number.POSITIVE_INFINITY) return nowMs
    const bytesPerMs = rateMbit * BYTES_PER_MS
    if (policerBytes !== Number.POSITIVE_INFINITY) return this.#police(lengthBytes, bytesPerMs)
    const startMs = Math.max(nowMs, this.#busyUntilMs)
    const waitingBytes = (startMs - nowMs) * bytesPerMs
    // An idle link takes one datagram whatever its queue.
    if (waitingBytes > 0 && waitingBytes + lengthBytes > queueBytes) {
      this.counts.dropped += 1
      this.counts.overflowed += 1
      return null
    }
    this.counts.queueBytesMax = Math.max(this.counts.queueBytesMax, waitingBytes)
    this.#busyUntilMs = startMs + lengthBytes / bytesPerMs
    return this.#busyUntilMs
  }

  #police(lengthBytes: number, bytesPerMs: number): number | null {
    const { nowMs } = this.#schedule
    // In debt for so long already: what has been let through beyond the rate.
    const debtMs = Math.max(0, this.#busyUntilMs - nowMs)
    if (debtMs * bytesPerMs + lengthBytes > this.options.policerBytes) {
      this.counts.dropped += 1
      this.counts.overflowed += 1
      return null
    }
    this.#busyUntilMs = nowMs + debtMs + lengthBytes / bytesPerMs
    return nowMs
  }

  #corrupt(bytes: Uint8Array, index: number): Uint8Array {
    const { corruptEvery, corruptRatio } = this.options
    const isHit = corruptEvery > 0 && index % corruptEvery === corruptEvery - 1
    if (!isHit && !this.#random.chance(corruptRatio)) return bytes
    this.counts.corrupted += 1
    const bit = this.#random.below(bytes.length * 8)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    return bytes
  }

  #arrive(bytes: Uint8Array, index: number, deliver: (bytes: Uint8Array) => void): void {
    if (this.options.isDown) {
      this.counts.dropped += 1
      return
    }
    this.counts.delivered += 1
    if (index < this.#deliveredMax) this.counts.reordered += 1
    else this.#deliveredMax = index
    deliver(bytes)
  }
}
