// src/rpc/serve.ts — how are a peer's requests answered?
import { z } from 'zod'
import {
  type Clock,
  type PeerIdentity,
  type Session,
  TransportError,
  type TransportStream,
} from '../../protocol/types.ts'
import { ERRORS, HoldfastError } from '../errors.ts'
import { MESSAGES, type Method, type NoteOf, type RequestOf } from '../messages.ts'
import { IncomingBody, sendBody } from './body.ts'
import { failureOf, shorten, wireCodeOf } from './failure.ts'
import { encodeFrame, FRAME_BYTES_MAX, type Frame, readFrame } from './frames.ts'
import { HeaderRoom } from './header-room.ts'
import type { RpcLog } from './log.ts'
import { type Reply, WithBody } from './reply.ts'
import { STRANGER_CALLS_MAX, type Strangers } from './strangers.ts'
import { StreamReader } from './stream-reader.ts'

export interface IncomingCall<M extends Method> {
  readonly peer: PeerIdentity
  readonly session: Session
  /** Fires when the caller gives up, its deadline passes or the connection ends. */
  readonly signal: AbortSignal
  /** Raw bytes after the request; what is not read is not sent. */
  readonly body: AsyncIterable<Uint8Array>
  /** On the clock; Infinity when the caller set none. */
  readonly deadlineAtMs: number
  /** Tells the caller how it goes; never fails. */
  note(note: NoteOf<M>): void
}

export type Handlers = {
  [M in Method]?: (request: RequestOf<M>, call: IncomingCall<M>) => Promise<Reply<M>>
}

export interface ServeOptions {
  readonly clock: Clock
  readonly log: RpcLog
  /** Throws a coded error when the peer may not send this. */
  readonly authorize?: (method: Method, session: Session) => void
  /** Peers whom nobody knows yet get no more than they need to change that. */
  readonly strangers?: Strangers
}

/** At once, on one session: a peer that wants more waits. */
const CALLS_MAX = 256
/** Nearly every header is small; for the others two of the largest, per session. */
const ROOM_SIZES = {
  smallBytesMax: 64 * 1024,
  largestBytes: FRAME_BYTES_MAX,
  roomBytes: 2 * FRAME_BYTES_MAX,
}
/** From the stream's first byte to its whole header: a slow drip holds no place for longer. */
const HEADER_MS_MAX = 10_000
/** How long an answer may stay untaken once it is given and the request was not read to its end. */
const LINGER_MS = 10_000

/** Answers the session's requests until it ends. Never throws. */
export function serve(session: Session, handlers: Handlers, options: ServeOptions): void {
  let running = 0
  const usualRoom = new HeaderRoom(ROOM_SIZES)
  const { strangers } = options
  session.onStream((stream) => {
    const isStranger = strangers?.has(session) ?? false
    if (isStranger && running >= STRANGER_CALLS_MAX) {
      stream.on('error', () => undefined)
      stream.destroy()
      return
    }
    running += 1
    const room = (isStranger && strangers?.room) || usualRoom
    const incoming = new Incoming(session, stream, handlers, { ...options, room })
    void incoming.run(running > CALLS_MAX).finally(() => {
      running -= 1
    })
  })
}

class Incoming {
  readonly #session: Session
  readonly #stream: TransportStream
  readonly #handlers: Handlers
  readonly #options: ServeOptions & { readonly room: HeaderRoom }
  readonly #reader: StreamReader
  readonly #gone = new AbortController()
  #isAnswered = false

  constructor(
    session: Session,
    stream: TransportStream,
    handlers: Handlers,
    options: ServeOptions & { readonly room: HeaderRoom },
  ) {
    this.#session = session
    this.#stream = stream
    this.#handlers = handlers
    this.#options = options
    this.#reader = new StreamReader(stream)
    stream.once('close', () => {
      if (!this.#isAnswered) this.#give(new HoldfastError('CANCELLED', 'the caller is gone'))
    })
  }

  #give(reason: HoldfastError): void {
    if (!this.#gone.signal.aborted) this.#gone.abort(reason)
  }

  async run(isBusy: boolean): Promise<void> {
    try {
      // Before anything is read: a peer with too many requests shall not have them kept.
      if (isBusy)
        throw new HoldfastError('SHUTTING_DOWN', `busy: over ${CALLS_MAX} requests at once`)
      const { method, deadlineMs, request } = await this.#header()
      await this.#answer(method, request, deadlineMs)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #header(): Promise<{ method: Method; deadlineMs: number | null; request: unknown }> {
    const frame = await this.#readHeader()
    if (frame === null) throw new HoldfastError('INVALID_REQUEST', 'the stream carries no request')
    if (!frame.ok) throw new HoldfastError('INVALID_REQUEST', frame.defect)
    const header = Header.safeParse(frame.value)
    if (!header.success) {
      throw new HoldfastError('INVALID_REQUEST', z.prettifyError(header.error))
    }
    const { method, deadlineMs, request } = header.data
    if (!Object.hasOwn(MESSAGES, method) || !this.#handlers[method as Method]) {
      const detail = `this node does not know ${method}; run the same version everywhere`
      throw new HoldfastError('UNKNOWN_METHOD', detail)
    }
    return { method: method as Method, deadlineMs, request }
  }

  async #readHeader(): Promise<Frame | null> {
    const { clock, room } = this.#options
    const timer = clock.setTimer(() => {
      const late = new HoldfastError('DEADLINE_EXCEEDED', 'the request came too slowly')
      this.#reader.fail(late)
      this.#give(late)
    }, HEADER_MS_MAX)
    let enteredBytes = 0
    try {
      return await readFrame(this.#reader, async (lengthBytes) => {
        await room.enter(lengthBytes, this.#gone.signal)
        enteredBytes = lengthBytes
      })
    } finally {
      timer.cancel()
      room.leave(enteredBytes)
    }
  }

  async #answer(method: Method, raw: unknown, deadlineMs: number | null): Promise<void> {
    const { clock, authorize } = this.#options
    authorize?.(method, this.#session)
    const legal = MESSAGES[method].request.safeParse(raw)
    if (!legal.success) {
      throw new HoldfastError('INVALID_REQUEST', `${method}: ${z.prettifyError(legal.error)}`)
    }
    const timer =
      deadlineMs === null
        ? null
        : clock.setTimer(() => {
            this.#give(new HoldfastError('DEADLINE_EXCEEDED', `${method} took too long`))
          }, deadlineMs)
    const handler = this.#handlers[method] as unknown as (
      request: unknown,
      call: IncomingCall<Method>,
    ) => Promise<Reply<Method>>
    try {
      const answer = await handler(legal.data, this.#call(deadlineMs))
      await this.#send(method, answer)
    } finally {
      timer?.cancel()
    }
  }

  #call(deadlineMs: number | null): IncomingCall<Method> {
    const ignore = (): void => undefined
    const explain = (error: unknown): unknown =>
      this.#gone.signal.aborted ? this.#gone.signal.reason : error
    const body = new IncomingBody(this.#reader, { onLeft: ignore, onEnd: ignore, explain })
    return {
      peer: this.#session.peer,
      session: this.#session,
      signal: this.#gone.signal,
      body,
      deadlineAtMs: deadlineMs === null ? Infinity : this.#options.clock.nowMs() + deadlineMs,
      note: (note) => {
        // Progress is for screens: when the way is blocked it is dropped, never queued.
        if (this.#isAnswered || this.#stream.destroyed || this.#stream.writableNeedDrain) return
        this.#stream.write(encodeFrame({ note }))
      },
    }
  }

  async #send(method: Method, answer: Reply<Method>): Promise<void> {
    const isWithBody = answer instanceof WithBody
    const ok = MESSAGES[method].response.safeParse(isWithBody ? answer.response : answer)
    if (!ok.success) {
      throw new Error(`${method}: our answer breaks its schema: ${z.prettifyError(ok.error)}`)
    }
    if (this.#stream.destroyed) return
    this.#stream.write(encodeFrame({ ok: ok.data }))
    if (isWithBody) {
      const { signal } = this.#gone
      const ignore = (): void => undefined
      await sendBody(this.#stream, answer.body, { signal, onSource: ignore, onMoved: ignore })
    }
    this.#finish()
  }

  #finish(): void {
    this.#isAnswered = true
    if (this.#stream.destroyed) return
    this.#stream.end()
    // What the caller still sends is not read: the closed window holds it back until it has seen
    // the answer and gives up its half.
    const { clock } = this.#options
    const timer = clock.setTimer(() => this.#stream.destroy(), LINGER_MS)
    this.#stream.once('close', () => timer.cancel())
    if (this.#reader.isEnded) return
    void this.#reader.next().catch(() => null)
  }

  #fail(thrown: unknown): void {
    // A caller that was interrupted, or its connection that ended, is no defect of ours.
    const error = thrown instanceof TransportError ? failureOf(thrown, 'the caller') : thrown
    const coded = error instanceof HoldfastError
    if (!coded || error.code === 'INTERNAL')
      this.#options.log.error('a request failed', { error: describe(error) })
    else this.#options.log.debug('a request was refused', { error: error.message })
    if (this.#stream.destroyed) return
    if (this.#isAnswered || this.#stream.writableEnded) {
      this.#stream.reset(wireCodeOf(error))
      return
    }
    const detail = coded ? error.detail : 'a defect in holdfast; the log of that node says more'
    const wire = ERRORS[coded ? error.code : 'INTERNAL'].wire
    this.#stream.write(encodeFrame({ error: { wire, detail: shorten(detail) } }))
    this.#finish()
  }
}

const Header = z.strictObject({
  method: z.string().max(64),
  deadlineMs: z
    .number()
    .min(0)
    .max(2 ** 31 - 1)
    .nullable(),
  request: z.unknown(),
})

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
