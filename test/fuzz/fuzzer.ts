// test/fuzz/fuzzer.ts — does any input make a target throw, dawdle or swell?
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Random } from '../sim/random.ts'
import { readCorpus } from './corpus.ts'
import { mutate } from './mutator.ts'
import type { Target } from './target.ts'

/** Of one input. A decoder takes microseconds; what takes so long three times is no hiccup. */
const INPUT_MS_MAX = 250
const INPUT_TRIES = 3
/** What may still be held, besides what was held at first, once the collector had its turn. */
const GROWN_BYTES_MAX = 256 * 2 ** 20
const INPUTS_PER_LOOK = 256
const HEX_SHOWN_MAX = 2_000
/** In memory; the oldest go. */
const POOL_MAX = 2_000

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

export class Finding extends Error {
  readonly input: Uint8Array
  constructor(target: string, input: Uint8Array, problem: string, options?: ErrorOptions) {
    const hex = Buffer.from(input).toString('hex')
    const shown = hex.length > HEX_SHOWN_MAX ? `${hex.slice(0, HEX_SHOWN_MAX)}…` : hex
    super(`${target}: ${problem}\n  input, ${input.length} bytes: ${shown}`, options)
    this.name = 'Finding'
    this.stack = this.message // where it was found says nothing
    this.input = input
  }
}

export interface FuzzerOptions {
  readonly target: Target
  readonly seed: number
  /** Told of each input before it runs, so that one that never ends has a name. */
  readonly onInput?: (input: Uint8Array) => void
  /** Told of each input that went where none went before. */
  readonly onNew?: (input: Uint8Array, outcome: string) => void
}

/** Goes on from the target's seeds and corpus; the same seed makes the same inputs. */
export class Fuzzer {
  readonly target: Target
  readonly #options: FuzzerOptions
  readonly #random: Random
  readonly #pool: Uint8Array[] = []
  readonly #outcomes = new Set<string>()
  readonly #heldFrom = heldBytes()
  inputs = 0
  slowestMs = 0

  constructor(options: FuzzerOptions) {
    this.target = options.target
    this.#options = options
    this.#random = new Random(options.seed, options.target.name)
  }

  get outcomes(): number {
    return this.#outcomes.size
  }

  /** Everything that is known to be worth a try. Rejects with a Finding. */
  async replay(): Promise<void> {
    const known = [...this.target.seeds(), ...readCorpus(this.target.name)]
    for (const input of known) {
      this.#pool.push(input)
      this.#outcomes.add(await this.#try(input))
    }
    if (this.#pool.length === 0) throw new Error(`${this.target.name} has no seeds`)
  }

  /** Runs until `isEnough` says so. Rejects with a Finding; can be called again after it. */
  async run(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) {
      const input = mutate(this.#pick(), this.#pick(), this.#random, this.target.sizeBytesMax)
      const outcome = await this.#try(input)
      if (this.#outcomes.has(outcome)) continue
      this.#outcomes.add(outcome)
      this.#pool.push(new Uint8Array(input)) // not the larger memory that it may be a part of
      if (this.#pool.length > POOL_MAX) this.#pool.shift()
      this.#options.onNew?.(input, outcome)
    }
  }

  #pick(): Uint8Array {
    return this.#pool[this.#random.below(this.#pool.length)]!
  }

  async #try(input: Uint8Array): Promise<string> {
    this.inputs += 1
    this.#options.onInput?.(input)
    const startMs = performance.now()
    const outcome = await this.#runOnce(input)
    const tookMs = performance.now() - startMs
    this.slowestMs = Math.max(this.slowestMs, tookMs)
    if (tookMs > INPUT_MS_MAX) await this.#tryAgain(input)
    if (this.inputs % INPUTS_PER_LOOK === 0) await this.#look(input)
    return outcome
  }

  async #runOnce(input: Uint8Array): Promise<string> {
    try {
      const outcome = this.target.run(Buffer.from(input))
      return typeof outcome === 'string' ? outcome : await outcome
    } catch (cause) {
      const words = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
      throw new Finding(this.target.name, input, words, { cause })
    }
  }

  /** The machine may have been busy with something else. */
  async #tryAgain(input: Uint8Array): Promise<void> {
    let fastestMs = Number.POSITIVE_INFINITY
    for (let i = 0; i < INPUT_TRIES; i += 1) {
      const { user } = process.cpuUsage()
      await this.#runOnce(input)
      fastestMs = Math.min(fastestMs, (process.cpuUsage().user - user) / 1_000)
    }
    if (fastestMs <= INPUT_MS_MAX) return
    throw new Finding(this.target.name, input, `${Math.round(fastestMs)} ms for one input`)
  }

  async #look(input: Uint8Array): Promise<void> {
    await turn() // native memory is only given back between turns
    if (heldBytes() - this.#heldFrom <= GROWN_BYTES_MAX) return
    collectGarbage()
    await turn()
    const grown = heldBytes() - this.#heldFrom
    if (grown <= GROWN_BYTES_MAX) return
    const problem = `${Math.round(grown / 2 ** 20)} MiB more are held than at first`
    throw new Finding(this.target.name, input, problem)
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function heldBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
