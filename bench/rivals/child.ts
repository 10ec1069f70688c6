// bench/rivals/child.ts — one end of a measured connection, in a process of its own
//
//   child.ts serve SPEC HOST          answers bulk content, or requests
//   child.ts send SPEC HOST PORT      sends content
//   child.ts ask SPEC HOST PORT       sends requests
//
// Times are of the machine's monotonic clock, which all processes share.
import type { Duplex } from 'node:stream'
import { systemClock } from '../../protocol/index.ts'
import { ContentCheck, ContentSource, UNIT_BYTES } from '../../src/perf/content.ts'
import { answerRequests, Requester, type RequestFigures } from '../../src/perf/requests.ts'
import { openRival, type Rival, type RivalSpec } from './rival.ts'

const CONTENT_STREAM = 0
/** As many units as a block of content has: the same bodies come again. */
const RING_UNITS = 16

export type Order =
  /** What comes is content; the first bytes are not measured, and a mark is set after some. */
  | { kind: 'take'; warmUpBytes: number; markBytes?: number | undefined }
  | { kind: 'answer' }
  | { kind: 'report' }
  | { kind: 'send'; bytes: number; warmUpBytes: number }
  | { kind: 'ask'; forMs: number }

/** When and for how much CPU time. */
export interface Moment {
  readonly atNs: number
  readonly cpuSeconds: number
}

export type Word =
  | { kind: 'ready'; port: number }
  /** So far, or when all had come. */
  | {
      kind: 'received'
      isWhole: boolean
      bytes: number
      wrongAt: number | null
      /** When the measured bytes began (null: not yet), and the last one that came. */
      begun: Moment | null
      /** When so many had come. */
      mark: { bytes: number; atNs: number } | null
      last: Moment
      now: Moment
    }
  | { kind: 'sent'; dialled: Moment; begun: Moment; ended: Moment }
  | { kind: 'asked'; one: RequestFigures; many: RequestFigures }

const say = (word: Word): void => void process.send?.(word)

const now = (): Moment => {
  const { user, system } = process.cpuUsage()
  return { atNs: Number(process.hrtime.bigint()), cpuSeconds: (user + system) / 1e6 }
}

process.once('disconnect', () => process.exit(0)) // the parent is gone

const [role, specText = '', host = '', port = ''] = process.argv.slice(2)
const spec = JSON.parse(specText) as RivalSpec
const rival = await openRival(spec)
if (role === 'serve') await serve()
else {
  say({ kind: 'ready', port: 0 })
  process.once('message', (order: Order) => {
    if (order.kind === 'send') void send(order)
    else if (order.kind === 'ask') void ask(order.forMs)
  })
}

async function serve(): Promise<void> {
  const { promise: first, resolve: handle } = Promise.withResolvers<Duplex>()
  let taking: Taking | null = null
  process.on('message', async (order: Order) => {
    if (order.kind === 'take') {
      taking = new Taking(order.warmUpBytes, order.markBytes ?? Number.POSITIVE_INFINITY)
      taking.take(await first)
    } else if (order.kind === 'answer') answerRequests(await first)
    else if (order.kind === 'report') taking?.report(false)
  })
  say({ kind: 'ready', port: await rival.listen(host, handle) })
}

/** Counts and compares what is really handed over, and answers with one byte when it has ended. */
class Taking {
  readonly #check = new ContentCheck(CONTENT_STREAM)
  readonly #warmUpBytes: number
  readonly #markBytes: number
  #mark: { bytes: number; atNs: number } | null = null
  #begun: Moment | null = null
  #lastNs = 0

  constructor(warmUpBytes: number, markBytes: number) {
    this.#warmUpBytes = warmUpBytes
    this.#markBytes = markBytes
  }

  take(stream: Duplex): void {
    stream.on('data', (part: Buffer) => {
      this.#check.take(part)
      if (!this.#begun && this.#check.bytes >= this.#warmUpBytes) this.#begun = now()
      this.#lastNs = Number(process.hrtime.bigint())
      const { bytes } = this.#check
      if (bytes >= this.#markBytes) this.#mark ??= { bytes, atNs: this.#lastNs }
    })
    stream.once('end', () => {
      this.report(true)
      stream.end('k')
    })
    stream.on('error', () => {})
  }

  report(isWhole: boolean): void {
    const { bytes, wrongAt } = this.#check
    const moment = now()
    const last = { ...moment, atNs: this.#lastNs }
    const [begun, mark] = [this.#begun, this.#mark]
    say({ kind: 'received', isWhole, bytes, wrongAt, begun, mark, last, now: moment })
  }
}

/** Until the receiver's answer says that it has read it all. */
async function send({ bytes, warmUpBytes }: { bytes: number; warmUpBytes: number }): Promise<void> {
  const dialled = now()
  const stream = await rival.dial(host, Number(port))
  stream.on('error', () => {})
  const answered = new Promise((settle) => stream.once('end', settle).resume())
  const begun = await write(stream, { bytes, warmUpBytes })
  await answered
  say({ kind: 'sent', dialled, begun, ended: now() })
}

function write(
  stream: Duplex,
  { bytes, warmUpBytes }: { bytes: number; warmUpBytes: number },
): Promise<Moment> {
  const source = new ContentSource(CONTENT_STREAM)
  const writeUnit = writer(rival, source, bytes)
  let begun: Moment | null = null
  return new Promise((settle) => {
    const pump = (): void => {
      while (source.offset < bytes) {
        if (source.offset >= warmUpBytes) begun ??= now()
        if (!writeUnit(stream)) return
      }
      stream.off('drain', pump)
      stream.end()
      settle(begun ?? now())
    }
    stream.on('drain', pump)
    pump()
  })
}

/** One write() of 64 KiB, in the way that costs this transport least. */
function writer(
  { copiesOnWrite, takesPieces }: Rival,
  source: ContentSource,
  bytes: number,
): (stream: Duplex) => boolean {
  const next = (): [Buffer, Buffer] => source.next(Math.min(UNIT_BYTES, bytes - source.offset))
  if (takesPieces) {
    return (stream) => {
      const [stamp, body] = next()
      stream.cork()
      stream.write(stamp)
      const hasRoom = stream.write(body)
      stream.uncork()
      return hasRoom
    }
  }
  if (!copiesOnWrite) return (stream) => stream.write(Buffer.concat(next()))
  const ring: Buffer[] = []
  let at = 0
  return (stream) => {
    const pieces = next()
    const unit = ring[at]
    if (!unit || pieces[0].length + pieces[1].length < unit.length) {
      const made = Buffer.concat(pieces)
      if (ring.length < RING_UNITS) ring.push(made)
      at = (at + 1) % RING_UNITS
      return stream.write(made)
    }
    pieces[0].copy(unit)
    at = (at + 1) % RING_UNITS
    return stream.write(unit)
  }
}

const WARM_UP_MS = 400

async function ask(forMs: number): Promise<void> {
  const stream = await rival.dial(host, Number(port))
  const requester = new Requester(stream, systemClock)
  await requester.ask(1, WARM_UP_MS)
  const one = await requester.ask(1, forMs)
  await requester.ask(64, WARM_UP_MS)
  say({ kind: 'asked', one, many: await requester.ask(64, forMs) })
}
