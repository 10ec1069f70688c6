// protocol/congestion/bbr-probing.ts — when does BBR try whether there is more, and how does it end?
import { BbrClimb } from './bbr-climb.ts'
import type { BbrState } from './bbr-gains.ts'
import type { BbrModel } from './bbr-model.ts'
import { type AckSample, MIN_WINDOW_SEGMENTS } from './controller.ts'

const HEADROOM = 0.15
/** What acknowledgements that come in steps hold back, in paths' worths at most. */
const STEPS_MAX = 0.2
const PROBE_WAIT_MS = 2_000
const PROBE_WAIT_RANDOM_MS = 1_000
/** Probes at least as often as Reno would have recovered. */
const PROBE_ROUNDS_MAX = 63

/** What acknowledgements tell of the last probe for bandwidth. */
type AckPhase = 'none' | 'refilling' | 'starting' | 'feedback' | 'stopping'

/** The part of BBR that goes round: down, cruise, refill, up. */
export abstract class BbrProbing {
  windowBytes = 0
  abstract readonly sendQuantumBytes: number
  protected model: BbrModel
  protected phase: BbrState = 'startup'
  protected segmentBytes: number
  protected ackPhase: AckPhase = 'none'
  /** What is acknowledged now was sent in a probe. */
  protected isProbeSample = false
  protected wasTooHigh = false
  /** What is lost of what was sent until then has been answered for: startup and up end by it. */
  protected pushedUntilMs = Number.NEGATIVE_INFINITY
  readonly #randomBelow: (below: number) => number
  readonly #climb = new BbrClimb()
  #wasPrecautionary = false
  #cycleStartMs = 0
  #probeWaitMs = 0

  constructor(
    model: BbrModel,
    parts: { segmentBytes: number; randomBelow: (below: number) => number },
  ) {
    this.model = model
    this.segmentBytes = parts.segmentBytes
    this.#randomBelow = parts.randomBelow
  }

  protected get minWindowBytes(): number {
    return MIN_WINDOW_SEGMENTS * this.segmentBytes
  }

  protected get isProbing(): boolean {
    const state = this.phase
    return state === 'down' || state === 'cruise' || state === 'refill' || state === 'up'
  }

  protected startDown(nowMs: number, deliveredTotalBytes: number): void {
    const model = this.model
    if (this.phase === 'up') this.pushedUntilMs = nowMs
    model.resetSignals()
    this.#climb.stop()
    model.roundsSinceProbe = this.#randomBelow(2)
    this.#probeWaitMs = PROBE_WAIT_MS + this.#randomBelow(PROBE_WAIT_RANDOM_MS)
    this.#cycleStartMs = nowMs
    this.ackPhase = 'stopping'
    model.startRound(deliveredTotalBytes)
    this.phase = 'down'
  }

  protected startRefill(deliveredTotalBytes: number): void {
    const model = this.model
    model.resetShortBounds()
    this.#climb.begin()
    this.#wasPrecautionary = false
    this.ackPhase = 'refilling'
    model.startRound(deliveredTotalBytes)
    this.phase = 'refill'
  }

  #startUp(sample: AckSample): void {
    this.ackPhase = 'starting'
    this.model.startRound(sample.deliveredTotalBytes)
    this.model.restartFull(sample.deliveryRate)
    this.phase = 'up'
    this.#climb.steepen(this.windowBytes, this.segmentBytes)
  }

  protected updateCycle(sample: AckSample): void {
    const model = this.model
    if (!model.isFull) return
    if (this.#adaptLongBound(sample) || !this.isProbing) return
    if (this.phase === 'down' || this.phase === 'cruise') {
      if (this.#isTimeToProbe(sample.nowMs)) this.startRefill(sample.deliveredTotalBytes)
      else if (this.phase === 'down' && this.#isTimeToCruise(sample)) this.phase = 'cruise'
    } else if (this.phase === 'refill') {
      if (!model.isRoundStart) return
      this.isProbeSample = true
      this.#startUp(sample)
    } else if (this.#isTimeToGoDown(sample)) {
      this.wasTooHigh = false
      this.startDown(sample.nowMs, sample.deliveredTotalBytes)
    }
  }

  #isTimeToProbe(nowMs: number): boolean {
    if (nowMs > this.#cycleStartMs + this.#probeWaitMs) return true
    const renoRounds = this.targetBytes / this.segmentBytes
    return this.model.roundsSinceProbe >= Math.min(renoRounds, PROBE_ROUNDS_MAX)
  }

  #isTimeToCruise({ inFlightBytes }: AckSample): boolean {
    const model = this.model
    if (inFlightBytes > this.longBoundWithHeadroom) return false
    return inFlightBytes <= this.quantized(model.maxPathBytes)
  }

  #isTimeToGoDown(sample: AckSample): boolean {
    const model = this.model
    if (this.wasTooHigh && sample.inFlightBytes >= model.longInFlightBytes) {
      this.#wasPrecautionary = true
      return true
    }
    if (sample.isWindowLimited && this.windowBytes >= model.longInFlightBytes) {
      model.restartFull(sample.deliveryRate)
      return false
    }
    return model.isFullNow
  }

  /** True: it has changed the state. */
  #adaptLongBound(sample: AckSample): boolean {
    const model = this.model
    if (this.ackPhase === 'starting' && model.isRoundStart) this.ackPhase = 'feedback'
    if (this.ackPhase === 'stopping' && model.isRoundStart) {
      this.isProbeSample = false
      this.ackPhase = 'none'
      if (this.isProbing && !sample.isAppLimited) model.advanceCycle()
      if (this.isProbing && this.#wasPrecautionary && !this.wasTooHigh) {
        this.startRefill(sample.deliveredTotalBytes)
        return true
      }
    }
    if (sample.lostSinceBytes > model.baseline.allowedBytes(sample.sentInFlightBytes)) return false
    if (model.longInFlightBytes === Number.POSITIVE_INFINITY) return false
    model.longInFlightBytes = Math.max(model.longInFlightBytes, sample.sentInFlightBytes)
    if (this.phase === 'up') this.#raiseLongBound(sample)
    return false
  }

  #raiseLongBound(sample: AckSample): void {
    const model = this.model
    if (sample.isWindowLimited && this.windowBytes >= model.longInFlightBytes) {
      model.longInFlightBytes += this.#climb.stepsFor(sample.ackedBytes) * this.segmentBytes
    }
    if (model.isRoundStart) this.#climb.steepen(this.windowBytes, this.segmentBytes)
  }

  protected get targetBytes(): number {
    return Math.min(this.model.pathBytes, this.windowBytes)
  }

  protected get longBoundWithHeadroom(): number {
    const model = this.model
    const { longInFlightBytes } = model
    if (longInFlightBytes === Number.POSITIVE_INFINITY) return longInFlightBytes
    const headroom = Math.max(this.segmentBytes, HEADROOM * longInFlightBytes)
    const freeBytes = longInFlightBytes - headroom
    // Ours: not so much room that the path runs empty, as the draft's would leave on short queues.
    const stepBytes = Math.min(model.extraAckedBytes, STEPS_MAX * model.maxPathBytes)
    const fullBytes = model.baseline.isOn ? model.maxPathBytes + stepBytes : 0
    const boundBytes = Math.max(freeBytes, Math.min(fullBytes, longInFlightBytes))
    return Math.max(boundBytes, this.minWindowBytes)
  }

  /** Room for one train, for delayed acknowledgements, and for a step up. */
  protected quantized(bytes: number): number {
    const roomBytes = Math.max(bytes, this.sendQuantumBytes, this.minWindowBytes)
    return this.phase === 'up' ? roomBytes + 2 * this.segmentBytes : roomBytes
  }
}
