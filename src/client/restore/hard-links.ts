// src/client/restore/hard-links.ts — which names in the target are one file?
import type { LinkSource } from './target-entry.ts'

/** lost: nobody can have the content. again: this name failed, another one may do. */
export type Outcome = LinkSource | 'lost' | 'again'

interface Group {
  /** null: the name that is restored as a file is under way. */
  first: Outcome | null
  waiting: ((first: Outcome) => void)[]
  /** Names not met yet, when all are in the snapshot. */
  left: number
}

/** By device and inode of the source. Holds a record per file of several names until the last of
 * them came by; about 300 bytes each. */
export class HardLinks {
  readonly #groups = new Map<string, Group>()

  /** first: restore it, and call `settle` in the end. link: `then` is called once the first name is
   * there or `lost`; with `again` this one is to be restored, and settled, in its place. */
  meet(key: string, links: number, then: (first: Outcome) => void): 'first' | 'link' {
    const group = this.#groups.get(key)
    if (!group) {
      this.#groups.set(key, { first: null, waiting: [], left: links - 1 })
      return 'first'
    }
    group.left -= 1
    if (group.first === 'again') {
      group.first = null
      return 'first'
    }
    if (group.first === null) group.waiting.push(then)
    else then(group.first)
    this.#forget(key, group)
    return 'link'
  }

  settle(key: string, first: Outcome): void {
    const group = this.#groups.get(key)
    if (!group) return
    const next = first === 'again' ? group.waiting.shift() : undefined
    if (next) {
      next('again')
      return
    }
    group.first = first
    for (const then of group.waiting.splice(0)) then(first)
    this.#forget(key, group)
  }

  #forget(key: string, group: Group): void {
    if (group.left <= 0 && group.first !== null) this.#groups.delete(key)
  }
}
