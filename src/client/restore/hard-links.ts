// src/client/restore/hard-links.ts — which names in the target are one file?
import type { LinkSource } from './target-entry.ts'

type Outcome = LinkSource | null
interface Group {
  /** undefined: its first name is under way; null: it failed. */
  first: Outcome | undefined
  waiting: ((first: Outcome) => void)[]
  /** Names not met yet, when all are in the snapshot. */
  left: number
}

/** By device and inode of the source. Holds a record per file of several names until the last of
 * them came by; about 300 bytes each. */
export class HardLinks {
  readonly #groups = new Map<string, Group>()

  /** first: restore it, and call `settle` in the end. link: `then` is called when the first name is
   * there (or null: it could not be restored). */
  meet(key: string, links: number, then: (first: Outcome) => void): 'first' | 'link' {
    const group = this.#groups.get(key)
    if (!group) {
      this.#groups.set(key, { first: undefined, waiting: [], left: links - 1 })
      return 'first'
    }
    group.left -= 1
    if (group.first === undefined) group.waiting.push(then)
    else then(group.first)
    this.#forget(key, group)
    return 'link'
  }

  settle(key: string, first: Outcome): void {
    const group = this.#groups.get(key)
    if (!group) return
    group.first = first
    for (const then of group.waiting.splice(0)) then(first)
    this.#forget(key, group)
  }

  #forget(key: string, group: Group): void {
    if (group.left <= 0 && group.first !== undefined) this.#groups.delete(key)
  }
}
