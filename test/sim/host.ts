// test/sim/host.ts — how does a simulated machine run its event loop, its timers and its socket?
//
// One turn: timers that are due, at most 32 waiting datagrams, what was deferred: libuv's order.
import type { Address, Clock, DatagramPort, Timer } from '../../protocol/types.ts'
import type { Random } from './random.ts'
import type { Schedule } from './schedule.ts'

const RECEIVE_BATCH = 32
/** A turn of an idle loop, about 1000 in a millisecond as measured on Node. */
const TURN_MS = 0.001
const WALL_START_MS = 1_700_000_000_000

export interface HostOptions {
  /** Timers fire at whole multiples of this after they were set, never earlier. */
  timerStepMs: number
  /** … and up to so much later, at random. */
  timerLateMs: number
  /** What the socket holds between turns; more is lost. */
  receiveBufferBytes: number
  /** The network's answer to the n-th send: true is EAGAIN, and room again after `eagainMs`. */
  eagain: ((index: number) => boolean) | null
  eagainMs: number
  /** Equal datagrams that the socket takes in one call. */
  trainSegmentsMax: number
  /** Larger datagrams do not leave the machine, and the socket says so. */
  interfaceBytes: number
}

export const PLAIN_HOST: HostOptions = {
  timerStepMs: 1,
  timerLateMs: 0,
  receiveBufferBytes: 8 * 1024 * 1024,
  eagain: null,
  eagainMs: 2,
  trainSegmentsMax: 64,
  interfaceBytes: Number.POSITIVE_INFINITY,
}

interface PendingTimer extends Timer {
  readonly dueMs: number
  readonly fire: () => void
  isCancelled: boolean
}

export class Host {
  readonly address: Address
  readonly options: HostOptions
  readonly clock: Clock
  readonly port: DatagramPort
  readonly counts = { turns: 0, timers: 0, overflowed: 0, eagain: 0, sends: 0 }
  readonly #schedule: Schedule
  readonly #random: Random
  readonly #send: (bytes: Uint8Array, to: Address) => void
  /** No two machines agree on the time: whoever mixes their clocks shows at once. */
  readonly #originMs: number
  #inbox: { bytes: Uint8Array; from: Address }[] = []
  #inboxBytes = 0
  #deferred: (() => void)[] = []
  #timers: PendingTimer[] = []
  #stalledUntilMs = 0
  #nextTurnMs = Number.POSITIVE_INFINITY
  #isBlocked = false
  #isDead = false

  constructor(
    address: Address,
    options: Partial<HostOptions>,
    parts: {
      schedule: Schedule
      random: Random
      send: (bytes: Uint8Array, to: Address) => void
    },
  ) {
    this.address = address
    this.options = { ...PLAIN_HOST, ...options }
    this.#schedule = parts.schedule
    this.#random = parts.random
    this.#send = parts.send
    this.#originMs = this.#random.below(1_000_000)
    this.clock = {
      nowMs: () => this.#originMs + this.#schedule.nowMs,
      wallMs: () => WALL_START_MS + this.#schedule.nowMs,
      setTimer: (fire, delayMs) => this.#setTimer(fire, delayMs),
      defer: (fire) => {
        this.#deferred.push(fire)
        this.#planTurn(this.#schedule.nowMs + TURN_MS)
      },
    }
    this.port = {
      local: address,
      trainSegmentsMax: this.options.trainSegmentsMax,
      onDatagram: null,
      onWritable: null,
      onTooLarge: null,
      setsDontFragment: true,
      send: (bytes, to, segmentBytes) => this.#sendTrain(bytes, to, segmentBytes),
      close: () => {
        this.kill()
        return Promise.resolve()
      },
    }
  }

  /** A datagram reached the network card. */
  receive(bytes: Uint8Array, from: Address): void {
    if (this.#isDead) return
    if (this.#inboxBytes + bytes.length > this.options.receiveBufferBytes) {
      this.counts.overflowed += 1
      return
    }
    this.#inbox.push({ bytes, from })
    this.#inboxBytes += bytes.length
    this.#planTurn(this.#schedule.nowMs)
  }

  /** The process does something else for so long: nothing runs, datagrams wait in the kernel. */
  stall(forMs: number): void {
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#schedule.nowMs + forMs)
  }

  /** The process is gone, without a word to anybody. */
  kill(): void {
    this.#isDead = true
    this.#inbox = []
    this.#deferred = []
    this.#timers = []
  }

  #sendTrain(bytes: Uint8Array, to: Address, segmentBytes: number): boolean {
    if (this.#isDead) return true
    if (this.#isBlocked) return false
    const index = this.counts.sends++
    if (this.options.eagain?.(index)) {
      this.counts.eagain += 1
      this.#isBlocked = true
      this.#schedule.after(this.options.eagainMs, () => {
        this.#isBlocked = false
        this.port.onWritable?.()
      })
      return false
    }
    const longestBytes = Math.min(segmentBytes, bytes.length)
    if (longestBytes > this.options.interfaceBytes) {
      this.port.onTooLarge?.(to, longestBytes)
      return true
    }
    for (let at = 0; at < bytes.length; at += segmentBytes) {
      this.#send(new Uint8Array(bytes.subarray(at, at + segmentBytes)), to)
    }
    return true
  }

  #setTimer(fire: () => void, delayMs: number): Timer {
    const { timerStepMs, timerLateMs } = this.options
    const steps = Math.max(1, Math.ceil(delayMs / timerStepMs))
    const lateMs = timerLateMs * this.#random.ratio()
    const dueMs = this.#schedule.nowMs + steps * timerStepMs + lateMs
    const timer: PendingTimer = {
      dueMs,
      fire,
      isCancelled: false,
      cancel: () => {
        timer.isCancelled = true
      },
    }
    this.#timers.push(timer)
    this.#planTurn(dueMs)
    return timer
  }

  #planTurn(atMs: number): void {
    if (this.#isDead) return
    const whenMs = Math.max(atMs, this.#stalledUntilMs, this.#schedule.nowMs)
    if (whenMs >= this.#nextTurnMs) return
    this.#nextTurnMs = whenMs
    this.#schedule.at(whenMs, () => {
      if (this.#nextTurnMs !== whenMs) return // an earlier turn was planned since
      this.#nextTurnMs = Number.POSITIVE_INFINITY
      if (this.#stalledUntilMs > whenMs) this.#planTurn(this.#stalledUntilMs)
      else this.#turn()
    })
  }

  #turn(): void {
    this.counts.turns += 1
    this.#runTimers()
    for (const { bytes, from } of this.#inbox.splice(0, RECEIVE_BATCH)) {
      this.#inboxBytes -= bytes.length
      // The socket's memory is used again: whoever kept a view of it finds rubbish there.
      const lent = new Uint8Array(bytes)
      this.port.onDatagram?.(lent, from)
      lent.fill(0xee)
    }
    const deferred = this.#deferred
    this.#deferred = []
    for (const fire of deferred) fire()
    if (this.#inbox.length > 0 || this.#deferred.length > 0) {
      this.#planTurn(this.#schedule.nowMs + TURN_MS)
    }
    let dueMs = Number.POSITIVE_INFINITY
    for (const timer of this.#timers) if (timer.dueMs < dueMs) dueMs = timer.dueMs
    if (dueMs !== Number.POSITIVE_INFINITY) this.#planTurn(dueMs)
  }

  #runTimers(): void {
    const { nowMs } = this.#schedule
    const due = this.#timers.filter((timer) => timer.dueMs <= nowMs && !timer.isCancelled)
    this.#timers = this.#timers.filter((timer) => timer.dueMs > nowMs && !timer.isCancelled)
    due.sort((a, b) => a.dueMs - b.dueMs)
    for (const timer of due) {
      if (timer.isCancelled) continue
      this.counts.timers += 1
      timer.fire()
    }
  }
}
