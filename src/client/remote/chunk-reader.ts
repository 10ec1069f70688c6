// src/client/remote/chunk-reader.ts — how do stored chunks come back, whichever replica still works?
import { type ChunkKind, type Compressor, open, type RepositoryKeys } from '../../chunk/index.ts'
import { HoldfastError, isHoldfastError } from '../../errors.ts'
import { LIMITS, type ServerAddress } from '../../messages.ts'
import type { ServerRef } from '../events.ts'
import { type Context, sleep, throwIfAborted } from './context.ts'
import { type FetchTask, type Place, planFetches } from './fetch-plan.ts'
import { fetchRanges } from './fetch-ranges.ts'
import type { ManagerLink } from './manager-link.ts'
import { ServerChoice } from './server-choice.ts'

/** Takes one verified plaintext. What it returns is awaited, so that a slow disk slows the fetch. */
export type Deliver = (id: string, plaintext: Uint8Array) => void | Promise<void>
export type Failed = (id: string, error: HoldfastError) => void

// Asking the manager again may find a replica that was repaired or a server that came back.
const ROUNDS = 4

export class ChunkReader {
  readonly #context: Context
  readonly #link: ManagerLink
  readonly #keys: RepositoryKeys
  readonly #compressor: Compressor
  readonly #choice: ServerChoice
  readonly #reported = new Set<string>()
  #active = 0
  readonly #queue: (() => void)[] = []
  readonly badReplicas: { server: ServerRef; blobId: string }[] = []
  fetchedBytes = 0

  constructor(
    context: Context,
    link: ManagerLink,
    { keys, compressor }: { keys: RepositoryKeys; compressor: Compressor },
  ) {
    this.#context = context
    this.#link = link
    this.#keys = keys
    this.#compressor = compressor
    this.#choice = new ServerChoice(context.clock)
  }

  /**
   * Fetches each distinct id once, from both replicas at once where there is more than one piece,
   * and verifies it. Every id ends in `deliver` or in `failed`. Rejects only for what stops all:
   * CANCELLED, or a manager that stays away.
   */
  async read(
    kind: ChunkKind,
    ids: Iterable<string>,
    deliver: Deliver,
    failed: Failed,
  ): Promise<void> {
    let missing = new Set(ids)
    const errors = new Map<string, HoldfastError>()
    for (let round = 1; missing.size > 0; round += 1) {
      const rest = new Set<string>()
      const retry = (id: string, error: HoldfastError): void => {
        rest.add(id)
        errors.set(id, error)
      }
      const { tasks, servers, grant } = await this.#locate([...missing], retry)
      await Promise.all(
        tasks.map((task) => {
          const run = { kind, servers, grant, deliver, retry }
          return this.#inSlot(() => this.#run(task, run))
        }),
      )
      missing = rest
      if (missing.size === 0) return
      if (round === ROUNDS) break
      const { timing } = this.#context
      await sleep(this.#context, Math.min(timing.backoffMs * 2 ** round, timing.backoffMsMax))
    }
    for (const id of missing) failed(id, errors.get(id)!)
  }

  /** One chunk. Rejects with NOT_FOUND, CORRUPT or what kept the servers from answering. */
  async load(kind: ChunkKind, id: string): Promise<Uint8Array> {
    const results: Uint8Array[] = []
    const errors: HoldfastError[] = []
    const deliver = (_: string, plaintext: Uint8Array): void => void results.push(plaintext)
    await this.read(kind, [id], deliver, (_, error) => void errors.push(error))
    if (results[0]) return results[0]
    throw errors[0] ?? new HoldfastError('INTERNAL', `chunk ${id} neither came nor failed`)
  }

  async #locate(ids: string[], retry: Failed) {
    const places: Place[] = []
    const servers = new Map<number, ServerAddress>()
    let grant: Uint8Array = new Uint8Array()
    for (let at = 0; at < ids.length; at += LIMITS.chunksPerQuery) {
      const chunkIds = ids.slice(at, at + LIMITS.chunksPerQuery)
      const repositoryId = this.#keys.repositoryId
      const located = await this.#link.call('chunks.locate', { repositoryId, chunkIds })
      grant = located.grant
      for (const server of located.servers) servers.set(server.number, server)
      for (const [index, id] of chunkIds.entries()) {
        const place = located.places[index]
        if (!place) retry(id, new HoldfastError('NOT_FOUND', `no server has chunk ${id}`))
        else if (place.servers.length === 0) retry(id, noReplica(id, place.blobId))
        else places.push({ id, ...place })
      }
    }
    return { tasks: planFetches(places), servers, grant }
  }

  /** Tries the replicas of one blob in turn, each for what the ones before did not deliver. */
  async #run(
    task: FetchTask,
    options: {
      kind: ChunkKind
      servers: Map<number, ServerAddress>
      grant: Uint8Array
      deliver: Deliver
      retry: Failed
    },
  ): Promise<void> {
    const left = new Map(task.places.map((place) => [place.id, place]))
    const tried = new Set<number>()
    let last = noReplica(task.places[0]!.id, task.blobId)
    while (left.size > 0) {
      const number = this.#choice.pick(task.servers.filter((one) => !tried.has(one)))
      const server = number === null ? undefined : options.servers.get(number)
      if (number === null) break
      tried.add(number)
      if (!server) continue
      const places = [...left.values()]
      const bytes = places.reduce((sum, place) => sum + place.length, 0)
      const hasOther = task.servers.some((one) => !tried.has(one) && options.servers.has(one))
      this.#choice.begin(number, bytes)
      try {
        await fetchRanges(this.#context, {
          server,
          grant: options.grant,
          repositoryId: this.#keys.repositoryId,
          blobId: task.blobId,
          places,
          connectMs: hasOther ? this.#context.timing.connectMs : undefined,
          onSealed: async (place, sealed) => {
            this.fetchedBytes += sealed.length
            const error = await this.#openInto(place, sealed, options)
            if (error === null) left.delete(place.id)
            else last = this.#badReplica(server, task.blobId, error)
          },
        })
        this.#choice.trust(number)
      } catch (error) {
        throwIfAborted(this.#context.signal)
        if (!isHoldfastError(error)) throw error
        last = this.#handleFailure(server, task.blobId, error)
      } finally {
        this.#choice.end(number, bytes)
      }
    }
    for (const id of left.keys()) options.retry(id, last)
  }

  /** Null when the chunk was right and is delivered; the defect when its bytes are wrong. */
  async #openInto(
    place: Place,
    sealed: Uint8Array,
    { kind, deliver }: { kind: ChunkKind; deliver: Deliver },
  ): Promise<HoldfastError | null> {
    let plaintext: Uint8Array
    try {
      plaintext = await open(this.#keys, place.id, sealed, this.#compressor, kind)
    } catch (error) {
      if (isHoldfastError(error, 'CORRUPT')) return error
      throw error
    }
    await deliver(place.id, plaintext)
    return null
  }

  #handleFailure(server: ServerAddress, blobId: string, error: HoldfastError): HoldfastError {
    if (error.code === 'CORRUPT' || error.code === 'NOT_FOUND') {
      return this.#badReplica(server, blobId, error)
    }
    this.#choice.avoid(server.number)
    return error
  }

  #badReplica(server: ServerAddress, blobId: string, error: HoldfastError): HoldfastError {
    const key = `${server.number} ${blobId}`
    if (!this.#reported.has(key) && this.#reported.size < 10_000) {
      this.#reported.add(key)
      const reference = { number: server.number, name: server.name }
      if (this.badReplicas.length < 1000) this.badReplicas.push({ server: reference, blobId })
      const what = error.code === 'NOT_FOUND' ? 'lacks' : 'has a bad copy of'
      const message = `server ${server.number} (${server.name}) ${what} blob ${blobId}`
      this.#context.onEvent({ type: 'bad-replica', server: reference, blobId, message })
    }
    return error
  }

  async #inSlot(run: () => Promise<void>): Promise<void> {
    if (this.#active >= this.#context.limits.fetchesInFlight) {
      await new Promise<void>((resolve) => this.#queue.push(resolve))
    } else this.#active += 1 // A waiter inherits the slot of the one that ended.
    try {
      throwIfAborted(this.#context.signal)
      await run()
    } finally {
      const next = this.#queue.shift()
      if (next) next()
      else this.#active -= 1
    }
  }
}

const noReplica = (id: string, blobId: string): HoldfastError =>
  new HoldfastError('NOT_FOUND', `no server that is up has chunk ${id} (blob ${blobId})`)

/** Of what `read` and `load` answer for one chunk: that one is lost, or cannot be had now; others
 * may well be fine. */
export const isLoss = (error: unknown): boolean =>
  (['NOT_FOUND', 'CORRUPT', 'UNREACHABLE', 'DEADLINE_EXCEEDED'] as const).some((code) =>
    isHoldfastError(error, code),
  )
