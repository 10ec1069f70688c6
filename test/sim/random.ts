// test/sim/random.ts — where does chance come from in a simulated world? From one printed seed.
import { randomInt } from 'node:crypto'

/** A whole number that decides a run: SEED of the environment, or a fresh one. */
export const chosenSeed = (): number => Number(process.env.SEED ?? randomInt(2 ** 32))

/** sfc32: small, fast, good enough for losing packets. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** Every purpose gets its own stream, so that one draw more in one does not shift the others. */
  constructor(seed: number, purpose: string) {
    let hash = 0x811c9dc5 ^ seed
    for (let i = 0; i < purpose.length; i += 1) {
      hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193)
    }
    this.#a = seed | 0
    this.#b = hash | 0
    this.#c = Math.imul(hash, 0x9e3779b1) | 0
    for (let i = 0; i < 12; i += 1) this.uint32()
  }

  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + t
    this.#c |= 0
    return t >>> 0
  }

  /** In [0, 1). */
  ratio(): number {
    return this.uint32() / 2 ** 32
  }

  /** True with this probability. */
  chance(ratio: number): boolean {
    return ratio > 0 && this.ratio() < ratio
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return Math.floor(this.ratio() * below)
  }

  bytes(lengthBytes: number): Uint8Array {
    const bytes = new Uint8Array(lengthBytes)
    for (let i = 0; i < lengthBytes; i += 1) bytes[i] = this.uint32()
    return bytes
  }
}
