// protocol/driver.ts — who turns the state machine's crank? One loop per socket.
//
//   datagrams ─► handleDatagram ─┐                      ┌─► application
//   timer ─────► handleTimeout ──┴─► pollEvent ─────────┤
//   application's calls ───────────► pollTransmit ──────┴─► socket
import type { Endpoint, EndpointEvent, Transmit } from './connection/api.ts'
import type { Clock, DatagramPort, Timer } from './types.ts'
import { DATAGRAM_BYTES_MAX } from './wire/header.ts'

/** libuv reads at most so many datagrams before it lets timers run: more may wait behind them. */
const RECEIVE_BATCH = 32
const LATE_MS = 2
const DEFERRALS_MAX = 16
const DEFERRAL_MS_MAX = 5
/** One pump's share, so that reads, timers and other sockets get theirs (quinn #239). */
const PUMP_DATAGRAMS_MAX = 64
const PUMP_BYTES_MAX = 512 * 1024
const PUMP_MS_MAX = 0.5
/** A release nearer than a timer can be: look again after the input instead, so many times. */
const SPIN_MS = 1
const SPINS_MAX = 16

export class Driver {
  readonly #endpoint: Endpoint
  readonly #port: DatagramPort
  readonly #clock: Clock
  readonly #handleEvent: (event: EndpointEvent) => void
  readonly #out: Transmit
  #timer: Timer | null = null
  #timerDueMs = Number.POSITIVE_INFINITY
  #batch = 0
  #wasFull = false
  #flushQueued = false
  #timeoutPending = false
  #deferrals = 0
  #deferredSinceMs = 0
  #spins = 0
  #unsent = false
  #closed = false

  constructor(parts: {
    endpoint: Endpoint
    port: DatagramPort
    clock: Clock
    onEvent: (event: EndpointEvent) => void
  }) {
    this.#endpoint = parts.endpoint
    this.#port = parts.port
    this.#clock = parts.clock
    this.#handleEvent = parts.onEvent
    const to = { host: '', port: 0 }
    const bytes = new Uint8Array(DATAGRAM_BYTES_MAX + 29)
    this.#out = { bytes, lengthBytes: 0, segmentBytes: 0, to }
    this.#port.onDatagram = (datagram, from) => {
      this.#batch += 1
      this.#endpoint.handleDatagram(this.#clock.nowMs(), datagram, from)
      this.wake()
    }
    this.#port.onWritable = () => this.wake()
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  /** Something changed: run once after the input that is already waiting. */
  readonly wake = (): void => {
    if (this.#flushQueued || this.#closed) return
    this.#flushQueued = true
    this.#clock.defer(this.#flush)
  }

  readonly #flush = (): void => {
    this.#flushQueued = false
    if (this.#closed) return
    this.#wasFull = this.#batch >= RECEIVE_BATCH
    this.#batch = 0
    this.#drainEvents()
    if (this.#timeoutPending) this.#tryTimeout()
    this.#pump()
  }

  #drainEvents(): void {
    for (let event = this.#endpoint.pollEvent(); event; event = this.#endpoint.pollEvent()) {
      this.#handleEvent(event)
    }
  }

  /** Timers wait until the input is drained: the ACK that makes a probe needless may be in the
   * kernel already. Not for ever, though. */
  #tryTimeout(): void {
    const nowMs = this.#clock.nowMs()
    if (this.#wasFull && this.#deferrals < DEFERRALS_MAX) {
      if (this.#deferrals === 0) this.#deferredSinceMs = nowMs
      this.#deferrals += 1
      if (nowMs - this.#deferredSinceMs < DEFERRAL_MS_MAX) {
        this.wake()
        return
      }
    }
    this.#timeoutPending = false
    this.#deferrals = 0
    this.#endpoint.handleTimeout(nowMs)
    this.#drainEvents()
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    const late = this.#clock.nowMs() - this.#timerDueMs > LATE_MS
    this.#timerDueMs = Number.POSITIVE_INFINITY
    if (this.#closed) return
    this.#timeoutPending = true
    if (this.#flushQueued) return
    if (late) {
      this.wake() // After a stall the input goes first.
      return
    }
    this.#flush()
  }

  /** Sends what may be sent, within its share of the loop's time. */
  #pump(): void {
    const startMs = this.#clock.nowMs()
    let datagrams = 0
    let bytes = 0
    for (;;) {
      if (!this.#unsent && !this.#endpoint.pollTransmit(this.#clock.nowMs(), this.#out)) break
      this.#unsent = !this.#port.send(
        this.#out.bytes.subarray(0, this.#out.lengthBytes),
        this.#out.to,
      )
      if (this.#unsent) return // onWritable wakes us, and the datagram in `out` goes first.
      datagrams += 1
      bytes += this.#out.lengthBytes
      const spent = this.#clock.nowMs() - startMs
      if (datagrams >= PUMP_DATAGRAMS_MAX || bytes >= PUMP_BYTES_MAX || spent > PUMP_MS_MAX) {
        this.#drainEvents()
        this.wake()
        return
      }
    }
    this.#drainEvents()
    this.#arm()
  }

  #arm(): void {
    const dueMs = this.#endpoint.pollTimeout()
    const nowMs = this.#clock.nowMs()
    if (dueMs <= nowMs + SPIN_MS && this.#spins < SPINS_MAX) {
      this.#spins += 1
      if (dueMs <= nowMs) this.#timeoutPending = true
      this.wake()
      return
    }
    this.#spins = 0
    if (dueMs >= this.#timerDueMs && this.#timer) return
    this.#timer?.cancel()
    this.#timer = null
    this.#timerDueMs = dueMs
    if (dueMs === Number.POSITIVE_INFINITY) return
    this.#timer = this.#clock.setTimer(this.#onTimer, Math.max(0, dueMs - nowMs))
  }

  /** Sends what is ready now (a farewell), then stops for good. */
  stop(): void {
    if (this.#closed) return
    this.#drainEvents()
    for (let i = 0; i < PUMP_DATAGRAMS_MAX; i += 1) {
      if (!this.#endpoint.pollTransmit(this.#clock.nowMs(), this.#out)) break
      this.#port.send(this.#out.bytes.slice(0, this.#out.lengthBytes), this.#out.to)
    }
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = null
  }
}
