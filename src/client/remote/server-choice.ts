// src/client/remote/server-choice.ts — which of the servers that hold a blob is asked first?
import type { ServerAddress } from '../../messages.ts'
import type { Clock, PeerAddress } from '../../rpc/index.ts'

// Long enough not to stumble over a dead server with each blob, short enough to return to it.
const AVOID_MS = 10_000

/** The one with the fewest bytes asked for and not yet come: a slow server piles them up and gets
 * less by itself. Servers that just failed come last, but they do come. */
export class ServerChoice {
  readonly #clock: Clock
  readonly #outstandingBytes = new Map<number, number>()
  readonly #avoidUntilMs = new Map<number, number>()
  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Null when there is none left. */
  pick(numbers: readonly number[]): number | null {
    const nowMs = this.#clock.nowMs()
    const cost = (number: number): number =>
      ((this.#avoidUntilMs.get(number) ?? 0) > nowMs ? 1e15 : 0) +
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

  avoid(number: number): void {
    this.#avoidUntilMs.set(number, this.#clock.nowMs() + AVOID_MS)
  }
}

export const peerOf = (server: ServerAddress): PeerAddress => ({
  host: server.host,
  port: server.port,
  publicKey: Buffer.from(server.publicKey, 'hex'),
})
