// src/rpc/call.ts — how is one request made over a session?

import { z } from 'zod'
import type { Clock, Session, Timer, TransportStream } from '../../protocol/types.ts'
import { type ErrorCode, errorCodeOf, HoldfastError } from '../errors.ts'
import { MESSAGES, type Method, type NoteOf, type RequestOf, type ResponseOf } from '../messages.ts'
import { IncomingBody, sendBody, unlessAborted } from './body.ts'
import { cancelledBy, failureOf, shorten, wireCodeOf } from './failure.ts'
import { encodeFrame, readFrame } from './frames.ts'
import { StreamReader } from './stream-reader.ts'

export interface CallOptions<M extends Method> {
  readonly signal?: AbortSignal | undefined
  /** For the whole call, the answer's header included, its body not. Default 10 s; null: none. */
  readonly deadlineMs?: number | null | undefined
  /** Without a connection after so long: UNREACHABLE. Dialling goes on for the next call. Default:
   * as long as dialling takes. */
  readonly connectMs?: number | undefined
  /** No byte either way for so long ends the call, its bodies included. Default: none. */
  readonly stallMs?: number | undefined
  /** Raw bytes after the request. Its iterator is returned when the answer comes early. */
  readonly body?: AsyncIterable<Uint8Array> | undefined
  /** 0 first, 7 last. Default 2. */
  readonly urgency?: number | undefined
  readonly onNote?: ((note: NoteOf<M>) => void) | undefined
}

/** For a call without a shared session: whose time its deadlines are in. */
export type TimedCallOptions<M extends Method> = CallOptions<M> & { readonly clock: Clock }

export interface CallResult<M extends Method> {
  readonly response: ResponseOf<M>
  /** Raw bytes after the answer. Read to its end, leave the loop, or discard(). */
  readonly body: AsyncIterable<Uint8Array>
  /** No (more) interest in the body. Safe at any time, more than once. */
  discard(): void
}

const DEADLINE_MS_DEFAULT = 10_000
const STALL_CHECKS = 4
/** While a call lasts, the peer is asked for a sign of life so often. */
const LOOK_MS = 1_000
/** A peer that owed one at so many looks, and for so many round trips, has gone: the transport has
 * probed it several times meanwhile. Looks are counted, not only time: a machine that slept finds
 * its mail after it wakes. The session ends, so that the next call dials anew. */
const SILENT_LOOKS_MAX = 4
const SILENT_ROUND_TRIPS_MAX = 20

/** Rejects with a HoldfastError: the peer's own, INVALID_REQUEST, UNREACHABLE, DEADLINE_EXCEEDED
 * or CANCELLED. */
export async function call<M extends Method>(
  session: Session,
  method: M,
  request: RequestOf<M>,
  options: TimedCallOptions<M>,
): Promise<CallResult<M>> {
  const legal = MESSAGES[method].request.safeParse(request)
  if (!legal.success) {
    throw new HoldfastError('INVALID_REQUEST', `${method}: ${z.prettifyError(legal.error)}`)
  }
  return await new OutgoingCall(session, method, options).run(legal.data)
}

class OutgoingCall<M extends Method> {
  readonly #session: Session
  readonly #method: M
  readonly #options: TimedCallOptions<M>
  readonly #stream: TransportStream
  readonly #reader: StreamReader
  /** Fires when the call is over for any reason: whatever still runs stops. */
  readonly #over = new AbortController()
  #deadline: Timer | null = null
  #stall: Timer | null = null
  #look: Timer | null = null
  #silentLooks = 0
  #movedMs: number
  #isSourceWaiting = false
  #isSent = false

  constructor(session: Session, method: M, options: TimedCallOptions<M>) {
    this.#session = session
    this.#method = method
    this.#options = options
    this.#movedMs = options.clock.nowMs()
    const { signal } = options
    if (signal?.aborted) throw cancelledBy(signal, method)
    try {
      this.#stream = session.openStream({ urgency: options.urgency ?? 2 })
    } catch (error) {
      throw failureOf(error, this.#where)
    }
    this.#reader = new StreamReader(this.#stream, () => this.#moved())
    this.#watch()
  }

  get #where(): string {
    return `${this.#session.remote.host}:${this.#session.remote.port}`
  }

  async run(request: unknown): Promise<CallResult<M>> {
    try {
      const deadlineMs = this.#deadlineMs
      this.#stream.write(encodeFrame({ method: this.#method, deadlineMs, request }))
      const sending = this.#send()
      // The answer may come before all is sent; a failing source ends the call.
      const answer = this.#answer()
      const failedFirst = sending.then(() => answer)
      const response = await Promise.race([answer, failedFirst])
      return this.#result(response)
    } catch (error) {
      const failure = this.#explain(error)
      this.#end(failure)
      throw failure
    }
  }

  get #deadlineMs(): number | null {
    const { deadlineMs } = this.#options
    return deadlineMs === undefined ? DEADLINE_MS_DEFAULT : deadlineMs
  }

  async #send(): Promise<void> {
    const { body } = this.#options
    if (body) {
      await sendBody(this.#stream, body, {
        signal: this.#over.signal,
        onSource: (isWaiting) => {
          this.#isSourceWaiting = isWaiting
          this.#moved()
        },
        onMoved: () => this.#moved(),
      })
    }
    this.#isSent = true
    if (!this.#stream.destroyed) this.#stream.end()
  }

  /** Notes, then the one answer. */
  async #answer(): Promise<ResponseOf<M>> {
    for (;;) {
      const frame = await unlessAborted(readFrame(this.#reader), this.#over.signal)
      if (frame === null) {
        const detail = `${this.#where} ended the request without an answer; see its log`
        throw new HoldfastError('UNREACHABLE', detail)
      }
      if (!frame.ok) throw this.#badAnswer(frame.defect)
      const value = frame.value as Record<string, unknown> | null
      if (typeof value !== 'object' || value === null) throw this.#badAnswer('no map')
      if ('note' in value) this.#handleNote(value.note)
      else if ('error' in value) throw this.#remoteError(value.error)
      else return this.#checked(value.ok)
    }
  }

  #handleNote(raw: unknown): void {
    const message = MESSAGES[this.#method]
    if (!('note' in message)) throw this.#badAnswer('a note')
    const note = message.note.safeParse(raw)
    if (!note.success) throw this.#badAnswer(z.prettifyError(note.error))
    this.#options.onNote?.(note.data as NoteOf<M>)
  }

  #checked(raw: unknown): ResponseOf<M> {
    const response = MESSAGES[this.#method].response.safeParse(raw)
    if (!response.success) throw this.#badAnswer(z.prettifyError(response.error))
    return response.data as ResponseOf<M>
  }

  #badAnswer(defect: string): HoldfastError {
    const detail = `${this.#where} answered ${this.#method} with something else: ${defect}; run the same version everywhere`
    return new HoldfastError('INTERNAL', shorten(detail))
  }

  #remoteError(raw: unknown): HoldfastError {
    const { wire, detail } = (raw ?? {}) as { wire?: unknown; detail?: unknown }
    const code: ErrorCode = errorCodeOf(typeof wire === 'number' ? wire : 0)
    const text = typeof detail === 'string' ? shorten(detail) : 'no reason given'
    return new HoldfastError(code, text, { remote: true })
  }

  #result(response: ResponseOf<M>): CallResult<M> {
    // The deadline was for the answer; a body is watched by stallMs.
    this.#deadline?.cancel()
    const body = new IncomingBody(this.#reader, {
      onLeft: () => this.#end(null),
      onEnd: () => this.#end(null),
      explain: (error) => this.#explain(error),
    })
    return { response, body, discard: () => this.#end(null) }
  }

  #moved(): void {
    this.#movedMs = this.#options.clock.nowMs()
  }

  #watch(): void {
    const { clock, signal, stallMs } = this.#options
    const deadlineMs = this.#deadlineMs
    const giveUp = (error: HoldfastError): void => this.#over.abort(error)
    if (deadlineMs !== null) {
      const fire = (): void => giveUp(this.#late(`within ${deadlineMs} ms`))
      this.#deadline = clock.setTimer(fire, deadlineMs)
    }
    if (stallMs !== undefined) this.#watchStall(stallMs)
    this.#watchSilence()
    if (signal) {
      const stop = (): void => giveUp(cancelledBy(signal, this.#method))
      signal.addEventListener('abort', stop, { once: true })
      this.#over.signal.addEventListener('abort', () => signal.removeEventListener('abort', stop), {
        once: true,
      })
    }
    this.#over.signal.addEventListener(
      'abort',
      () => {
        for (const timer of [this.#deadline, this.#stall, this.#look]) timer?.cancel()
        this.#reader.fail(this.#over.signal.reason)
      },
      { once: true },
    )
  }

  #watchStall(stallMs: number): void {
    const { clock } = this.#options
    const look = (): void => {
      if (this.#over.signal.aborted) return
      if (this.#isSourceWaiting) this.#moved()
      const stalledMs = clock.nowMs() - this.#movedMs
      if (stalledMs >= stallMs) this.#over.abort(this.#late(`and nothing moved for ${stallMs} ms`))
      else this.#stall = clock.setTimer(look, stallMs / STALL_CHECKS)
    }
    this.#stall = clock.setTimer(look, stallMs / STALL_CHECKS)
  }

  /** A killed peer says no goodbye, and a peer that only reads owes us nothing: ask it. */
  #watchSilence(): void {
    const session = this.#session
    this.#look = this.#options.clock.setTimer(() => {
      const { silentMs } = session
      this.#silentLooks = silentMs < LOOK_MS / 2 ? 0 : this.#silentLooks + 1
      const isGone =
        this.#silentLooks >= SILENT_LOOKS_MAX &&
        silentMs >= SILENT_ROUND_TRIPS_MAX * session.stats().rttMs
      if (isGone) {
        const silence = `has been silent for ${Math.round(silentMs)} ms`
        const detail = `${this.#where} ${silence}: check that the node runs`
        session.destroy(new HoldfastError('UNREACHABLE', detail))
        return
      }
      session.ping()
      this.#watchSilence()
    }, LOOK_MS)
  }

  #late(how: string): HoldfastError {
    const detail = `${this.#where} did not answer ${this.#method} ${how}; check that it runs and is not overloaded`
    return new HoldfastError('DEADLINE_EXCEEDED', detail)
  }

  #explain(error: unknown): HoldfastError {
    const { reason, aborted } = this.#over.signal
    if (aborted && reason instanceof HoldfastError) return reason
    return failureOf(error, this.#where)
  }

  /** Frees the stream; what was not sent is given up. */
  #end(failure: HoldfastError | null): void {
    if (!this.#over.signal.aborted) this.#over.abort(failure ?? DONE)
    const { destroyed } = this.#stream
    if (destroyed) return
    if (failure) this.#stream.reset(wireCodeOf(failure))
    // A peer that never ends its half would keep the stream, and what it still sends, for ever.
    if (failure || !this.#isSent || !this.#reader.isEnded) this.#stream.destroy()
  }
}

const DONE = new HoldfastError('CANCELLED', 'the call is over')
