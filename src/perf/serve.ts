// src/perf/serve.ts — how does one end answer everybody who wants to measure the link to it?
import type {
  Address,
  Clock,
  Session,
  Timer,
  TransportEndpoint,
  TransportStream,
} from '../../protocol/index.ts'
import { HoldfastError, isHoldfastError } from '../errors.ts'
import { Control, type Message, STREAMS_MAX, type TransferOrder } from './control.ts'
import { linkFigures } from './link.ts'
import { answerRequests } from './requests.ts'
import { Receiving, Sending } from './transfer.ts'

/** Whoever connects must say what it wants. */
const ORDER_MS_MAX = 10_000
export const INTERVAL_MS = 1_000
const URGENCY_BULK = 5
const URGENCY_REQUESTS = 2

export interface Measured {
  readonly from: Address
  readonly kind: 'forward' | 'reverse' | 'ping'
  readonly bytes: number
  readonly seconds: number
  /** Null when it ended as it should. */
  readonly error: string | null
}

export interface ServingParts {
  readonly endpoint: TransportEndpoint
  readonly clock: Clock
  /** Of this process, so far. */
  readonly cpuSeconds: () => number
  readonly onMeasured: (what: Measured) => void
}

/** Serves until the endpoint is closed. */
export function serveMeasurements(parts: ServingParts): void {
  const present = new Set<Visit>()
  parts.endpoint.onSession((session) => {
    const visit = new Visit(session, parts, () => present.delete(visit))
    present.add(visit)
    if (present.size > 1) for (const each of present) each.hasCompany = true
  })
}

class Visit {
  /** Another one took place meanwhile: the CPU's time was not for this one alone. */
  hasCompany = false
  readonly #session: Session
  readonly #parts: ServingParts
  readonly #startMs: number
  readonly #startCpuSeconds: number
  readonly #timers: Timer[] = []
  /** Came before the order did. */
  #early: TransportStream[] = []
  #control: Control | null = null
  #order: Extract<Message, { type: 'transfer' | 'ping' }> | null = null
  #receiving: Receiving | null = null
  #sending: Sending | null = null
  #failure: Error | null = null

  constructor(session: Session, parts: ServingParts, onEnded: () => void) {
    this.#session = session
    this.#parts = parts
    this.#startMs = parts.clock.nowMs()
    this.#startCpuSeconds = parts.cpuSeconds()
    this.#timers.push(
      parts.clock.setTimer(() => {
        if (!this.#order) this.#fail(new HoldfastError('DEADLINE_EXCEEDED', 'no order came'))
      }, ORDER_MS_MAX),
    )
    session.onStream((stream) => this.#accept(stream))
    void session.closed.then(({ error }) => {
      for (const timer of this.#timers) timer.cancel()
      onEnded()
      this.#tell(this.#failure ?? error)
    })
  }

  #accept(stream: TransportStream): void {
    const isTwoWay = (stream.streamId & 2) === 0
    if (isTwoWay && !this.#control) {
      stream.setUrgency(0)
      this.#control = new Control(stream, {
        handle: (message) => this.#handle(message),
        fail: (error) => this.#handleControlLost(error),
      })
    } else if (this.#order) this.#use(stream)
    else if (this.#early.length < STREAMS_MAX) this.#early.push(stream)
    else this.#fail(new HoldfastError('INVALID_REQUEST', 'too many streams'))
  }

  /** Whoever speaks another version is told; who has heard enough goes. */
  #handleControlLost(error: Error): void {
    if (isHoldfastError(error, 'INVALID_REQUEST')) this.#fail(error)
    else void this.#session.close()
  }

  #use(stream: TransportStream): void {
    const isTwoWay = (stream.streamId & 2) === 0
    if (this.#order?.type === 'ping' && isTwoWay) {
      stream.setUrgency(URGENCY_REQUESTS)
      answerRequests(stream)
    } else if (this.#receiving && !isTwoWay) this.#receiving.take(stream)
    else this.#fail(new HoldfastError('INVALID_REQUEST', 'a stream that nobody asked for'))
  }

  #handle(message: Message): void {
    if (message.type === 'stop') this.#sending?.stop()
    else if (this.#order || (message.type !== 'transfer' && message.type !== 'ping')) {
      this.#fail(new HoldfastError('INVALID_REQUEST', `${message.type} makes no sense here`))
    } else {
      this.#order = message
      if (message.type === 'transfer') this.#begin(message)
      const early = this.#early
      this.#early = []
      for (const stream of early) this.#use(stream)
    }
  }

  #begin(order: TransferOrder): void {
    if (order.direction === 'forward') this.#receive(order)
    else this.#send(order)
  }

  #receive({ streams }: TransferOrder): void {
    const { clock } = this.#parts
    const receiving = new Receiving(streams, clock)
    this.#receiving = receiving
    let timer: Timer
    const tellInterval = (): void => {
      const elapsedMs = clock.nowMs() - this.#startMs
      this.#control?.send({ type: 'interval', bytes: receiving.bytes, elapsedMs })
      timer = clock.setTimer(tellInterval, INTERVAL_MS)
    }
    timer = clock.setTimer(tellInterval, INTERVAL_MS)
    this.#timers.push({ cancel: () => timer.cancel() })
    receiving.done.then(
      () => {
        timer.cancel()
        this.#report(receiving.bytes, receiving.wrongAt, clock.nowMs() - receiving.lastByteMs)
      },
      (error: Error) => this.#fail(error),
    )
  }

  #send({ streams, bytes, seconds }: TransferOrder): void {
    const { clock } = this.#parts
    const untilMs = seconds === null ? null : clock.nowMs() + seconds * 1_000
    const sending = new Sending(openStreams(this.#session, streams), { bytes, untilMs }, clock)
    this.#sending = sending
    sending.done.then(
      () => this.#report(sending.bytes, null, 0),
      (error: Error) => this.#fail(error),
    )
  }

  #report(bytes: number, wrongAt: number | null, agoMs: number): void {
    const cpuSeconds = this.hasCompany ? null : this.#parts.cpuSeconds() - this.#startCpuSeconds
    const link = linkFigures(this.#parts.endpoint, this.#session)
    this.#control?.send({ type: 'report', bytes, wrongAt, agoMs, cpuSeconds, link })
    this.#control?.end()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#session.destroy(error)
  }

  #tell(error: Error | null): void {
    const order = this.#order
    if (!order && !error) return // somebody looked in
    const { clock, onMeasured } = this.#parts
    onMeasured({
      from: this.#session.remote,
      kind: order?.type === 'transfer' ? order.direction : 'ping',
      bytes: this.#receiving?.bytes ?? this.#sending?.bytes ?? 0,
      seconds: (clock.nowMs() - this.#startMs) / 1_000,
      error: error && (error instanceof HoldfastError ? error.detail : error.message),
    })
  }
}

/** The streams that carry what is measured; all of one urgency, so that they share the link. */
export const openStreams = (session: Session, count: number): TransportStream[] =>
  Array.from({ length: count }, () =>
    session.openStream({ direction: 'uni', urgency: URGENCY_BULK }),
  )
