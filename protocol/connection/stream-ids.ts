// protocol/connection/stream-ids.ts — which streams may each side open, and which has it opened?
//
// An id is index × 4 + direction × 2 + side: bit 0 is 1 for the acceptor's, bit 1 for one-way.
import { CLOSE_CODE } from './limits.ts'

export const BIDI = 0
export const UNI = 1
const KINDS = [BIDI, UNI] as const

export type StreamKind = (typeof KINDS)[number]

export const kindOf = (id: number): StreamKind => ((id >> 1) & 1) as StreamKind

export class StreamIds {
  readonly #side: 0 | 1
  readonly #opened = [0, 0]
  readonly #openMax = [0, 0]
  readonly #wantsOpen = [false, false]
  readonly #accepted = [0, 0]
  readonly #acceptMax: [number, number]
  /** Per kind: MAX_STREAMS waits to be sent. */
  readonly isOwed = [false, false]

  constructor(isInitiator: boolean, acceptMax: number) {
    this.#side = isInitiator ? 0 : 1
    this.#acceptMax = [acceptMax, acceptMax]
  }

  /** How many streams of this kind the peer may open in all. */
  acceptMax(kind: StreamKind): number {
    return this.#acceptMax[kind]
  }

  get lastAccepted(): number {
    return Math.max(this.#accepted[BIDI] as number, this.#accepted[UNI] as number)
  }

  /** What the peer says in the handshake. */
  begin(openMax: number): void {
    this.#openMax.fill(openMax)
  }

  /** The next stream of ours; null while the peer's limit forbids it. */
  open(kind: StreamKind): number | null {
    const index = this.#opened[kind] as number
    if (index >= (this.#openMax[kind] as number)) {
      this.#wantsOpen[kind] = true
      return null
    }
    this.#opened[kind] = index + 1
    return index * 4 + kind * 2 + this.#side
  }

  isOurs(id: number): boolean {
    return (id & 1) === this.#side
  }

  /** Which rule a frame for this stream breaks; null when none. */
  defectOf(id: number, needs: 'send' | 'receive'): { code: number; reason: string } | null {
    const kind = kindOf(id)
    const index = Math.floor(id / 4)
    const isUnknown = this.isOurs(id) && index >= (this.#opened[kind] as number)
    if (isUnknown || (this.isOurs(id) && kind === UNI && needs === 'receive')) {
      return { code: CLOSE_CODE.streamState, reason: `frame for stream ${id}, which is not open` }
    }
    if (this.isOurs(id)) return null
    if (kind === UNI && needs === 'send') {
      return { code: CLOSE_CODE.streamState, reason: `stream ${id} can only receive` }
    }
    if (index < this.#acceptMax[kind]) return null
    return { code: CLOSE_CODE.streamLimit, reason: `stream ${id} is over the limit` }
  }

  /** The peer's next stream up to this one; null when that is known already. One opens those before
   * it as well (RFC 9000 §3.2). */
  acceptNext(id: number): number | null {
    const kind = kindOf(id)
    const index = this.#accepted[kind] as number
    if (this.isOurs(id) || index > Math.floor(id / 4)) return null
    this.#accepted[kind] = index + 1
    return index * 4 + kind * 2 + (id & 1)
  }

  /** The peer may open so many more. */
  allow(kind: StreamKind, more: number): void {
    this.#acceptMax[kind] += more
    this.isOwed[kind] = true
  }

  /** So many more of each kind. */
  allowAll(more: number): void {
    for (const kind of KINDS) this.allow(kind, more)
  }

  /** MAX_STREAMS. True: somebody waits for it. */
  handleMax(kind: StreamKind, limit: number): boolean {
    if (limit <= (this.#openMax[kind] as number)) return false
    this.#openMax[kind] = limit
    const isAwaited = this.#wantsOpen[kind] as boolean
    this.#wantsOpen[kind] = false
    return isAwaited
  }
}
