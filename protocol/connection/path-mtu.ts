// protocol/connection/path-mtu.ts — how large may a datagram be on this path?
//
//   1200 ──► what the interface takes ──► what both ends take ──► between what passed and what failed
//
// Datagram PLPMTUD (RFC 8899): a probe is a packet of that size that carries nothing; it proves the
// size when it is acknowledged, and three lost ones prove that it does not pass. Larger sizes are
// looked for only while full packets leave, so a connection that asks and answers sends no probe.
import { BASE_DATAGRAM_BYTES, JUMBO_DATAGRAM_BYTES } from './limits.ts'

/** Found exactly enough. */
const STEP_BYTES = 16
/** On loopback every step is worth it down to here, and no finer. */
const LOOPBACK_STEP_BYTES = 16_384
const LOOPBACK_SIZES = [32_768, 16_384]
const LOSSES_MAX = 3
const PROBE_INTERVAL_MS_MIN = 100
/** The path may have become better (RFC 8899 §5.1.1, PMTU_RAISE_TIMER). */
const RAISE_MS = 600_000
/** After a black hole sooner, then twice as late each time. */
const BLACK_HOLE_RAISE_MS = 30_000
/** A black hole is declared on positive evidence alone: so many large packets are lost, two of them
 * sent after a small one that arrived, none arrived that was sent later than the first of them, and
 * all that for a while. Random loss lets a large packet through now and then, and an outage no small
 * one: neither looks like this. */
const LARGE_LOST_MIN = 6
const LARGE_LOST_BESIDE_SMALL_MIN = 2
const SMALL_ARRIVED_MIN = 2
const BLACK_HOLE_MS_MIN = 250
const NONE = -1

export interface PathMtuOptions {
  /** What the interface takes, as far as anybody knows. */
  readonly hintBytes: number
  /** Datagrams leave whole or not at all (DF): only then does a probe above the hint prove it. */
  readonly setsDontFragment: boolean
}

export class PathMtu {
  /** What the path is known to take. */
  sizeBytes = BASE_DATAGRAM_BYTES
  blackHoles = 0
  probesLost = 0
  readonly #options: PathMtuOptions
  #ceilingBytes = BASE_DATAGRAM_BYTES
  /** Sizes to try before searching between them, and how exactly to search. */
  #ladder: readonly number[] = []
  #stepBytes = STEP_BYTES
  /** Smallest size that is known not to pass. */
  #failedBytes = Number.POSITIVE_INFINITY
  /** Sizes that passed below the present one, to fall back to. */
  readonly #passed: number[] = []
  /** The size under way or last sent, and how often it was lost. */
  #probeBytes = 0
  #isUnderWay = false
  #losses = 0
  #isWorthwhile = false
  #nextMs = Number.NEGATIVE_INFINITY
  /** Everything was tried: at `#nextMs` it begins anew. */
  #isOver = false
  #blackHoleRaiseMs = BLACK_HOLE_RAISE_MS
  // What speaks for a black hole: packet numbers, counts, and since when.
  #largestLargeArrived = NONE
  #firstLargeLost = NONE
  #suspectSinceMs = 0
  #firstSmallArrived = NONE
  #largeLost = 0
  #largeLostBesideSmall = 0
  #smallArrived = 0

  constructor(options: PathMtuOptions) {
    this.#options = options
  }

  /** A path of which nothing is known; both ends take `limitBytes`. */
  begin(limitBytes: number, isLoopback: boolean): void {
    const { hintBytes, setsDontFragment } = this.#options
    const mostBytes = setsDontFragment ? Math.max(hintBytes, JUMBO_DATAGRAM_BYTES) : hintBytes
    this.#ceilingBytes = isLoopback ? limitBytes : Math.min(limitBytes, mostBytes)
    this.#ladder = isLoopback
      ? [limitBytes, ...LOOPBACK_SIZES, hintBytes]
      : [hintBytes, this.#ceilingBytes]
    this.#stepBytes = isLoopback ? LOOPBACK_STEP_BYTES : STEP_BYTES
    this.sizeBytes = BASE_DATAGRAM_BYTES
    this.#passed.length = 0
    this.#probeBytes = 0
    this.#isUnderWay = false
    this.#nextMs = Number.NEGATIVE_INFINITY
    this.#blackHoleRaiseMs = BLACK_HOLE_RAISE_MS
    this.#beginAnew()
    this.#clearSuspicion()
  }

  /** A packet as large as allowed has left: a larger one would have been of use. */
  handleFull(): void {
    this.#isWorthwhile = true
  }

  /** How large a probe should leave now; 0: none. */
  wantedBytes(nowMs: number): number {
    if (!this.#isWorthwhile || this.#isUnderWay || nowMs < this.#nextMs) return 0
    if (this.#isOver) this.#beginAnew()
    const size = this.#candidate()
    if (size > 0) return size
    this.#isOver = this.sizeBytes < this.#ceilingBytes
    this.#nextMs = this.#isOver ? nowMs + RAISE_MS : Number.POSITIVE_INFINITY
    return 0
  }

  #beginAnew(): void {
    this.#isOver = false
    this.#failedBytes = Number.POSITIVE_INFINITY
    this.#losses = 0
  }

  #candidate(): number {
    const failedBytes = Math.min(this.#failedBytes, this.#ceilingBytes + 1)
    for (const size of this.#ladder) {
      if (size > this.sizeBytes && size < failedBytes) return size
    }
    const gap = failedBytes - this.sizeBytes
    return gap > this.#stepBytes ? this.sizeBytes + Math.floor(gap / 2) : 0
  }

  handleProbeSent(sizeBytes: number): void {
    this.#probeBytes = sizeBytes
    this.#isUnderWay = true
    this.#isWorthwhile = false
  }

  /** Also when it had been given up for lost. */
  handleProbeArrived(sizeBytes: number): void {
    if (sizeBytes !== this.#probeBytes || sizeBytes <= this.sizeBytes) return
    this.#passed.push(this.sizeBytes)
    this.sizeBytes = sizeBytes
    this.#isUnderWay = false
    this.#losses = 0
    if (sizeBytes >= this.#failedBytes) this.#failedBytes = Number.POSITIVE_INFINITY
    this.#nextMs = Number.NEGATIVE_INFINITY
    this.#isWorthwhile = true
    this.#clearSuspicion()
  }

  handleProbeLost(nowMs: number, sizeBytes: number, rttMs: number): void {
    if (sizeBytes !== this.#probeBytes || !this.#isUnderWay) return
    this.#isUnderWay = false
    this.#losses += 1
    this.probesLost += 1
    this.#nextMs = nowMs + Math.max(PROBE_INTERVAL_MS_MIN, rttMs)
    if (this.#losses < LOSSES_MAX) return
    this.#losses = 0
    this.#failedBytes = Math.min(this.#failedBytes, sizeBytes)
  }

  /** The system says that so large a datagram does not leave this machine: no doubt about that. */
  handleTooLarge(nowMs: number, sizeBytes: number): void {
    if (sizeBytes <= BASE_DATAGRAM_BYTES) return
    this.#failedBytes = Math.min(this.#failedBytes, sizeBytes)
    if (this.#isUnderWay && this.#probeBytes >= sizeBytes) {
      this.#isUnderWay = false
      this.#probeBytes = 0
      this.#losses = 0
    }
    this.#nextMs = nowMs
    this.#isWorthwhile = true
    if (this.sizeBytes < sizeBytes) return
    while (this.sizeBytes >= sizeBytes) this.sizeBytes = this.#passed.pop() ?? BASE_DATAGRAM_BYTES
    this.#clearSuspicion()
  }

  // — the black hole —

  handleArrived(packetNumber: number, bytes: number): void {
    if (bytes > BASE_DATAGRAM_BYTES) {
      if (packetNumber > this.#largestLargeArrived) this.#largestLargeArrived = packetNumber
      if (this.#firstLargeLost !== NONE && packetNumber > this.#firstLargeLost) {
        this.#clearSuspicion()
      }
    } else if (this.#firstLargeLost !== NONE && packetNumber > this.#firstLargeLost) {
      if (this.#firstSmallArrived === NONE) this.#firstSmallArrived = packetNumber
      this.#smallArrived += 1
    }
  }

  /** May find that the path swallows what it used to take: the size is the least again then. */
  handleLost(
    nowMs: number,
    packetNumber: number,
    bytes: number,
    sentMs: number,
    ptoMs: number,
  ): void {
    if (bytes <= BASE_DATAGRAM_BYTES || bytes > this.sizeBytes) return
    if (packetNumber < this.#largestLargeArrived) return
    if (this.#firstLargeLost === NONE) {
      this.#firstLargeLost = packetNumber
      this.#suspectSinceMs = sentMs
    }
    this.#largeLost += 1
    const isBesideSmall = this.#firstSmallArrived !== NONE && packetNumber > this.#firstSmallArrived
    if (isBesideSmall) this.#largeLostBesideSmall += 1
    const isProven =
      this.#largeLost >= LARGE_LOST_MIN &&
      this.#largeLostBesideSmall >= LARGE_LOST_BESIDE_SMALL_MIN &&
      this.#smallArrived >= SMALL_ARRIVED_MIN &&
      nowMs - this.#suspectSinceMs >= Math.max(3 * ptoMs, BLACK_HOLE_MS_MIN)
    if (isProven) this.#fallBack(nowMs)
  }

  #fallBack(nowMs: number): void {
    this.blackHoles += 1
    this.sizeBytes = BASE_DATAGRAM_BYTES
    this.#passed.length = 0
    this.#probeBytes = 0
    this.#isUnderWay = false
    this.#isOver = true
    this.#nextMs = nowMs + this.#blackHoleRaiseMs
    this.#blackHoleRaiseMs = Math.min(2 * this.#blackHoleRaiseMs, RAISE_MS)
    this.#clearSuspicion()
  }

  #clearSuspicion(): void {
    this.#firstLargeLost = NONE
    this.#firstSmallArrived = NONE
    this.#largeLost = 0
    this.#largeLostBesideSmall = 0
    this.#smallArrived = 0
  }
}
