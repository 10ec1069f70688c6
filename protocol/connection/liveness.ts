// protocol/connection/liveness.ts — is the peer still there, and for how long may it say nothing?

export interface LivenessOptions {
  readonly idleTimeoutMs: number
  readonly keepAliveMs: number
  /** The initiator keeps the connection, and the NATs on its way, awake. */
  readonly isInitiator: boolean
}

/** A session in which something is owed and so little moves in each of so many minutes holds memory
 * for nothing. One in which nothing is owed may be quiet for ever. */
const SLOW_BYTES = 1_024
const MINUTE_MS = 60_000
const SLOW_MINUTES_MAX = 5

export class Liveness {
  readonly #options: LivenessOptions
  #idleTimeoutMs: number
  #lastReceivedMs: number
  /** The last sign of life, or the first packet after it that obliges the peer to give one. */
  #silentSinceMs = 0
  #slowMinutes = 0
  #minuteStartMs = 0
  #minuteStartBytes = 0

  constructor(nowMs: number, options: LivenessOptions) {
    this.#options = options
    this.#idleTimeoutMs = options.idleTimeoutMs
    this.#lastReceivedMs = nowMs
  }

  get idleTimeoutMs(): number {
    return this.#idleTimeoutMs
  }

  /** The smaller of both sides' holds. */
  establish(nowMs: number, peersIdleTimeoutMs: number): void {
    this.#idleTimeoutMs = Math.min(this.#idleTimeoutMs, peersIdleTimeoutMs)
    this.#lastReceivedMs = nowMs
  }

  handleReceived(nowMs: number): void {
    this.#lastReceivedMs = nowMs
    this.#silentSinceMs = nowMs
  }

  /** From now on the peer owes an acknowledgement; before it owed none. */
  handleAsked(nowMs: number): void {
    this.#silentSinceMs = nowMs
  }

  silentMs(nowMs: number): number {
    return nowMs - this.#silentSinceMs
  }

  /** To be asked when packets arrive: from who says nothing at all the idle timeout frees us. `isOwed`:
   * we have bytes for the peer, or it has left a gap. `movedBytes`: since the connection began. */
  isTooSlow(nowMs: number, isOwed: boolean, movedBytes: number): boolean {
    if (isOwed && nowMs - this.#minuteStartMs < MINUTE_MS) return false
    const isSlow = isOwed && movedBytes - this.#minuteStartBytes < SLOW_BYTES
    this.#slowMinutes = isSlow ? this.#slowMinutes + 1 : 0
    this.#minuteStartMs = nowMs
    this.#minuteStartBytes = movedBytes
    return this.#slowMinutes >= SLOW_MINUTES_MAX
  }

  /** Only what is received counts (RFC 9000 §10.1), and three probes have their chance. */
  idleDeadlineMs(ptoMs: number): number {
    return this.#lastReceivedMs + Math.max(this.#idleTimeoutMs, 3 * ptoMs)
  }

  keepAliveMs(lastElicitingSentMs: number): number {
    if (!this.#options.isInitiator) return Number.POSITIVE_INFINITY
    const periodMs = Math.min(this.#options.keepAliveMs, this.#idleTimeoutMs / 2)
    return Math.max(this.#lastReceivedMs, lastElicitingSentMs) + periodMs
  }
}
