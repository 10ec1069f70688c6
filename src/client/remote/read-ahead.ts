// src/client/remote/read-ahead.ts — which nodes will a walk through a stored tree want next?
//
// A walk meets the nodes of a tree in one fixed order: a node, then what is below it, then its next
// sibling. This keeps the list of nodes to come in that order, as far as it is known, and loads from
// its front; each node that arrives puts those below it in their places. The walk may leave nodes
// out: one that it asks for leaves behind all that came before it.
import { nodesBelow } from '../../chunk/index.ts'

interface Item {
  readonly id: string
  /** Null: not asked for yet, or let go of. */
  node: Promise<Uint8Array> | null
  /** Of a node that is here and that the walk has not come to; else 0. */
  heldBytes: number
  /** The walk has come to it, or left it out. */
  isPast: boolean
  /** What is below it is in the list. */
  isOpened: boolean
  next: Item | null
}

export interface ReadAheadOptions {
  /** Nodes that are here and that the walk has not come to. Those on their way are about half as
   * much more. */
  readonly bytesMax: number
  readonly load: (id: string) => Promise<Uint8Array>
  /** Calls back soon, after what waits now. */
  readonly defer: (run: () => void) => void
}

/** From the front: what is further down will be pushed away by what the first ones turn out to
 * hold. */
const WINDOW_NODES = 512
const IN_FLIGHT_NODES_MIN = 4
const IN_FLIGHT_NODES_MAX = 256
const NODE_BYTES_GUESS = 16_384

export class ReadAhead {
  readonly #options: ReadAheadOptions
  /** Where the walk is; what follows is to come. */
  #head: Item = newItem('')
  /** How often each id is to come: an empty folder has the same one everywhere. */
  readonly #toCome = new Map<string, number>()
  #inFlight = 0
  #heldBytes = 0
  #meanBytes = NODE_BYTES_GUESS
  #isScheduled = false

  constructor(root: string, options: ReadAheadOptions) {
    this.#options = options
    this.#insert(this.#head, [root])
  }

  /** The walk has come to this node: its plaintext. Null when the tree has no such node ahead. */
  take(id: string): Promise<Uint8Array> | null {
    if (!this.#toCome.has(id)) return null
    do this.#advance()
    while (this.#head.id !== id)
    this.#schedule()
    return this.#head.node ?? this.#ask(this.#head)
  }

  #advance(): void {
    this.#head.node = null
    const item = this.#head.next!
    this.#head = item
    item.isPast = true
    this.#heldBytes -= item.heldBytes
    item.heldBytes = 0
    const left = this.#toCome.get(item.id)! - 1
    if (left === 0) this.#toCome.delete(item.id)
    else this.#toCome.set(item.id, left)
  }

  #ask(item: Item): Promise<Uint8Array> {
    const node = this.#options.load(item.id)
    item.node = node
    this.#inFlight += 1
    node
      .then((bytes) => this.#handleNode(item, bytes))
      // Whoever reads the node meets the failure.
      .catch(() => undefined)
      .finally(() => {
        this.#inFlight -= 1
        this.#schedule()
      })
    return node
  }

  /** Runs before the walk sees the node, so that what is below it is known by then. */
  #handleNode(item: Item, node: Uint8Array): void {
    if (item.isPast && item !== this.#head) return
    this.#meanBytes += (node.length - this.#meanBytes) / 16
    if (!item.isPast) {
      item.heldBytes = node.length
      this.#heldBytes += node.length
    }
    if (item.isOpened) return
    item.isOpened = true
    this.#insert(item, nodesBelow(item.id, node))
  }

  #insert(after: Item, ids: readonly string[]): void {
    const last = after.next
    let at = after
    for (const id of ids) {
      at.next = newItem(id)
      at = at.next
      this.#toCome.set(id, (this.#toCome.get(id) ?? 0) + 1)
    }
    at.next = last
    this.#schedule()
  }

  /** Nodes arrive many at once: one look at the list is enough for all of them. */
  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#options.defer(() => {
      this.#isScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    let held: Item[] | null = null
    let item = this.#head.next
    for (let at = 0; at < WINDOW_NODES && item !== null; at += 1, item = item.next) {
      if (item.node !== null) continue
      if (this.#inFlight >= this.#inFlightMax) return
      if (this.#heldBytes + this.#inFlight * this.#meanBytes >= this.#options.bytesMax) {
        // What was here first may be needed last: the front has it.
        held ??= heldFrom(item)
        const last = held.pop()
        if (last === undefined || last.isPast) return
        this.#heldBytes -= last.heldBytes
        last.heldBytes = 0
        last.node = null
      }
      this.#ask(item)
    }
  }

  get #inFlightMax(): number {
    const fit = Math.floor(this.#options.bytesMax / 2 / this.#meanBytes)
    return Math.min(IN_FLIGHT_NODES_MAX, Math.max(IN_FLIGHT_NODES_MIN, fit))
  }
}

function heldFrom(first: Item): Item[] {
  const held: Item[] = []
  for (let item: Item | null = first; item !== null; item = item.next) {
    if (item.heldBytes > 0) held.push(item)
  }
  return held
}

const newItem = (id: string): Item => ({
  id,
  node: null,
  heldBytes: 0,
  isPast: false,
  isOpened: false,
  next: null,
})
