// src/client/restore/batches.ts — which chunks are fetched together, and where do they go?
import { HoldfastError } from '../../errors.ts'
import { LIMITS } from '../../messages.ts'
import type { ChunkRef } from '../backup/file-reader.ts'
import type { ChunkReader } from '../remote/chunk-reader.ts'
import type { Context } from '../remote/context.ts'
import type { FileJob } from './file-job.ts'

interface Want {
  readonly job: FileJob
  /** In the content of the job's file. */
  readonly offset: number
  /** As the tree says; the content after it is laid out accordingly. */
  readonly length: number
}

/** Collects what files want and fetches it batch by batch, a few batches at once. A chunk that
 * several places of a batch want is fetched once. */
export class Batches {
  readonly #context: Context
  readonly #reader: ChunkReader
  #wants = new Map<string, Want[]>()
  #bytes = 0
  readonly #running = new Set<Promise<void>>()
  #failure: unknown = null

  constructor(context: Context, reader: ChunkReader) {
    this.#context = context
    this.#reader = reader
  }

  /** Waits while too much is under way. Throws what stopped a batch as a whole. */
  async add(job: FileJob, ref: ChunkRef, offset: number): Promise<void> {
    job.expect()
    const want = { job, offset, length: ref.length }
    const wants = this.#wants.get(ref.id)
    if (wants) wants.push(want)
    else {
      this.#wants.set(ref.id, [want])
      this.#bytes += ref.length
    }
    const { restoreBatchBytes } = this.#context.limits
    if (this.#bytes >= restoreBatchBytes || this.#wants.size >= LIMITS.chunksPerQuery) {
      await this.flush()
    }
  }

  /** Starts what was collected, when fewer than the limit are under way. */
  async flush(): Promise<void> {
    while (this.#running.size >= this.#context.limits.restoreBatches) {
      await Promise.race(this.#running)
    }
    if (this.#failure !== null) throw this.#failure
    if (this.#wants.size === 0) return
    const wants = this.#wants
    this.#wants = new Map()
    this.#bytes = 0
    const running: Promise<void> = this.#run(wants).finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Until nothing is under way. */
  async drain(): Promise<void> {
    await this.flush()
    await Promise.all(this.#running)
    if (this.#failure !== null) throw this.#failure
  }

  /** Everything that was collected and not yet fetched ends here: after an interruption. */
  async abandon(error: unknown): Promise<void> {
    this.#failure ??= error
    await Promise.all(this.#running)
    for (const wants of this.#wants.values()) {
      for (const { job } of wants) job.handleFailure(error)
    }
    this.#wants = new Map()
  }

  async #run(wants: Map<string, Want[]>): Promise<void> {
    const open = new Map(wants)
    try {
      await this.#reader.read(
        'data',
        this.#wanted(wants, open),
        async (id, plaintext) => {
          open.delete(id)
          for (const { job, offset, length } of wants.get(id)!) {
            if (plaintext.length === length) await job.handleChunk(offset, plaintext)
            else job.handleFailure(anotherLength(id, length, plaintext.length))
          }
        },
        (id, error) => {
          open.delete(id)
          for (const { job } of wants.get(id)!) job.handleFailure(error)
        },
      )
    } catch (error) {
      this.#failure ??= error
      for (const left of open.values()) for (const { job } of left) job.handleFailure(error)
    }
  }

  /** Not what only failed files want. */
  *#wanted(wants: Map<string, Want[]>, open: Map<string, Want[]>): Generator<string> {
    for (const [id, list] of wants) {
      if (list.some(({ job }) => !job.hasFailed)) {
        yield id
        continue
      }
      open.delete(id)
      for (const { job } of list) job.settle()
    }
  }
}

const anotherLength = (id: string, said: number, is: number): HoldfastError =>
  new HoldfastError('CORRUPT', `chunk ${id} has ${is} bytes where the tree says ${said}`)
