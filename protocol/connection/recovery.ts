// protocol/connection/recovery.ts — which packets arrived, which are lost, when do we probe?
// RFC 9002 with the adaptive thresholds of RFC 8985 (reo_wnd).
import type { CongestionController } from '../congestion/controller.ts'
import { RateSampler } from '../congestion/rate-sampler.ts'
import type { ConnectionLog } from '../qlog/log.ts'
import { PACKET_NUMBER_MAX } from '../wire/header.ts'
import { Disorder } from './disorder.ts'
import { GRANULARITY_MS, RttEstimator } from './rtt.ts'
import type { FrameFate, SentFrame } from './sent-frame.ts'

const NONE = 0
const IN_FLIGHT = 1
const ACKED = 2
const LOST = 3
const SKIPPED = 4

const PERSISTENT_FLOOR_MS = 100
/** Of the shortest round trip: who takes less skipped something that others must pass. */
const OVERTAKER_RATIO = 0.9
const PROBES = 2
/** What a probe of 1,200 bytes has room for. */
const PROBE_BYTES = 1_100
/** Packets that the rings hold at first; an idle connection needs no more. */
const CAPACITY = 32
/** From the oldest number that is not settled to the next: what a peer without ACKs may cost. */
const SPAN_MAX = 2 ** 18
/** Losses that may yet turn out spurious are forgotten early where there are so many. */
const LOST_SPAN_MAX = 2 ** 16

export class Recovery {
  readonly rtt = new RttEstimator()
  readonly #disorder = new Disorder()
  readonly congestion: CongestionController
  readonly sampler = new RateSampler(CAPACITY)
  /** Null unless someone keeps a record of the connection. */
  log: ConnectionLog | null = null
  ptoCount = 0
  inFlightBytes = 0
  peerAckDelayMsMax = 25
  packetsLost = 0
  packetsAcked = 0
  spuriousLosses = 0
  ptoTotal = 0
  persistentCongestions = 0
  lastElicitingSentMs = 0
  /** The lowest packet number still tracked, and the next to be sent. */
  #first: number
  #next: number
  /** Nothing below it is in flight, so that nobody looks there again. */
  #oldest: number
  #capacity = CAPACITY
  #sentMs = new Float64Array(CAPACITY)
  #bytes = new Int32Array(CAPACITY)
  #state = new Uint8Array(CAPACITY)
  /** Searches for the path's MTU: their loss says nothing of congestion. */
  #isMtuProbe = new Uint8Array(CAPACITY)
  #frames: (SentFrame[] | null)[] = new Array(CAPACITY).fill(null)
  #largestAcked = -1
  #displacement = new Float64Array(CAPACITY)
  /** In which round of losses it was declared lost. */
  #lostIn = new Uint32Array(CAPACITY)
  /** Where the run of acknowledged numbers that begins here ends: ACKs repeat themselves. */
  #runEnd = new Float64Array(CAPACITY)
  #elicitingInFlight = 0
  #lastLost = -1
  /** Acknowledged, and the congestion control has not heard of it yet. */
  #untoldBytes = 0
  #lossTimeMs = Number.POSITIVE_INFINITY
  /** Rounds of losses; the one with which this episode began, and what is not proven false of it. */
  #lossRound = 0
  #episodeRound = 0
  #episodeLost = 0
  /** When the oldest packet was sent after which nothing that we sent has arrived. */
  #silentSinceMs = Number.POSITIVE_INFINITY
  #firstSampleMs = Number.POSITIVE_INFINITY

  constructor(firstPacketNumber: number, congestion: CongestionController) {
    this.#first = firstPacketNumber
    this.#next = firstPacketNumber
    this.#oldest = firstPacketNumber
    this.congestion = congestion
  }

  get nextPacketNumber(): number {
    return this.#next
  }

  /** No number is left, or no memory for one: the connection must end. */
  get isExhausted(): boolean {
    return this.#next >= PACKET_NUMBER_MAX || this.#next - this.#first >= SPAN_MAX
  }

  get largestAcked(): number {
    return this.#largestAcked
  }

  get hasElicitingInFlight(): boolean {
    return this.#elicitingInFlight > 0
  }

  /** From how far behind the newest on a packet counts as lost. */
  get packetThreshold(): number {
    return this.#disorder.packetThreshold
  }

  /** A packet number that will never be used: an ACK of it is a lie. */
  skip(): void {
    const index = this.#slot(this.#next)
    this.#state[index] = SKIPPED
    this.#runEnd[index] = 0
    this.#next += 1
  }

  /** Before the first packet of a train or a single one: the path may have been idle. */
  handleSending(nowMs: number): void {
    const { sampler, inFlightBytes } = this
    sampler.handleSending(nowMs, inFlightBytes)
    if (inFlightBytes === 0) this.congestion.handleRestart(nowMs, sampler.isAppLimited)
  }

  /** `frames` null: nothing that elicits an ACK; such packets are not tracked in flight.
   * `isMtuProbe`: larger than the path is known to take, so its loss tells nothing of congestion. */
  handleSent(nowMs: number, bytes: number, frames: SentFrame[] | null, isMtuProbe = false): void {
    const index = this.#slot(this.#next)
    this.#sentMs[index] = nowMs
    this.#bytes[index] = bytes
    this.#state[index] = frames ? IN_FLIGHT : NONE
    this.#frames[index] = frames
    this.#isMtuProbe[index] = isMtuProbe ? 1 : 0
    this.#runEnd[index] = 0
    if (frames) {
      this.handleSending(nowMs)
      this.inFlightBytes += bytes
      this.sampler.handleSent(index, this.inFlightBytes)
      this.#elicitingInFlight += 1
      this.lastElicitingSentMs = nowMs
    }
    this.#next += 1
    this.log?.metrics(nowMs, this)
  }

  /** Room for one more packet number; doubles the ring when the window has outgrown it. */
  #slot(packetNumber: number): number {
    if (packetNumber - this.#first >= this.#capacity) this.#grow()
    return packetNumber % this.#capacity
  }

  #grow(): void {
    const from = this.#capacity
    const to = from * 2
    const move = <T extends { [index: number]: unknown }>(old: T, fresh: T): T => {
      for (let n = this.#first; n < this.#next; n += 1) fresh[n % to] = old[n % from]
      return fresh
    }
    this.#sentMs = move(this.#sentMs, new Float64Array(to))
    this.#bytes = move(this.#bytes, new Int32Array(to))
    this.#state = move(this.#state, new Uint8Array(to))
    this.#isMtuProbe = move(this.#isMtuProbe, new Uint8Array(to))
    this.sampler.grow(this.#first, this.#next)
    this.#displacement = move(this.#displacement, new Float64Array(to))
    this.#lostIn = move(this.#lostIn, new Uint32Array(to))
    this.#runEnd = move(this.#runEnd, new Float64Array(to))
    this.#frames = move(this.#frames, new Array(to).fill(null))
    this.#capacity = to
  }

  /** An ACK frame: [low, high] pairs, highest first. False: it acknowledges what was never sent. */
  handleAck(
    nowMs: number,
    ack: { ranges: Float64Array; count: number; delayMs: number; overtook: boolean },
    fate: FrameFate,
  ): boolean {
    const largest = ack.ranges[1] as number
    if (largest >= this.#next) return false
    let ackedBytes = 0
    let newest = -1
    const priorInFlightBytes = this.inFlightBytes
    const priorLostBytes = this.sampler.lostBytes
    for (let i = 0; i < ack.count; i += 1) {
      const low = Math.max(ack.ranges[2 * i] as number, this.#first)
      const high = ack.ranges[2 * i + 1] as number
      let number = low
      for (; number <= high; number += 1) {
        const index = number % this.#capacity
        const runEnd = this.#runEnd[index] as number
        if (runEnd > number) {
          number = runEnd - 1
          continue
        }
        const state = this.#state[index]
        if (state === IN_FLIGHT) {
          ackedBytes += this.#bytes[index] as number
          if (number > newest) newest = number
          fate.handlePacketAcked(number, this.#bytes[index] as number)
          this.#settle(index, fate)
        } else if (state === LOST) {
          fate.handlePacketAcked(number, this.#bytes[index] as number)
          this.#handleSpurious(nowMs, index, fate)
        } else if (state === SKIPPED) return false
      }
      if (low < number) this.#runEnd[low % this.#capacity] = number
    }
    if (largest > this.#largestAcked) this.#largestAcked = largest
    const overtook = newest >= 0 && (ack.overtook || this.#isMissing(newest - 1))
    const ackDelayMs = newest === largest ? Math.min(ack.delayMs, this.peerAckDelayMsMax) : 0
    if (newest >= 0) {
      // Where packets overtake others, only an overtaker is ever the largest: a sample of the newest
      // is taken as well when it is not (RFC 9002 §5.1 would not), or the others' time is never seen.
      const sampleMs = nowMs - (this.#sentMs[newest % this.#capacity] as number)
      this.rtt.handleSample(sampleMs, ackDelayMs, overtook)
      if (this.#firstSampleMs > nowMs) this.#firstSampleMs = nowMs
    }
    this.sampler.deliveredBytes += ackedBytes
    this.#detectLost(nowMs, fate)
    if (newest >= 0) {
      this.ptoCount = 0
      const { sample } = this.sampler
      sample.ackedBytes = ackedBytes + this.#untoldBytes
      sample.lostBytes = Math.max(0, this.sampler.lostBytes - priorLostBytes)
      sample.priorInFlightBytes = priorInFlightBytes
      sample.ackDelayMs = ackDelayMs
      const tookMs = nowMs - (this.#sentMs[newest % this.#capacity] as number)
      // Rates and rounds are told by the next one: its time is not the path's.
      if (overtook && tookMs < OVERTAKER_RATIO * this.rtt.minMs) this.#untoldBytes += ackedBytes
      else this.#informCongestion(nowMs, newest % this.#capacity, overtook)
    }
    this.#advance(nowMs)
    this.log?.metrics(nowMs, this)
    return true
  }

  /** Sent, and neither acknowledged nor too long ago to know. */
  #isMissing(number: number): boolean {
    if (number < this.#first) return false
    const state = this.#state[number % this.#capacity]
    if (state === SKIPPED) return this.#isMissing(number - 1)
    return state === IN_FLIGHT || state === LOST
  }

  #informCongestion(nowMs: number, newestIndex: number, overtook: boolean): void {
    const { sampler, rtt, congestion } = this
    const { sample } = sampler
    this.#untoldBytes = 0
    sample.smoothedRttMs = rtt.smoothedMs
    sample.minRttMs = rtt.minMs
    sample.inFlightBytes = this.inFlightBytes
    sampler.handleDelivered(nowMs, newestIndex, this.#sentMs[newestIndex] as number)
    // A packet that overtook others, or whose ACK did, says nothing of how short the path can be.
    if (overtook) sample.rttMs = Math.max(sample.rttMs, rtt.smoothedMs)
    congestion.handleAck(sample)
    if (congestion.isHoldingBack) sampler.markAppLimited(this.inFlightBytes)
  }

  #settle(index: number, fate: FrameFate): void {
    this.#state[index] = ACKED
    this.inFlightBytes -= this.#bytes[index] as number
    this.#elicitingInFlight -= 1
    this.packetsAcked += 1
    const frames = this.#frames[index]
    this.#frames[index] = null
    if (frames) for (const frame of frames) fate.handleFrameAcked(frame)
  }

  /** Declared lost, and now acknowledged: we were too quick. Wait longer from here on. */
  #handleSpurious(nowMs: number, index: number, fate: FrameFate): void {
    this.#state[index] = ACKED
    this.spuriousLosses += 1
    if (this.#isMtuProbe[index] === 0) this.sampler.handleSpurious(this.#bytes[index] as number)
    const rounds = { lost: this.#lostIn[index] as number, now: this.#lossRound }
    const flight = this.#next - this.#first
    this.#disorder.handleFalseLoss(this.#displacement[index] as number, flight, rounds)
    const frames = this.#frames[index]
    this.#frames[index] = null
    if (frames) for (const frame of frames) fate.handleFrameAcked(frame)
    this.#silentSinceMs = Number.POSITIVE_INFINITY
    if (rounds.lost < this.#episodeRound) return
    this.#episodeLost -= 1
    if (this.#episodeLost === 0) this.congestion.undo(nowMs)
  }

  /** Packets are sent in order of time, so the first one that is not lost ends the search. */
  #detectLost(nowMs: number, fate: FrameFate): void {
    const { rtt } = this
    const rttMs = Math.max(rtt.smoothedMs, rtt.latestMs)
    const lossDelayMs = Math.max(GRANULARITY_MS, this.#disorder.timeFactor * rttMs)
    this.#lossTimeMs = Number.POSITIVE_INFINITY
    let newestSentMs = Number.NEGATIVE_INFINITY
    let count = 0
    let isPersistent = false
    for (; this.#oldest < this.#largestAcked; this.#oldest += 1) {
      const index = this.#oldest % this.#capacity
      const state = this.#state[index]
      if (state === ACKED) this.#silentSinceMs = Number.POSITIVE_INFINITY
      if (state !== IN_FLIGHT) continue
      const sentMs = this.#sentMs[index] as number
      const byTime = sentMs + lossDelayMs <= nowMs
      const distance = this.#largestAcked - this.#oldest
      const byCount = this.#disorder.condemns(distance, nowMs - sentMs, rtt.minMs)
      if (!byTime && !byCount) {
        this.#lossTimeMs = sentMs + lossDelayMs
        break
      }
      this.#state[index] = LOST
      this.log?.packetLost(nowMs, this.#oldest, byTime)
      this.#displacement[index] = distance
      this.#lostIn[index] = this.#lossRound + 1
      this.inFlightBytes -= this.#bytes[index] as number
      this.#elicitingInFlight -= 1
      this.packetsLost += 1
      const frames = this.#frames[index]
      if (frames) for (const frame of frames) fate.handleFrameLost(frame, nowMs)
      if (this.#isMtuProbe[index] === 1) continue
      fate.handlePacketLost(nowMs, this.#oldest, this.#bytes[index] as number, sentMs)
      count += 1
      newestSentMs = sentMs
      const lost = this.sampler.describeLost(index, this.#bytes[index] as number, sentMs)
      lost.beginsRun = this.#oldest - 1 !== this.#lastLost
      this.#lastLost = this.#oldest
      this.congestion.handlePacketLost(nowMs, lost)
      if (sentMs >= this.#firstSampleMs && sentMs < this.#silentSinceMs) {
        this.#silentSinceMs = sentMs
      }
      isPersistent ||= sentMs - this.#silentSinceMs > this.#persistentMs
    }
    if (count > 0) this.#handleLosses(nowMs, { count, newestSentMs, isPersistent })
  }

  /** Nothing that was sent over so long a time arrived (RFC 9002 §7.6). */
  get #persistentMs(): number {
    const { smoothedMs, variationMs } = this.rtt
    const ptoMs = smoothedMs + Math.max(4 * variationMs, GRANULARITY_MS) + this.peerAckDelayMsMax
    return Math.max(PERSISTENT_FLOOR_MS, 3 * ptoMs)
  }

  #handleLosses(
    nowMs: number,
    lost: { count: number; newestSentMs: number; isPersistent: boolean },
  ): void {
    this.#lossRound += 1
    this.#disorder.handleLosses(nowMs, lost.newestSentMs)
    if (this.congestion.handleLosses(nowMs, lost.newestSentMs)) {
      this.#episodeRound = this.#lossRound
      this.#episodeLost = 0
    }
    this.#episodeLost += lost.count
    if (!lost.isPersistent) return
    this.#silentSinceMs = Number.POSITIVE_INFINITY // once for each
    this.persistentCongestions += 1
    this.congestion.handlePersistentCongestion(nowMs, this.inFlightBytes)
  }

  /** Forgets what is settled; losses stay 2 PTO, in case they turn out spurious. */
  #advance(nowMs: number): void {
    const keepMs = 2 * this.rtt.ptoMs(this.peerAckDelayMsMax, 0)
    while (this.#first < this.#next) {
      const index = this.#first % this.#capacity
      const state = this.#state[index]
      if (state === IN_FLIGHT) break
      const isRecent = nowMs - (this.#sentMs[index] as number) < keepMs
      if (state === LOST && isRecent && this.#next - this.#first < LOST_SPAN_MAX) break
      if (state === SKIPPED && this.#first > this.#largestAcked) break
      if (state === NONE && this.#first > this.#largestAcked) break
      this.#state[index] = NONE
      this.#frames[index] = null
      this.#first += 1
    }
    this.#oldest = Math.max(this.#oldest, this.#first)
  }

  /** The peer has moved to another machine's address: what was learnt is of the old path. */
  handleNewPath(nowMs: number, mtuBytes: number): void {
    this.rtt.reset()
    this.congestion.reset(nowMs, mtuBytes)
  }

  /** When handleTimeout is due. */
  timeoutMs(): number {
    if (this.#lossTimeMs !== Number.POSITIVE_INFINITY) return this.#lossTimeMs
    if (this.#elicitingInFlight === 0) return Number.POSITIVE_INFINITY
    return this.lastElicitingSentMs + this.rtt.ptoMs(this.peerAckDelayMsMax, this.ptoCount)
  }

  /** True when the peer must be probed; the frames of the oldest packet in flight go out again. */
  handleTimeout(nowMs: number, fate: FrameFate): boolean {
    if (this.#lossTimeMs <= nowMs) {
      this.#detectLost(nowMs, fate)
      this.#advance(nowMs)
      this.log?.metrics(nowMs, this)
      return false
    }
    if (this.timeoutMs() > nowMs) return false
    this.ptoCount += 1
    this.ptoTotal += 1
    this.#requeueOldest(nowMs, fate)
    this.log?.metrics(nowMs, this)
    return true
  }

  /** What two probes hold of the oldest packets: large ones are not sent again as a whole. */
  #requeueOldest(nowMs: number, fate: FrameFate): void {
    let packets = PROBES
    let roomBytes = PROBES * PROBE_BYTES
    for (let number = this.#oldest; number < this.#next && packets > 0; number += 1) {
      const index = number % this.#capacity
      if (this.#state[index] !== IN_FLIGHT || this.#isMtuProbe[index] === 1) continue
      const frames = this.#frames[index]
      if (!frames || frames.length === 0) continue
      for (const frame of frames) {
        const lengthBytes = Math.min(frame.lengthBytes, roomBytes)
        roomBytes -= lengthBytes
        const isWhole = lengthBytes === frame.lengthBytes
        const part = isWhole ? frame : { ...frame, lengthBytes, fin: false }
        if (isWhole || lengthBytes > 0) fate.handleFrameLost(part, nowMs)
      }
      packets -= 1
    }
  }
}
