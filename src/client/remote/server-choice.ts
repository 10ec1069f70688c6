// src/client/remote/server-choice.ts — which of the servers that hold a blob is asked first?
import type { ServerAddress } from '../../messages.ts'
import type { Clock, PeerAddress } from '../../rpc/index.ts'

// Long enough not to stumble over a dead server with each blob, short enough to return to it; a
// server that fails again and again is tried less and less.
const AVOID_MS = 10_000
const AVOID_MS_MAX = 160_000

/** The one with the fewest bytes asked for and not yet come: a slow server piles them up and gets
 * less by itself. Servers that just failed come last, but they do come. */
export class ServerChoice {
  readonly #clock: Clock
  readonly #outstandingBytes = new Map<number, number>()
  /** Servers that failed and have not done anything since; until when each comes last. */
  readonly #failed = new Map<number, { untilMs: number; avoidMs: number }>()
  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Null when there is none left. */
  pick(numbers: readonly number[]): number | null {
    const nowMs = this.#clock.nowMs()
    const cost = (number: number): number =>
      ((this.#failed.get(number)?.untilMs ?? 0) > nowMs ? 1e15 : 0) +
      (this.#outstandingBytes.get(number) ?? 0)
    let best: number | null = null
    for (const number of numbers) {
      if (best === null || cost(number) < cost(best)) best = number
    }
    return best
  }

  begin(number: number, bytes: number): void {
    this.#outstandingBytes.set(number, (this.#outstandingBytes.get(number) ?? 0) + bytes)
  }

  end(number: number, bytes: number): void {
    this.begin(number, -bytes)
  }

  /** It failed. Several requests that fail at once count as one. */
  avoid(number: number): void {
    const nowMs = this.#clock.nowMs()
    const failed = this.#failed.get(number)
    if (failed && failed.untilMs > nowMs) return
    const avoidMs = failed ? Math.min(failed.avoidMs * 2, AVOID_MS_MAX) : AVOID_MS
    this.#failed.set(number, { untilMs: nowMs + avoidMs, avoidMs })
  }

  /** It did as it was asked. */
  trust(number: number): void {
    this.#failed.delete(number)
  }
}

export const peerOf = (server: ServerAddress): PeerAddress => ({
  host: server.host,
  port: server.port,
  publicKey: Buffer.from(server.publicKey, 'hex'),
})
