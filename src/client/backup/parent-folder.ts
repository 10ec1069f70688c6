// src/client/backup/parent-folder.ts — what did the parent snapshot say about the entry at hand?
import { isHoldfastError } from '../../errors.ts'
import type { StoredEntry, StoredTree } from '../remote/stored-tree.ts'

/** A folder of the parent's tree, read in step with the walk: both are in byte order. */
export class ParentFolder {
  readonly #tree: StoredTree | null
  #entries: AsyncIterator<StoredEntry> | null
  #next: StoredEntry | null = null

  /** `id`: of its tree node; null for a folder that the parent lacks. */
  constructor(tree: StoredTree | null, id: string | null) {
    this.#tree = tree
    this.#entries = tree && id !== null ? tree.entries(id)[Symbol.asyncIterator]() : null
  }

  /** Names must be asked for in ascending order. A parent that can't be read is no error: what it
   * held counts as new. */
  async find(name: Uint8Array): Promise<StoredEntry | null> {
    while (this.#entries !== null) {
      if (this.#next === null && !(await this.#advance())) return null
      const order = Buffer.compare(this.#next!.name, name)
      if (order > 0) return null
      const found = this.#next
      this.#next = null
      if (order === 0) return found
    }
    return null
  }

  below(known: StoredEntry | null): ParentFolder {
    return new ParentFolder(this.#tree, known?.type === 'dir' ? known.subtree : null)
  }

  async #advance(): Promise<boolean> {
    try {
      const step = await this.#entries!.next()
      if (!step.done) {
        this.#next = step.value
        return true
      }
    } catch (error) {
      if (isHoldfastError(error, 'CANCELLED')) throw error
    }
    this.#entries = null
    return false
  }
}
