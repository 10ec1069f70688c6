// src/client/backup/check-slot.ts — are all chunks of an unchanged file still on two servers?
import type { StoredEntry } from '../remote/stored-tree.ts'
import type { WalkItem } from '../source/walk.ts'
import type { ChunkSink, Watcher } from './chunk-sink.ts'
import type { Content } from './content-reader.ts'
import type { Slot } from './entry-window.ts'

export interface CheckHandlers {
  /** How many more (or fewer) ids are asked about and not answered. */
  onIds(change: number): void
  /** All are there. */
  onPresent(): void
  /** At least one must be sent again: the file has to be read. */
  onMissing(): void
}

/** The place of an unchanged file in the window of entries. Keeps no ids, however large the file. */
export class CheckSlot implements Slot, Watcher {
  readonly item: Extract<WalkItem, { kind: 'entry' }>
  readonly known: StoredEntry
  readonly #handlers: CheckHandlers
  ready = false
  run: () => void = () => undefined
  content: Content | null = null
  #pending = 1 // the asking itself
  #missing = false

  constructor(item: CheckSlot['item'], known: StoredEntry, handlers: CheckHandlers) {
    this.item = item
    this.known = known
    this.#handlers = handlers
  }

  ask(sink: ChunkSink, id: string): void {
    const answer = sink.ask(id, this)
    if (answer === 'missing') this.#missing = true
    if (answer !== 'pending') return
    this.#pending += 1
    this.#handlers.onIds(1)
  }

  /** What the file is made of cannot even be told. */
  handleUnreadable(): void {
    this.#missing = true
  }

  askedAll(): void {
    this.#answered()
  }

  handlePresent(): void {
    this.#handlers.onIds(-1)
    this.#answered()
  }

  handleMissing(): void {
    this.#missing = true
    this.handlePresent()
  }

  #answered(): void {
    this.#pending -= 1
    if (this.#pending > 0) return
    if (this.#missing) this.#handlers.onMissing()
    else this.#handlers.onPresent()
  }
}
