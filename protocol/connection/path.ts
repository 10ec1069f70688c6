// protocol/connection/path.ts — where is the peer now, and may we believe it?
//
// RFC 9000 §9: whoever authenticates may move (mostly its NAT forgets, and it gets another port).
// We answer to the new address at once, but send it at most three times what came from there until
// it has echoed a challenge; when it does not, the old address holds again.
import type { Address } from '../types.ts'

const CHALLENGE_BYTES = 8
const UNPROVEN_FACTOR = 3
const CHALLENGES_MAX = 3
/** A packet with a challenge, and a little more. */
const ANSWER_BYTES_MIN = 64

/** How a packet came. Reused from packet to packet. */
export interface Arrival {
  readonly packetNumber: number
  readonly from: Address
  /** Which of our CIDs it was addressed to. */
  readonly cidLow: number
  readonly cidHigh: number
}

interface Moved {
  readonly from: Address
  readonly isSameHost: boolean
  challenge: Uint8Array
  challengesLeft: number
  againMs: number
  budgetBytes: number
}

export class Path {
  remote: Address
  readonly #random: (lengthBytes: number) => Uint8Array
  /** While the new address is not proven: what it replaced. */
  #moved: Moved | null = null
  /** Written by the control frames; null when none is owed. */
  owedChallenge: Uint8Array | null = null
  #largestReceived = -1

  constructor(remote: Address, random: (lengthBytes: number) => Uint8Array) {
    this.remote = remote
    this.#random = random
  }

  /** The newest packet tells where the peer is now; older ones were overtaken by it, and before the
   * handshake is confirmed nobody moves. True when the peer has moved. */
  handleArrival(
    { packetNumber, from }: Arrival,
    nowMs: number,
    lengthBytes: number,
    isConfirmed: boolean,
    ptoMs: number,
  ): boolean {
    const isNewest = packetNumber > this.#largestReceived
    if (isNewest) this.#largestReceived = packetNumber
    const hasMoved = isNewest && isConfirmed && !this.#isAt(from)
    if (hasMoved) this.#move(nowMs, from, ptoMs)
    if (this.#moved && this.#isAt(from)) {
      this.#moved.budgetBytes += UNPROVEN_FACTOR * lengthBytes
    }
    return hasMoved
  }

  #isAt(address: Address): boolean {
    return address.port === this.remote.port && address.host === this.remote.host
  }

  #move(nowMs: number, to: Address, ptoMs: number): void {
    const from = this.#moved?.from ?? this.remote
    this.remote = { host: to.host, port: to.port }
    if (from.host === to.host && from.port === to.port) {
      this.#moved = null // back where it is known to be
      this.owedChallenge = null
      return
    }
    const challenge = this.#challenge()
    this.#moved = {
      from,
      isSameHost: from.host === to.host,
      challenge,
      challengesLeft: CHALLENGES_MAX - 1,
      againMs: nowMs + 3 * ptoMs,
      budgetBytes: 0,
    }
  }

  /** True when the address is proven by this, and is another machine's: what is known of the old
   * path holds no longer. */
  handleResponse(echo: Uint8Array): boolean {
    const moved = this.#moved
    if (!moved || Buffer.compare(moved.challenge, echo) !== 0) return false
    this.#moved = null
    this.owedChallenge = null
    return !moved.isSameHost
  }

  /** Bytes that may be sent now. */
  get roomBytes(): number {
    return this.#moved?.budgetBytes ?? Number.POSITIVE_INFINITY
  }

  get mayAnswer(): boolean {
    return this.roomBytes >= ANSWER_BYTES_MIN
  }

  handleSent(lengthBytes: number): void {
    if (this.#moved) this.#moved.budgetBytes -= lengthBytes
  }

  pollTimeout(): number {
    return this.#moved?.againMs ?? Number.POSITIVE_INFINITY
  }

  handleTimeout(nowMs: number, ptoMs: number): void {
    const moved = this.#moved
    if (!moved || nowMs < moved.againMs) return
    if (moved.challengesLeft === 0) {
      this.remote = moved.from
      this.#moved = null
      this.owedChallenge = null
      return
    }
    moved.challengesLeft -= 1
    moved.againMs = nowMs + 3 * ptoMs
    moved.challenge = this.#challenge()
  }

  #challenge(): Uint8Array {
    const challenge = Uint8Array.prototype.slice.call(this.#random(CHALLENGE_BYTES))
    this.owedChallenge = challenge
    return challenge
  }
}
