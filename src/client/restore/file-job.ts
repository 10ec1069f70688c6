// src/client/restore/file-job.ts — when is one file complete, and what if it can't be?
import type { StoredEntry } from '../remote/stored-tree.ts'
import { segmentsOf } from './hole-map.ts'
import type { PartFile, TargetEntry } from './target-entry.ts'

export interface FileJobHandlers {
  /** It has its name, content and metadata. */
  onRestored(job: FileJob): void
  onFailed(job: FileJob, error: unknown): void
}

/** A file whose chunks come in any order, from several batches. Opened with the first of them. */
export class FileJob {
  readonly entry: StoredEntry
  readonly place: TargetEntry
  readonly #handlers: FileJobHandlers
  #part: PartFile | null = null
  #pending = 1 // the listing of its chunks
  #error: unknown = null

  constructor(entry: StoredEntry, place: TargetEntry, handlers: FileJobHandlers) {
    this.entry = entry
    this.place = place
    this.#handlers = handlers
  }

  /** A chunk more is to come. */
  expect(): void {
    this.#pending += 1
  }

  /** True: fetching more for it is in vain. */
  get hasFailed(): boolean {
    return this.#error !== null
  }

  /** The content from `offset` on (holes not counted). May be awaited: a large write takes time. */
  async handleChunk(offset: number, plaintext: Uint8Array): Promise<void> {
    try {
      if (this.#error === null) {
        this.#part ??= this.place.createFile(this.entry.size)
        for (const segment of segmentsOf(this.entry.holes, offset, plaintext.length)) {
          const from = segment.offset - offset
          const bytes = plaintext.subarray(from, from + segment.length)
          await this.#part.writeAt(bytes, segment.position)
        }
      }
    } catch (error) {
      this.#error ??= error
    }
    this.settle()
  }

  handleFailure(error: unknown): void {
    this.#error ??= error
    this.settle()
  }

  /** One of the expected things has happened, the listing included. */
  settle(): void {
    this.#pending -= 1
    if (this.#pending > 0) return
    try {
      if (this.#error !== null) throw this.#error
      this.#part ??= this.place.createFile(this.entry.size)
      this.#part.finish(this.entry)
    } catch (error) {
      this.#part?.drop()
      this.#handlers.onFailed(this, error)
      return
    }
    this.#handlers.onRestored(this)
  }
}
