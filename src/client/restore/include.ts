// src/client/restore/include.ts — which part of a snapshot does the user want back?

import type { Problem } from '../events.ts'
import { absolutePath, bytesOfLatin1, displayPath, namesOf } from '../path.ts'

/** inside: wanted. above: only the way to something wanted. outside: not wanted. */
export type Relation = 'inside' | 'above' | 'outside'

/** Paths as they were stored; everything at or below one of them is wanted. None: everything. */
export class Include {
  readonly #wanted: readonly string[][]
  readonly #met = new Set<string>()

  constructor(paths: readonly (string | Uint8Array)[]) {
    this.#wanted = paths.map((path) => namesOf(absolutePath(path, '/')))
  }

  relation(path: Uint8Array): Relation {
    if (this.#wanted.length === 0) return 'inside'
    const names = namesOf(path)
    let above = false
    for (const wanted of this.#wanted) {
      const shared = Math.min(wanted.length, names.length)
      if (!names.slice(0, shared).every((name, at) => name === wanted[at])) continue
      if (names.length < wanted.length) above = true
      else {
        this.#met.add(wanted.join('/'))
        return 'inside'
      }
    }
    return above ? 'above' : 'outside'
  }

  /** True: all below this folder is wanted, and it is the topmost such. */
  begins(folder: Uint8Array): boolean {
    const names = namesOf(folder).join('/')
    if (this.#wanted.length === 0) return names === ''
    return this.#wanted.some((wanted) => wanted.join('/') === names)
  }

  /** What was asked for and never met. */
  problems(): Problem[] {
    return this.#wanted
      .map((names) => names.join('/'))
      .filter((text) => text !== '' && !this.#met.has(text))
      .map((text) => {
        const path = bytesOfLatin1(`/${text}`)
        return { path, code: 'NOT_FOUND', message: `the snapshot has no ${displayPath(path)}` }
      })
  }
}
