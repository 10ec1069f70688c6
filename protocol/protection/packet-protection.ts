// protocol/protection/packet-protection.ts — with which key is this packet sealed, and opened?
//
// Each direction has phases, one bit of which is in the header. Whoever wants new keys just uses
// them (RFC 9001 §6): a packet of the next phase that opens is the request, and the peer's own next
// phase is the answer. The keys of the next phase are ready before anyone asks, so that a forged
// bit costs no more than any other forgery.
import { keysOf, nextSecret } from '../handshake/key-schedule.ts'
import type { PacketKey, Suite } from './suite.ts'

/** RFC 9001 §6.5: packets of the old phase that were overtaken may still come. */
const OLD_KEY_PTOS = 3
const KEY_LIFE_MS = 15 * 60_000
/** Forgeries under one key, after which the connection must end: 2^36 would still be safe. */
const FAILURES_MAX = 2 ** 20

export type Opened =
  | 'ok'
  /** Forged, damaged behind the CRC, or of keys that are gone. */
  | 'forged'
  /** The peer used old keys after new ones (RFC 9001 §6.4), or there were too many forgeries. */
  | 'key-update-error'
  | 'too-many-failures'

interface Phase {
  readonly number: number
  readonly secret: Buffer
  readonly key: PacketKey
}

export interface ProtectionOptions {
  readonly suite: Suite
  readonly sendSecret: Buffer
  readonly receiveSecret: Buffer
  readonly nowMs: number
  readonly packetsPerKeyMax: number
  /** For a key log; told of each phase that begins. */
  readonly onKeys?: ((direction: 'send' | 'receive', phase: number, secret: Buffer) => void) | null
}

export class PacketProtection {
  readonly suite: Suite
  readonly #onKeys: ProtectionOptions['onKeys']
  readonly #packetsPerKeyMax: number
  #sending: Phase
  #sendingSinceMs: number
  #sentPackets = 0
  /** Of the sending phase: our first packet number, and whether the peer has acknowledged any. */
  #sendingFirst = 0
  #isConfirmed = false
  #receiving: Phase
  #next: Phase
  #previous: Phase | null = null
  #previousUntilMs = 0
  /** The lowest packet number that came in the receiving phase. */
  #receivingFirst = 0
  #failures = 0

  constructor(options: ProtectionOptions) {
    this.suite = options.suite
    this.#onKeys = options.onKeys ?? null
    this.#packetsPerKeyMax = options.packetsPerKeyMax
    this.#sending = this.#begin('send', 0, options.sendSecret)
    this.#sendingSinceMs = options.nowMs
    this.#receiving = this.#begin('receive', 0, options.receiveSecret)
    this.#next = this.#make(1, nextSecret(options.receiveSecret))
  }

  get sendPhase(): number {
    return this.#sending.number
  }

  get phaseBit(): number {
    return this.#sending.number & 1
  }

  seal(bytes: Buffer, at: number, plaintextEnd: number): void {
    this.#sentPackets += 1
    this.#sending.key.seal(bytes, at, plaintextEnd)
  }

  /** Opens the packet `bytes[at, end)`, whose header says `keyPhase` and `packetNumber`, in place. */
  open(
    nowMs: number,
    bytes: Buffer,
    at: number,
    end: number,
    { keyPhase, packetNumber }: { readonly keyPhase: number; readonly packetNumber: number },
    ptoMs: number,
  ): Opened {
    if (this.#previous && nowMs >= this.#previousUntilMs) this.#dropPrevious()
    if (keyPhase === (this.#receiving.number & 1)) {
      if (!this.#receiving.key.open(bytes, at, end)) return this.#fail()
      if (packetNumber < this.#receivingFirst) this.#receivingFirst = packetNumber
      return 'ok'
    }
    const previous = this.#previous
    if (previous && packetNumber < this.#receivingFirst) {
      return previous.key.open(bytes, at, end) ? 'ok' : this.#fail()
    }
    // Opening in place destroys what it fails on: the old key, for the accusation, gets a copy.
    const copy = previous ? Buffer.from(bytes.subarray(at, end)) : null
    if (!this.#next.key.open(bytes, at, end)) {
      const isOld = copy !== null && previous?.key.open(copy, 0, copy.length)
      return isOld ? 'key-update-error' : this.#fail()
    }
    this.#dropPrevious()
    this.#previous = this.#receiving
    this.#previousUntilMs = nowMs + OLD_KEY_PTOS * ptoMs
    this.#receiving = this.#next
    this.#receivingFirst = packetNumber
    this.#failures = 0
    this.#onKeys?.('receive', this.#receiving.number, this.#receiving.secret)
    this.#next = this.#make(this.#receiving.number + 1, nextSecret(this.#receiving.secret))
    return 'ok'
  }

  #fail(): Opened {
    this.#failures += 1
    return this.#failures >= FAILURES_MAX ? 'too-many-failures' : 'forged'
  }

  /** The peer has moved on and we have not: our next packet must be of the new phase. */
  get mustFollow(): boolean {
    return this.#receiving.number > this.#sending.number
  }

  /** Time, or the number of packets, asks for new keys, and the rules allow them: the last ones
   * are confirmed in both directions (base-drafts #2214). */
  isUpdateDue(nowMs: number): boolean {
    const isOld =
      this.#sentPackets >= this.#packetsPerKeyMax || nowMs - this.#sendingSinceMs >= KEY_LIFE_MS
    return isOld && this.mayUpdate
  }

  get mayUpdate(): boolean {
    return this.#isConfirmed && this.#receiving.number === this.#sending.number
  }

  /** From the packet with this number on, our packets are of the next phase. */
  update(nowMs: number, nextPacketNumber: number): void {
    const { number, secret, key } = this.#sending
    key.dispose?.()
    this.#sending = this.#begin('send', number + 1, nextSecret(secret))
    this.#sendingSinceMs = nowMs
    this.#sentPackets = 0
    this.#sendingFirst = nextPacketNumber
    this.#isConfirmed = false
  }

  handleAcked(largestAcked: number): void {
    if (largestAcked >= this.#sendingFirst) this.#isConfirmed = true
  }

  #dropPrevious(): void {
    this.#previous?.key.dispose?.()
    this.#previous = null
  }

  #begin(direction: 'send' | 'receive', number: number, secret: Buffer): Phase {
    this.#onKeys?.(direction, number, secret)
    return this.#make(number, secret)
  }

  #make(number: number, secret: Buffer): Phase {
    const { key, salt } = keysOf(secret)
    return { number, secret, key: this.suite.makeKey(key, salt) }
  }
}
