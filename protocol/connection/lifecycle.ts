// protocol/connection/lifecycle.ts — in which state is the connection, and how does it come to its end?
//
//   handshaking → open → closing (we said CLOSE, and answer stragglers) ──┐ 3 PTO
//                      → draining (the peer did, we are silent) ──────────┴─► closed
import { TransportError } from '../types.ts'
import type { Connection } from './api.ts'
import { type CloseReason, Closing } from './closing.ts'

const LINGER_PTOS = 3 // RFC 9000 §10.2

export class Lifecycle {
  state: Connection['state'] = 'handshaking'
  closing: Closing | null = null
  hasEnded = false
  #endMs = Number.POSITIVE_INFINITY
  readonly #onEnded: (error: TransportError | null, reason: string) => void

  /** `onEnded` is called once, whatever comes first. */
  constructor(onEnded: (error: TransportError | null, reason: string) => void) {
    this.#onEnded = onEnded
  }

  /** The peer broke the rules: code of CLOSE (transport). */
  fail(at: { nowMs: number; ptoMs: number }, code: number, reason: string): void {
    if (this.state !== 'open') return
    this.#beginClose({ code, reason, application: false })
    this.#end(at, new TransportError('ERR_HOLDFAST_PROTOCOL', reason, { wireCode: code }), reason)
  }

  /** The application wants no more. */
  close(at: { nowMs: number; ptoMs: number }, code: number, reason: string): void {
    if (this.state !== 'open' && this.state !== 'handshaking') return
    if (this.state === 'open') this.#beginClose({ code, reason, application: true })
    else this.state = 'closed'
    this.#end(at, null, reason)
  }

  handlePeerClose(at: { nowMs: number; ptoMs: number }, close: CloseReason): void {
    if (this.state !== 'open' && this.state !== 'closing') return
    const { application, code, reason } = close
    const text = `the peer closed the connection: ${reason || `code ${code}`}`
    const kind = application ? 'ERR_HOLDFAST_CLOSED' : 'ERR_HOLDFAST_PROTOCOL'
    const isOrderly = application && code === 0
    const error = isOrderly
      ? null
      : new TransportError(kind, text, { wireCode: code, remote: true })
    this.state = 'draining'
    this.#end(at, error, reason)
  }

  /** A RESET with our token: the peer knows nothing of this connection any more. */
  handleStatelessReset(at: { nowMs: number; ptoMs: number }): void {
    if (this.state !== 'open' && this.state !== 'closing') return
    this.state = 'draining'
    const detail = 'the peer has forgotten the connection; it was probably started again'
    this.#end(at, new TransportError('ERR_HOLDFAST_CLOSED', detail, { remote: true }), detail)
  }

  /** Ends without a word to the peer. */
  abandon(nowMs: number, error: TransportError): void {
    this.state = 'closed'
    this.#end({ nowMs, ptoMs: 0 }, error, error.message)
  }

  /** Null while it goes on. */
  pollTimeout(): number | null {
    if (this.state === 'open') return null
    if (this.state === 'handshaking') return Number.POSITIVE_INFINITY
    if (this.state !== 'closing') return this.#endMs
    return Math.min(this.#endMs, this.closing?.pollTimeout() ?? this.#endMs)
  }

  handleTimeout(nowMs: number): void {
    if (this.state !== 'closing' && this.state !== 'draining') return
    if (nowMs >= this.#endMs) this.state = 'closed'
    else if (this.state === 'closing') this.closing?.handleTimeout(nowMs)
  }

  #beginClose(why: CloseReason): void {
    this.state = 'closing'
    this.closing = new Closing(why)
  }

  #end(
    { nowMs, ptoMs }: { nowMs: number; ptoMs: number },
    error: TransportError | null,
    reason: string,
  ): void {
    if (this.hasEnded) return
    this.hasEnded = true
    this.#endMs = nowMs + LINGER_PTOS * ptoMs
    this.#onEnded(error, reason)
  }
}
