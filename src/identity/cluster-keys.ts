// src/identity/cluster-keys.ts — with which key does the manager sign just now, and until when?
//
// One key mostly, two while it is rotated: the new one is listed at once, signs as soon as every node
// that is up has heard of it, and the old one stays listed until all that it has signed has ended.
import { HoldfastError } from '../errors.ts'
import { newSeed, SigningKey } from './signing.ts'

/** Servers hear of a new key with their next heartbeat, clients every 30 s. */
const SIGNS_AFTER_MS = 60_000
/** Longer than anything that is signed may live. */
const LISTED_MS = 25 * 3_600_000
const VERSION = 1

interface Entry {
  readonly seed: Uint8Array
  readonly key: SigningKey
  readonly signsFromMs: number
  /** Null: until the next rotation. */
  readonly listedUntilMs: number | null
}

/** Puts the text in place of what was kept before; durable once resolved. */
export type KeepKeys = (text: string) => Promise<void>

export class ClusterKeys {
  readonly #keep: KeepKeys
  #entries: readonly Entry[]

  private constructor(keep: KeepKeys, entries: readonly Entry[]) {
    this.#keep = keep
    this.#entries = entries
  }

  /** A new key, kept in place of whatever there was. */
  static async create(keep: KeepKeys, seed: Uint8Array = newSeed()): Promise<ClusterKeys> {
    const keys = new ClusterKeys(keep, [entry(seed, 0, null)])
    await keys.#write(keys.#entries)
    return keys
  }

  /** What was kept. Null: these are no keys of ours. */
  static parse(text: string, keep: KeepKeys): ClusterKeys | null {
    try {
      const { version, keys } = JSON.parse(text) as { version: unknown; keys: unknown[] }
      const isOurs = version === VERSION && keys.length >= 1 && keys.length <= 2
      return isOurs ? new ClusterKeys(keep, keys.map(parseEntry)) : null
    } catch {
      return null
    }
  }

  /** For directories: 64 hex digits each, oldest first. */
  get publicKeys(): string[] {
    return this.#entries.map(({ key }) => key.publicKey)
  }

  get isRotating(): boolean {
    return this.#entries.length > 1
  }

  /** The key that every node knows. */
  get established(): SigningKey {
    return this.#first.key
  }

  /** The key to sign with. */
  current(nowMs: number): SigningKey {
    return (this.#entries.findLast((e) => e.signsFromMs <= nowMs) ?? this.#first).key
  }

  /** When the old key's time is over; null while there is one key only. */
  get listedUntilMs(): number | null {
    return this.#first.listedUntilMs
  }

  /** Adds a key. Call only when there is one. */
  async add(nowMs: number): Promise<void> {
    const old = { ...this.#first, listedUntilMs: nowMs + LISTED_MS }
    await this.#replace([old, entry(newSeed(), nowMs + SIGNS_AFTER_MS, null)])
  }

  /** Forgets all keys that are not in `listed`, or the older one. */
  async keep(listed: readonly string[]): Promise<void> {
    const kept = this.#entries.filter(({ key }) => listed.includes(key.publicKey))
    if (kept.length === this.#entries.length) return
    await this.#replace(kept.length === 1 ? kept.map((e) => ({ ...e, listedUntilMs: null })) : kept)
  }

  async #replace(entries: readonly Entry[]): Promise<void> {
    await this.#write(entries)
    this.#entries = entries
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    const keys = entries.map(({ seed, signsFromMs, listedUntilMs }) => {
      return { seed: Buffer.from(seed).toString('hex'), signsFromMs, listedUntilMs }
    })
    await this.#keep(`${JSON.stringify({ version: VERSION, keys })}\n`)
  }

  get #first(): Entry {
    const [first] = this.#entries
    if (!first)
      throw new HoldfastError('BAD_FILE', 'the directory lists none of the keys in cluster.key')
    return first
  }
}

const entry = (seed: Uint8Array, signsFromMs: number, listedUntilMs: number | null): Entry => ({
  seed,
  key: new SigningKey(seed),
  signsFromMs,
  listedUntilMs,
})

function parseEntry(value: unknown): Entry {
  const { seed, signsFromMs, listedUntilMs } = value as Record<string, unknown>
  const isTime = (time: unknown): boolean => typeof time === 'number' && Number.isFinite(time)
  const good =
    typeof seed === 'string' &&
    /^[0-9a-f]{64}$/.test(seed) &&
    isTime(signsFromMs) &&
    (listedUntilMs === null || isTime(listedUntilMs))
  if (!good) throw new Error('not ours')
  return entry(Buffer.from(seed, 'hex'), signsFromMs as number, listedUntilMs as number | null)
}
