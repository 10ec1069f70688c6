// protocol/congestion/bbr-climb.ts — while BBR probes for bandwidth, by how much more each round?
const DOUBLINGS_MAX = 30

/** By 1, 2, 4 … segments per round. */
export class BbrClimb {
  #rounds = 0
  #ackedBytes = 0
  #ackedPerStep = Number.POSITIVE_INFINITY

  /** A probe begins, with its first round. */
  begin(): void {
    this.#rounds = 0
    this.#ackedBytes = 0
  }

  stop(): void {
    this.#ackedPerStep = Number.POSITIVE_INFINITY
  }

  /** Another round. */
  steepen(windowBytes: number, segmentBytes: number): void {
    const segments = 2 ** this.#rounds
    this.#rounds = Math.min(this.#rounds + 1, DOUBLINGS_MAX)
    this.#ackedPerStep = Math.max(windowBytes / segments, segmentBytes)
  }

  /** How many segments more what was acknowledged is worth. */
  stepsFor(ackedBytes: number): number {
    this.#ackedBytes += ackedBytes
    const steps = Math.floor(this.#ackedBytes / this.#ackedPerStep)
    this.#ackedBytes -= steps > 0 ? steps * this.#ackedPerStep : 0
    return steps
  }
}
