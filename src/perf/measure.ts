// src/perf/measure.ts — how is a link measured from the end that dials?
import type { Address, Clock, Session, TransportEndpoint } from '../../protocol/index.ts'
import { HoldfastError } from '../errors.ts'
import { Control, type LinkFigures, PING_ORDER, type Report, transferOrder } from './control.ts'
import { PERF_IDENTITY } from './endpoint.ts'
import { linkFigures } from './link.ts'
import { Requester, type RequestFigures } from './requests.ts'
import { INTERVAL_MS, openStreams } from './serve.ts'
import { Receiving, Sending } from './transfer.ts'

const GB = 1e9
/** After Ctrl-C the other end gets so long to say what arrived. */
const REPORT_MS_MAX = 2_000
/** Compiled code and an open window, before anything counts. */
const WARM_UP_MS = 300

export interface Dialling {
  readonly endpoint: TransportEndpoint
  readonly to: Address
  readonly clock: Clock
  /** Of this process, so far. */
  readonly cpuSeconds: () => number
  /** Ends the measurement; what there is by then is reported. */
  readonly signal: AbortSignal
}

export interface TransferOptions extends Dialling {
  readonly direction: 'forward' | 'reverse'
  readonly streams: number
  /** One of the two, the other null. */
  readonly bytes: number | null
  readonly seconds: number | null
  readonly onInterval: (interval: Interval) => void
}

/** About one second of it. */
export interface Interval {
  /** Since before the connect. */
  readonly seconds: number
  /** Delivered in this interval. */
  readonly bytes: number
  readonly bitsPerSecond: number
  readonly rttMs: number
  readonly lossRate: number
}

export interface TransferSummary extends LinkFigures {
  readonly direction: 'forward' | 'reverse'
  readonly streams: number
  /** Delivered to the receiver's program. */
  readonly bytes: number
  /** From before the connect to the last byte. */
  readonly seconds: number
  readonly bitsPerSecond: number
  /** User and system time of the whole process per 10^9 bytes delivered; null: not known. */
  readonly cpuSecondsPerGB: { readonly sender: number | null; readonly receiver: number | null }
  /** Every byte that was asked for came, and was right. */
  readonly verified: boolean
  /** Where in its stream the first wrong byte was, or null. */
  readonly wrongAt: number | null
  readonly interrupted: boolean
}

/** Rejects with the transport's errors while dialling, afterwards with UNREACHABLE (the other end
 * went away), INVALID_REQUEST (it is of another version) and CANCELLED. */
export async function measureTransfer(options: TransferOptions): Promise<TransferSummary> {
  const { clock, cpuSeconds } = options
  const start = { ms: clock.nowMs(), cpuSeconds: cpuSeconds() }
  const meeting = await Meeting.begin(options)
  try {
    const { direction, streams, bytes, seconds } = options
    meeting.control.send(transferOrder({ direction, streams, bytes, seconds }))
    const ended = await (direction === 'forward' ? send : receive)(options, meeting, start.ms)
    const { report } = ended
    const usedSeconds = cpuSeconds() - start.cpuSeconds
    const perGB = (used: number | null): number | null =>
      used === null || ended.bytes === 0 ? null : used / (ended.bytes / GB)
    const isForward = direction === 'forward'
    const isOpenEnded = bytes === null || meeting.isStopped
    const [sender, receiver] = isForward
      ? [usedSeconds, report.cpuSeconds]
      : [report.cpuSeconds, usedSeconds]
    const tookSeconds = Math.max(Number.EPSILON, (ended.lastByteMs - start.ms) / 1_000)
    return {
      direction,
      streams,
      bytes: ended.bytes,
      seconds: tookSeconds,
      bitsPerSecond: (ended.bytes * 8) / tookSeconds,
      cpuSecondsPerGB: { sender: perGB(sender), receiver: perGB(receiver) },
      verified: ended.wrongAt === null && (isOpenEnded || ended.bytes === bytes),
      wrongAt: ended.wrongAt,
      interrupted: meeting.isStopped,
      ...(isForward ? linkFigures(options.endpoint, meeting.session) : report.link),
    }
  } finally {
    meeting.end()
  }
}

interface Ended {
  readonly report: Report
  readonly bytes: number
  readonly wrongAt: number | null
  readonly lastByteMs: number
}

async function send(options: TransferOptions, meeting: Meeting, startMs: number): Promise<Ended> {
  const { endpoint, clock, streams, bytes, seconds, onInterval } = options
  const { session } = meeting
  const untilMs = seconds === null ? null : startMs + seconds * 1_000
  const sending = new Sending(openStreams(session, streams), { bytes, untilMs }, clock)
  const last = { bytes: 0, ms: 0 }
  meeting.onInterval = (message) => {
    onInterval(
      intervalOf(message, last, { endpoint, session, seconds: (clock.nowMs() - startMs) / 1_000 }),
    )
  }
  meeting.onStop = () => sending.stop()
  sending.done.catch((error: Error) => meeting.fail(error))
  const report = await meeting.report
  // The report was sent `agoMs` after the last byte, and has travelled since.
  const travelMs = session.stats().minRttMs / 2
  const lastByteMs = clock.nowMs() - report.agoMs - travelMs
  const { wrongAt } = report
  return { report, bytes: report.bytes, wrongAt, lastByteMs }
}

async function receive(
  options: TransferOptions,
  meeting: Meeting,
  startMs: number,
): Promise<Ended> {
  const { endpoint, clock, streams, onInterval } = options
  const { session } = meeting
  const receiving = new Receiving(streams, clock)
  session.onStream((stream) => receiving.take(stream))
  meeting.onStop = () => meeting.control.send({ type: 'stop' })
  const last = { bytes: 0, ms: 0 }
  const stopIntervals = every(clock, INTERVAL_MS, () => {
    const elapsedMs = clock.nowMs() - startMs
    const now = { bytes: receiving.bytes, elapsedMs }
    onInterval(intervalOf(now, last, { endpoint, session, seconds: elapsedMs / 1_000 }))
  })
  try {
    const [report] = await Promise.all([meeting.report, receiving.done])
    const { bytes, wrongAt, lastByteMs } = receiving
    return { report, bytes, wrongAt, lastByteMs }
  } finally {
    stopIntervals()
  }
}

/** Moves `last` on. */
function intervalOf(
  now: { bytes: number; elapsedMs: number },
  last: { bytes: number; ms: number },
  {
    endpoint,
    session,
    seconds,
  }: { endpoint: TransportEndpoint; session: Session; seconds: number },
): Interval {
  const bytes = now.bytes - last.bytes
  const bitsPerSecond = (bytes * 8) / ((now.elapsedMs - last.ms) / 1_000)
  last.bytes = now.bytes
  last.ms = now.elapsedMs
  const { rttMs, lossRate } = linkFigures(endpoint, session)
  return { seconds, bytes, bitsPerSecond, rttMs, lossRate }
}

function every(clock: Clock, ms: number, work: () => void): () => void {
  let timer = clock.setTimer(fire, ms)
  function fire(): void {
    timer = clock.setTimer(fire, ms)
    work()
  }
  return () => timer.cancel()
}

export interface PingSummary {
  readonly connectMs: number
  readonly minRttMs: number
  readonly oneAtATime: RequestFigures
  readonly at64: RequestFigures
}

const PING_IN_FLIGHT = 64

/** `seconds` for each of the two. Rejects as measureTransfer. */
export async function measureRequests(
  options: Dialling & { readonly seconds: number },
): Promise<PingSummary> {
  const { clock, seconds } = options
  const startMs = clock.nowMs()
  const meeting = await Meeting.begin(options)
  const connectMs = clock.nowMs() - startMs
  try {
    meeting.control.send(PING_ORDER)
    meeting.onStop = () => meeting.fail(new HoldfastError('CANCELLED', 'interrupted'))
    const requester = new Requester(meeting.session.openStream({ urgency: 2 }), clock)
    const ask = (inFlight: number, forMs: number): Promise<RequestFigures> =>
      Promise.race([requester.ask(inFlight, forMs), meeting.report.then(neverComes)])
    await ask(1, WARM_UP_MS)
    const oneAtATime = await ask(1, seconds * 1_000)
    await ask(PING_IN_FLIGHT, WARM_UP_MS)
    const at64 = await ask(PING_IN_FLIGHT, seconds * 1_000)
    return { connectMs, minRttMs: meeting.session.stats().minRttMs, oneAtATime, at64 }
  } finally {
    meeting.end()
  }
}

function neverComes(): never {
  throw new HoldfastError('INVALID_REQUEST', 'a report of something else came')
}

/** A session with a control stream, and the report that ends it. */
class Meeting {
  readonly session: Session
  readonly control: Control
  readonly report: Promise<Report>
  isStopped = false
  onInterval: (interval: { bytes: number; elapsedMs: number }) => void = () => undefined
  onStop: () => void = () => undefined
  readonly #settle = Promise.withResolvers<Report>()
  readonly #options: Dialling
  #cancel: () => void = () => undefined

  static async begin(options: Dialling): Promise<Meeting> {
    const { endpoint, to, signal } = options
    const { host, port } = to
    const { publicKey } = PERF_IDENTITY
    return new Meeting(await endpoint.connect({ host, port, publicKey }, { signal }), options)
  }

  private constructor(session: Session, options: Dialling) {
    this.session = session
    this.#options = options
    this.report = this.#settle.promise
    this.report.catch(() => undefined)
    this.control = new Control(session.openStream({ urgency: 0 }), {
      handle: (message) => {
        if (message.type === 'report') this.#settle.resolve(message)
        else if (message.type === 'interval') this.onInterval(message)
      },
      fail: (error) => this.fail(error),
    })
    void session.closed.then(({ error, reason }) => {
      const why = error?.message ?? (reason || 'it closed the connection')
      this.fail(new HoldfastError('UNREACHABLE', `the other end is gone: ${why}`))
    })
    options.signal.addEventListener('abort', this.#stop, { once: true })
  }

  /** Too late when the report has come. */
  fail(error: Error): void {
    this.#settle.reject(error)
  }

  end(): void {
    this.#cancel()
    this.#options.signal.removeEventListener('abort', this.#stop)
    void this.session.close({ drainMs: 0 })
  }

  readonly #stop = (): void => {
    this.isStopped = true
    this.onStop()
    const giveUp = (): void => this.fail(new HoldfastError('CANCELLED', 'interrupted'))
    const timer = this.#options.clock.setTimer(giveUp, REPORT_MS_MAX)
    this.#cancel = () => timer.cancel()
  }
}
