// protocol/congestion/rate-sampler.ts — how fast does the path deliver? draft-ietf-ccwg-bbr,
// "Delivery Rate Samples".
//
// What is known at the moment of sending is kept per packet, in typed arrays beside the ring of sent
// packets; of a batch of acknowledgements only the newest packet's is looked at.
import type { AckSample, LostPacket } from './controller.ts'

const FIELDS = 5
const DELIVERED = 0
const DELIVERED_MS = 1
const FIRST_SENT_MS = 2
const IN_FLIGHT = 3
const LOST = 4

/** A writer that is asked for more takes a turn of the event loop: that leaves no gap worth a name. */
const PAUSE_MS_MAX = 1
const PAUSES_PER_RTT = 8

export class RateSampler {
  readonly sample: AckSample = {
    nowMs: 0,
    ackedBytes: 0,
    lostBytes: 0,
    deliveredTotalBytes: 0,
    lostTotalBytes: 0,
    priorInFlightBytes: 0,
    inFlightBytes: 0,
    rttMs: 0,
    ackDelayMs: 0,
    sentMs: 0,
    priorDeliveredBytes: 0,
    deliveredBytes: 0,
    sentInFlightBytes: 0,
    lostSinceBytes: 0,
    deliveryRate: 0,
    isAppLimited: false,
    isWindowLimited: false,
    smoothedRttMs: 0,
    minRttMs: 0,
  }
  readonly lost: LostPacket = {
    bytes: 0,
    sentMs: 0,
    sentInFlightBytes: 0,
    lostSinceBytes: 0,
    deliveredTotalBytes: 0,
    isAppLimited: false,
    beginsRun: false,
  }
  deliveredBytes = 0
  lostBytes = 0
  #deliveredMs = 0
  #firstSentMs = 0
  /** Up to this many delivered bytes there was a moment without anything to send; 0: none. */
  #appLimitedUntil = 0
  /** … a moment at which the window held data back. */
  #windowLimitedUntil = 0
  /** From when on a lack of data left the path idle. */
  #drySinceMs = Number.POSITIVE_INFINITY
  #capacity: number
  #fields: Float64Array
  #appLimited: Uint8Array

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#fields = new Float64Array(capacity * FIELDS)
    this.#appLimited = new Uint8Array(capacity)
  }

  /** The ring of sent packets has doubled: numbers [first, next) move to their new places. */
  grow(first: number, next: number): void {
    const from = this.#capacity
    const to = from * 2
    const fields = new Float64Array(to * FIELDS)
    const appLimited = new Uint8Array(to)
    for (let number = first; number < next; number += 1) {
      const old = number % from
      const fresh = number % to
      fields.set(this.#fields.subarray(old * FIELDS, (old + 1) * FIELDS), fresh * FIELDS)
      appLimited[fresh] = this.#appLimited[old] as number
    }
    this.#capacity = to
    this.#fields = fields
    this.#appLimited = appLimited
  }

  get isAppLimited(): boolean {
    return this.#appLimitedUntil > 0
  }

  /** There is nothing to send, though the window has room. The path runs idle from the moment on at
   * which the pacer would let the next packet go: waiting for the pacer limits nobody. */
  handleDry(pacedMs: number): void {
    this.#drySinceMs = Math.min(this.#drySinceMs, pacedMs)
  }

  /** There is something to send, and no room in the window. */
  handleWindowFull(inFlightBytes: number): void {
    this.#windowLimitedUntil = this.deliveredBytes + inFlightBytes
  }

  /** Whatever is measured up to now is no measure of the path. */
  markAppLimited(inFlightBytes: number): void {
    this.#appLimitedUntil = Math.max(this.deliveredBytes + inFlightBytes, 1)
  }

  /** Before the packet counts as in flight: sets the mark that it takes with it. */
  handleSending(nowMs: number, inFlightBytes: number): void {
    const { minRttMs } = this.sample
    const pauseMs = Math.min(PAUSE_MS_MAX, minRttMs / PAUSES_PER_RTT)
    if (nowMs > this.#drySinceMs + pauseMs) this.markAppLimited(inFlightBytes)
    this.#drySinceMs = Number.POSITIVE_INFINITY
    if (inFlightBytes > 0) return
    this.#firstSentMs = nowMs
    this.#deliveredMs = nowMs
  }

  /** The packet in this place of the ring has left; `inFlightBytes` with it. */
  handleSent(index: number, inFlightBytes: number): void {
    const at = index * FIELDS
    this.#fields[at + DELIVERED] = this.deliveredBytes
    this.#fields[at + DELIVERED_MS] = this.#deliveredMs
    this.#fields[at + FIRST_SENT_MS] = this.#firstSentMs
    this.#fields[at + IN_FLIGHT] = inFlightBytes
    this.#fields[at + LOST] = this.lostBytes
    this.#appLimited[index] = this.#appLimitedUntil > 0 ? 1 : 0
  }

  /** What a controller is told of the packet that is lost now. */
  describeLost(index: number, bytes: number, sentMs: number): LostPacket {
    this.lostBytes += bytes
    const { lost } = this
    const at = index * FIELDS
    lost.bytes = bytes
    lost.sentMs = sentMs
    lost.sentInFlightBytes = this.#fields[at + IN_FLIGHT] as number
    lost.lostSinceBytes = Math.max(0, this.lostBytes - (this.#fields[at + LOST] as number))
    lost.deliveredTotalBytes = this.deliveredBytes
    lost.isAppLimited = this.#appLimited[index] === 1
    return lost
  }

  /** `delivered` bytes of this batch are in `deliveredBytes` already; the newest packet of them is in
   * this place of the ring. */
  handleDelivered(nowMs: number, newestIndex: number, newestSentMs: number): void {
    const { sample } = this
    const at = newestIndex * FIELDS
    this.#deliveredMs = nowMs
    if (this.#appLimitedUntil > 0 && this.deliveredBytes > this.#appLimitedUntil) {
      this.#appLimitedUntil = 0
    }
    const priorDeliveredMs = this.#fields[at + DELIVERED_MS] as number
    const sendMs = newestSentMs - (this.#fields[at + FIRST_SENT_MS] as number)
    const ackMs = nowMs - priorDeliveredMs
    this.#firstSentMs = newestSentMs
    sample.nowMs = nowMs
    sample.sentMs = newestSentMs
    sample.rttMs = nowMs - newestSentMs
    sample.priorDeliveredBytes = this.#fields[at + DELIVERED] as number
    sample.deliveredBytes = this.deliveredBytes - sample.priorDeliveredBytes
    sample.deliveredTotalBytes = this.deliveredBytes
    sample.sentInFlightBytes = this.#fields[at + IN_FLIGHT] as number
    sample.lostSinceBytes = Math.max(0, this.lostBytes - (this.#fields[at + LOST] as number))
    sample.lostTotalBytes = this.lostBytes
    sample.isAppLimited = this.#appLimited[newestIndex] === 1
    sample.isWindowLimited = this.deliveredBytes <= this.#windowLimitedUntil
    const intervalMs = Math.max(sendMs, ackMs)
    // Shorter than any round trip: acknowledgements came in a heap, and tell nothing of the path.
    const isReliable = intervalMs > 0 && intervalMs >= sample.minRttMs
    sample.deliveryRate = isReliable ? sample.deliveredBytes / intervalMs : 0
  }

  /** Taken for lost, and delivered after all. */
  handleSpurious(bytes: number): void {
    this.deliveredBytes += bytes
    this.lostBytes -= bytes
  }
}
