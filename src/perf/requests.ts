// src/perf/requests.ts — how long does an answer take, one request at a time and 64 at once?
//
// Over any Duplex, in order: requests of 1 KiB with their number at the front, answers of 100
// bytes with the number that they answer. Each is one write(), as a plain program would do it.
import type { Duplex } from 'node:stream'
import type { Clock } from '../../protocol/index.ts'

const REQUEST_BYTES = 1_024
const ANSWER_BYTES = 100
const NUMBERS = 2 ** 32
/** Enough for any percentile; later ones are counted only. */
const SAMPLES_MAX = 1_000_000

export interface RequestFigures {
  readonly requests: number
  readonly seconds: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Answers until the other end has finished. */
export function answerRequests(stream: Duplex): void {
  const gather = new Gather(REQUEST_BYTES, (request, at) => {
    const answer = Buffer.alloc(ANSWER_BYTES)
    answer.writeUInt32LE(request.readUInt32LE(at))
    stream.write(answer)
  })
  stream.on('data', (chunk: Buffer) => gather.take(chunk))
  stream.on('end', () => stream.end())
}

/** Asks over one stream. */
export class Requester {
  readonly #stream: Duplex
  readonly #clock: Clock
  readonly #gather: Gather
  #number = 0
  #answered = 0
  #sentMs: number[] = []
  #samples: number[] = []
  #endMs = 0
  #run: PromiseWithResolvers<void> | null = null
  #failure: Error | null = null

  constructor(stream: Duplex, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
    this.#gather = new Gather(ANSWER_BYTES, (answer, at) => this.#handleAnswer(answer, at))
    stream.on('data', (chunk: Buffer) => this.#gather.take(chunk))
    const fail = (error?: Error): void => {
      this.#failure ??= error ?? new Error('the other end stopped answering')
      this.#run?.reject(this.#failure)
    }
    stream.on('error', fail)
    stream.on('end', fail)
    stream.on('close', fail)
  }

  /** Keeps `inFlight` requests on their way for so long, at least one. */
  async ask(inFlight: number, forMs: number): Promise<RequestFigures> {
    if (this.#failure) throw this.#failure
    this.#samples = []
    this.#answered = 0
    this.#run = Promise.withResolvers()
    const startMs = this.#clock.nowMs()
    this.#endMs = startMs + forMs
    for (let index = 0; index < inFlight; index += 1) this.#send()
    await this.#run.promise
    const seconds = (this.#clock.nowMs() - startMs) / 1_000
    const sorted = Float64Array.from(this.#samples).sort()
    const at = (part: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
    const perSecond = this.#answered / seconds
    return { requests: this.#answered, seconds, perSecond, p50Ms: at(0.5), p99Ms: at(0.99) }
  }

  #send(): void {
    const request = Buffer.alloc(REQUEST_BYTES)
    request.writeUInt32LE(this.#number)
    this.#number = (this.#number + 1) % NUMBERS
    this.#sentMs.push(this.#clock.nowMs())
    this.#stream.write(request)
  }

  #handleAnswer(answer: Buffer, at: number): void {
    const nowMs = this.#clock.nowMs()
    const waiting = this.#sentMs.length
    const expected = (this.#number - waiting + NUMBERS) % NUMBERS
    if (waiting === 0 || answer.readUInt32LE(at) !== expected) {
      this.#failure = new Error(`an answer to another request than number ${expected} came`)
      this.#run?.reject(this.#failure)
      return
    }
    const sentMs = this.#sentMs.shift()!
    this.#answered += 1
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push(nowMs - sentMs)
    if (nowMs < this.#endMs) this.#send()
    else if (this.#sentMs.length === 0) this.#run?.resolve()
  }
}

/** Cuts a stream into records of one size. */
class Gather {
  readonly #bytes: number
  readonly #handle: (record: Buffer, at: number) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(bytes: number, handle: (record: Buffer, at: number) => void) {
    this.#bytes = bytes
    this.#handle = handle
  }

  take(chunk: Buffer): void {
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk
    let at = 0
    for (; all.length - at >= this.#bytes; at += this.#bytes) this.#handle(all, at)
    this.#rest = all.subarray(at)
  }
}
