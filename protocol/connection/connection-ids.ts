// protocol/connection/connection-ids.ts — under which names do the two ends find this connection?
//
// RFC 9000 §5.1: each end gives out ids (CIDs) that lead packets to it, and a few spare ones, so
// that after a change of address the other can take a fresh one that nobody has seen on the old path.
import type { Cid } from '../handshake/messages.ts'
import { RESET_TOKEN_BYTES } from '../handshake/payload.ts'
import { FRAME, type FrameWriter } from '../wire/frames.ts'
import { CLOSE_CODE } from './limits.ts'
import type { SentFrame } from './sent-frame.ts'

/** Beside the one in use. */
const SPARE = 2
/** More than these at once, and the peer breaks the rules: it may give us so many … */
const REMOTE_MAX = 8
/** … and make us give back so many before it has acknowledged one. */
const RETIREMENTS_OWED_MAX = 16
const NEW_CID_BYTES = 1 + 4 + 4 + 8 + RESET_TOKEN_BYTES
const RETIRE_CID_BYTES = 5
const NO_CID: Cid = [0, 0]

/** Where all connections of an endpoint are found. */
export interface CidRegistry {
  /** A new CID that leads to this connection, and its reset token. */
  issue(): { cid: Cid; resetToken: Uint8Array }
  release(cid: Cid): void
  /** The peer is addressed by `now` from here on; a RESET for `before` means nothing any more. */
  handleRemoteCid(before: Cid | null, now: Cid): void
}

interface Remote {
  readonly sequence: number
  readonly cid: Cid
  readonly resetToken: Uint8Array
}

export class ConnectionIds {
  readonly #registry: CidRegistry
  /** Ours, by sequence number. */
  readonly #local = new Map<number, { cid: Cid; resetToken: Uint8Array }>()
  #nextSequence = 1
  readonly #owedNew = new Set<number>()
  /** The peer's; the first is in use. */
  #remote: Remote[] = []
  #retiredBelow = 0
  readonly #owedRetire = new Set<number>()

  constructor(registry: CidRegistry, first: Cid) {
    this.#registry = registry
    this.#local.set(0, { cid: first, resetToken: new Uint8Array(0) })
  }

  get remoteCid(): Cid {
    return this.#remote[0]?.cid ?? NO_CID
  }

  get resetToken(): Uint8Array | null {
    return this.#remote[0]?.resetToken ?? null
  }

  isOurs(low: number, high: number): boolean {
    for (const { cid } of this.#local.values()) if (cid[0] === low && cid[1] === high) return true
    return false
  }

  establish(cid: Cid, resetToken: Uint8Array): void {
    this.#remote = [{ sequence: 0, cid, resetToken }]
    this.#registry.handleRemoteCid(null, cid)
  }

  /** The handshake is confirmed: spare ids may be given out. */
  issueSpares(): void {
    while (this.#local.size < 1 + SPARE) this.#issue()
  }

  #issue(): void {
    const sequence = this.#nextSequence
    this.#nextSequence += 1
    this.#local.set(sequence, this.#registry.issue())
    this.#owedNew.add(sequence)
  }

  /** Our path has changed: go on under an id that nobody has seen on the old one, if there is one. */
  rotate(): void {
    const [used, next] = this.#remote
    if (!used || !next) return
    this.#remote.shift()
    this.#owedRetire.add(used.sequence)
    this.#registry.handleRemoteCid(used.cid, next.cid)
  }

  /** Null, or the code to close with. */
  handleNew(given: Remote & { retirePrior: number }): number | null {
    const { sequence, cid, resetToken, retirePrior } = given
    if (retirePrior > sequence) return CLOSE_CODE.frameEncoding
    const known = this.#remote.find((remote) => remote.sequence === sequence)
    if (known) {
      const isSame = known.cid[0] === cid[0] && known.cid[1] === cid[1]
      return isSame ? null : CLOSE_CODE.protocol
    }
    if (sequence < this.#retiredBelow) this.#owedRetire.add(sequence)
    else this.#remote.push({ sequence, cid, resetToken })
    if (retirePrior > this.#retiredBelow) this.#retireBelow(retirePrior)
    const isTooMuch =
      this.#remote.length > REMOTE_MAX || this.#owedRetire.size > RETIREMENTS_OWED_MAX
    return isTooMuch ? CLOSE_CODE.connectionIdLimit : null
  }

  #retireBelow(sequence: number): void {
    this.#retiredBelow = sequence
    const before = this.#remote[0]
    for (const remote of this.#remote) {
      if (remote.sequence < sequence) this.#owedRetire.add(remote.sequence)
    }
    this.#remote = this.#remote.filter((remote) => remote.sequence >= sequence)
    const now = this.#remote[0]
    if (before && now && before !== now) this.#registry.handleRemoteCid(before.cid, now.cid)
  }

  /** The peer uses one of ours no longer; `via`: the packet that says so came under this one. */
  handleRetire(sequence: number, via: Cid): number | null {
    if (sequence >= this.#nextSequence) return CLOSE_CODE.protocol
    const retired = this.#local.get(sequence)
    if (!retired) return null
    if (retired.cid[0] === via[0] && retired.cid[1] === via[1]) return CLOSE_CODE.protocol
    this.#local.delete(sequence)
    this.#owedNew.delete(sequence)
    this.#registry.release(retired.cid)
    this.issueSpares()
    return null
  }

  end(): void {
    for (const { cid } of this.#local.values()) this.#registry.release(cid)
    this.#local.clear()
  }

  get isOwed(): boolean {
    return this.#owedNew.size > 0 || this.#owedRetire.size > 0
  }

  write(writer: FrameWriter, frames: SentFrame[]): void {
    for (const sequence of this.#owedNew) {
      if (writer.roomBytes < NEW_CID_BYTES) return
      this.#owedNew.delete(sequence)
      const local = this.#local.get(sequence)
      if (!local) continue
      writer.u8(FRAME.newCid)
      writer.varint(sequence)
      writer.varint(0)
      writer.u32(local.cid[0])
      writer.u32(local.cid[1])
      writer.raw(local.resetToken)
      frames.push(sent(FRAME.newCid, sequence))
    }
    for (const sequence of this.#owedRetire) {
      if (writer.roomBytes < RETIRE_CID_BYTES) return
      this.#owedRetire.delete(sequence)
      writer.u8(FRAME.retireCid)
      writer.varint(sequence)
      frames.push(sent(FRAME.retireCid, sequence))
    }
  }

  handleLost(frame: SentFrame): void {
    if (frame.kind === FRAME.newCid) {
      if (this.#local.has(frame.id)) this.#owedNew.add(frame.id)
    } else if (frame.kind === FRAME.retireCid) this.#owedRetire.add(frame.id)
  }
}

const sent = (kind: number, id: number): SentFrame => ({
  kind,
  id,
  offset: 0,
  lengthBytes: 0,
  fin: false,
})
