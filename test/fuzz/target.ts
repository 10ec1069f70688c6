// test/fuzz/target.ts — what is fuzzed, and what counts as an answer?
import { isHoldfastError } from '../../src/errors.ts'

export interface Target {
  /** Also the folder of its corpus. */
  readonly name: string
  /** Longer inputs are not tried. */
  readonly sizeBytesMax: number
  /** Good inputs by our own encoders: from nothing, a mutator finds no magic number. */
  seeds(): readonly Uint8Array[]
  /** How many inputs a test run tries, beside the corpus. Default 2,000; fewer for slow ones. */
  readonly inputsInTest?: number
  /** The outcome in a few words, equal for inputs that went the same way. Whatever it throws is a
   * finding: a decoder that threw what it may throw has answered, see `answerOf`. */
  run(input: Buffer): string | Promise<string>
}

/** What a decoder said: `describe` of its value, or the code and words of its coded error. */
export function answerOf<T>(decode: () => T, describe: (value: T) => string): string {
  let value: T
  try {
    value = decode()
  } catch (error) {
    return refusalOf(error)
  }
  return describe(value)
}

/** The code and the words of a coded error; anything else is thrown on. */
export function refusalOf(error: unknown): string {
  if (!isHoldfastError(error)) throw error
  return coarse(`${error.code} ${error.detail}`)
}

/** Without what differs from input to input. */
export const coarse = (text: string): string =>
  text
    .replace(/[0-9a-f]{8,}/g, '#')
    .replace(/\d+/g, '#')
    .slice(0, 120)

/** Turns bytes into decisions; past the end all are 0. */
export class Choices {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isOver(): boolean {
    return this.#at >= this.#bytes.length
  }

  u8(): number {
    return this.#bytes[this.#at++] ?? 0
  }

  u16(): number {
    return this.u8() * 256 + this.u8()
  }

  below(below: number): number {
    return this.u16() % below
  }

  take(lengthBytes: number): Buffer {
    const start = Math.min(this.#at, this.#bytes.length)
    this.#at = start + lengthBytes
    return this.#bytes.subarray(start, this.#at)
  }
}
