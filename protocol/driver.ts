// protocol/driver.ts — who turns the core's crank, and when, so that neither side of it starves?
//
//   datagrams ──► handleDatagram ─┐                     ┌─► pollEvent ──► sessions, streams
//   app calls ──► wake() ─────────┼─► flush (deferred) ─┼─► pollTransmit ──► the port
//   one timer ──► timeoutPending ─┘                     └─► handleTimeout, once input ran dry
import type { Endpoint, EndpointEvent, Transmit } from './connection/api.ts'
import { newSlab } from './native/slab.ts'
import type { Clock, DatagramPort, Timer } from './types.ts'

/** libuv reads at most so many datagrams before timers run: a full batch means more may wait. */
const RECEIVE_BATCH = 32
/** The clock is read once for so many datagrams that came together. */
const DATAGRAMS_PER_CLOCK = 16
/** How long a timeout may wait for input that is already in the kernel (TRANSPORT section 3). */
const DEFERRALS_MAX = 16
const DEFERRED_MS_MAX = 5
/** One pump's share of the loop, so that reads, timers and other sockets get theirs. */
const PUMP_BYTES_MAX = 512 * 1024
const PUMP_DATAGRAMS_MAX = 8 * 64
const PUMP_MS_MAX = 0.5
/** A deadline closer than a timer can be met is awaited in so many empty turns, then slept for. */
const SPIN_MS = 1
const SPINS_MAX = 16
/** Room for the largest UDP payload, see Transmit. */
const TRANSMIT_BYTES = 65_536

export interface DriverParts {
  readonly endpoint: Endpoint
  readonly port: DatagramPort
  readonly clock: Clock
  /** Called for every event of the core, between input and output. */
  readonly onEvent: (event: EndpointEvent) => void
  /** Called at the end of every turn in which anything may have changed. */
  readonly onFlushed?: () => void
}

export class Driver {
  readonly #endpoint: Endpoint
  readonly #port: DatagramPort
  readonly #clock: Clock
  readonly #onEvent: (event: EndpointEvent) => void
  readonly #onFlushed: (() => void) | undefined
  #out: Transmit = newTransmit()
  /** What of it is sent; trains are mostly as long as the one before. */
  #view: Uint8Array = new Uint8Array(0)
  /** The port had no room for what `#out` holds: it goes first once there is some. */
  #isHolding = false
  #batch = 0
  #batchNowMs = 0
  #untilClock = 0
  #isFlushQueued = false
  #isTimeoutPending = false
  #deferrals = 0
  #deferredSinceMs = 0
  #spins = 0
  #timer: Timer | null = null
  #timerDueMs = Number.POSITIVE_INFINITY
  #isStopped = false

  constructor({ endpoint, port, clock, onEvent, onFlushed }: DriverParts) {
    this.#endpoint = endpoint
    this.#port = port
    this.#clock = clock
    this.#onEvent = onEvent
    this.#onFlushed = onFlushed
    port.onDatagram = (bytes, from, strideBytes) => {
      if (this.#isStopped) return
      if (this.#untilClock === 0) {
        this.#untilClock = DATAGRAMS_PER_CLOCK
        this.#batchNowMs = clock.nowMs()
      }
      this.#untilClock -= 1
      this.#batch += 1
      this.#spins = 0
      endpoint.handleDatagram(this.#batchNowMs, bytes, from, strideBytes)
      this.wake()
    }
    port.onWritable = () => this.wake()
    port.onTooLarge = (to, sizeBytes) => {
      endpoint.handleTooLarge(clock.nowMs(), to, sizeBytes)
      this.wake()
    }
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  /** To be called after every call that may give the core something to say or to wait for. */
  wake(): void {
    if (this.#isFlushQueued || this.#isStopped) return
    this.#isFlushQueued = true
    this.#clock.defer(this.#flush)
  }

  /** Sends what may be sent now, then nothing any more. The port stays open. */
  stop(): void {
    if (this.#isStopped) return
    this.#dispatch()
    this.#pump()
    this.#isStopped = true
    this.#timer?.cancel()
    this.#timer = null
    this.#port.onDatagram = null
    this.#port.onWritable = null
    this.#port.onTooLarge = null
  }

  readonly #flush = (): void => {
    this.#isFlushQueued = false
    if (this.#isStopped) return
    const isFull = this.#batch >= RECEIVE_BATCH
    this.#batch = 0
    this.#untilClock = 0
    let isUnfinished = true
    try {
      this.#dispatch()
      if (this.#isTimeoutPending) this.#handleTimeout(this.#mayHaveMore(isFull))
      isUnfinished = this.#pump()
      // What was sent may itself lead to events: a stream has room, a closed connection is gone.
      this.#dispatch()
      this.#onFlushed?.()
    } catch (error) {
      // An application's listener threw. That is its own affair, and no reason to stop the others.
      this.wake()
      throw error
    }
    if (this.#isStopped) return
    if (isUnfinished) this.wake()
    else this.#arm()
  }

  #dispatch(): void {
    for (;;) {
      const event = this.#endpoint.pollEvent()
      if (event === null) return
      this.#onEvent(event)
    }
  }

  /** Asks the port, or guesses from what this turn brought. */
  #mayHaveMore(isFull: boolean): boolean {
    if (this.#port.receive === undefined) return isFull
    const isDry = this.#port.receive()
    this.#untilClock = 0
    return !isDry
  }

  /** ACKs that wait in the kernel come before the timer that would declare their packets lost. */
  #handleTimeout(mayHaveMore: boolean): void {
    const nowMs = this.#clock.nowMs()
    if (mayHaveMore) {
      if (this.#deferrals === 0) this.#deferredSinceMs = nowMs
      this.#deferrals += 1
      const isPatient = nowMs - this.#deferredSinceMs < DEFERRED_MS_MAX
      if (this.#deferrals <= DEFERRALS_MAX && isPatient) {
        this.wake()
        return
      }
    }
    this.#deferrals = 0
    this.#isTimeoutPending = false
    if (this.#endpoint.pollTimeout() > nowMs) return
    this.#endpoint.handleTimeout(nowMs)
    this.#dispatch()
  }

  /** True when its share of the loop was used up before the core had nothing more to send. */
  #pump(): boolean {
    if (this.#isHolding && !this.#send()) return false
    const startMs = this.#clock.nowMs()
    let nowMs = startMs
    let bytes = 0
    for (let datagrams = 1; this.#endpoint.pollTransmit(nowMs, this.#out); datagrams += 1) {
      this.#spins = 0
      bytes += this.#out.lengthBytes
      if (!this.#send()) return false
      if (bytes >= PUMP_BYTES_MAX || datagrams >= PUMP_DATAGRAMS_MAX) return true
      nowMs = this.#clock.nowMs()
      if (nowMs - startMs > PUMP_MS_MAX) return true
    }
    return false
  }

  #send(): boolean {
    const out = this.#out
    const isAsBefore =
      this.#view.length === out.lengthBytes && this.#view.buffer === out.bytes.buffer
    if (!isAsBefore) this.#view = out.bytes.subarray(0, out.lengthBytes)
    this.#isHolding = !this.#port.send(this.#view, out.to, out.segmentBytes)
    if (this.#port.keepsBytes) this.#out = newTransmit()
    return !this.#isHolding
  }

  #arm(): void {
    const dueMs = this.#endpoint.pollTimeout()
    if (dueMs === Number.POSITIVE_INFINITY) {
      this.#cancelTimer()
      return
    }
    const delayMs = dueMs - this.#clock.nowMs()
    if (delayMs <= 0) this.#isTimeoutPending = true
    if (delayMs < SPIN_MS && this.#spins < SPINS_MAX) {
      this.#spins += 1
      this.wake()
      return
    }
    // An earlier timer is kept: it looks again when it fires, which is cheaper than moving it on
    // with every ACK.
    if (this.#timer !== null && this.#timerDueMs <= dueMs) return
    this.#cancelTimer()
    this.#timerDueMs = dueMs
    this.#timer = this.#clock.setTimer(this.#onTimer, Math.max(SPIN_MS, delayMs))
  }

  #cancelTimer(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = Number.POSITIVE_INFINITY
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    this.#timerDueMs = Number.POSITIVE_INFINITY
    this.#spins = 0
    // Timers run before the poll for input; the flush comes after it.
    this.#isTimeoutPending = true
    this.wake()
  }
}

function newTransmit(): Transmit {
  const to = { host: '', port: 0 }
  // No Buffer, whose slice() is no copy.
  const bytes = new Uint8Array(newSlab(TRANSMIT_BYTES).buffer, 0, TRANSMIT_BYTES)
  return { bytes, lengthBytes: 0, segmentBytes: 0, to }
}
