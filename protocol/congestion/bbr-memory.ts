// protocol/congestion/bbr-memory.ts — what did BBR believe before a loss, in case it was none?
import type { BbrModel } from './bbr-model.ts'

export class BbrMemory {
  /** Where the loss ended a search that may go on after all. */
  state: 'startup' | 'up' | null = null
  #windowBytes = 0
  #shortBandwidth = Number.POSITIVE_INFINITY
  #shortInFlightBytes = Number.POSITIVE_INFINITY
  #longInFlightBytes = Number.POSITIVE_INFINITY

  /** While the window is small for another reason, the larger one of before is kept. */
  keepWindow(bytes: number, isSmall: boolean): void {
    this.#windowBytes = isSmall ? Math.max(this.#windowBytes, bytes) : bytes
  }

  windowAfter(bytes: number): number {
    return Math.max(bytes, this.#windowBytes)
  }

  keepModel(model: BbrModel): void {
    this.state = null
    this.#shortBandwidth = model.shortBandwidth
    this.#shortInFlightBytes = model.shortInFlightBytes
    this.#longInFlightBytes = model.longInFlightBytes
  }

  restoreModel(model: BbrModel): void {
    model.isLossInRound = false
    model.restartFull(0)
    model.shortBandwidth = Math.max(model.shortBandwidth, this.#shortBandwidth)
    model.shortInFlightBytes = Math.max(model.shortInFlightBytes, this.#shortInFlightBytes)
    model.longInFlightBytes = Math.max(model.longInFlightBytes, this.#longInFlightBytes)
  }
}
