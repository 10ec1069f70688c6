// protocol/connection/resets.ts — how does a peer learn that we know nothing of its connection?
import { type Cid, encodeReset, resetTokenOf } from '../handshake/messages.ts'
import { blake2b256 } from '../handshake/sodium.ts'
import type { Address, LocalIdentity, RandomBytes } from '../types.ts'
import { HEADER_BYTES, TAG_BYTES } from '../wire/header.ts'
import type { Transmit } from './api.ts'
import { RateLimit } from './rate-limit.ts'

const RESETS_PER_SECOND_MAX = 100
const RESET_BYTES_MIN = HEADER_BYTES + TAG_BYTES
const RESET_BYTES_MAX = RESET_BYTES_MIN + 24
const RESET_LABEL = Buffer.from('stateless reset')

/** Stateless resets (RFC 9000 §10.3): their tokens, and those that wait to be sent. */
export class Resets {
  readonly #random: RandomBytes
  #secret: Uint8Array
  readonly #queue: { packet: Buffer; to: Address }[] = []
  readonly #rate = new RateLimit(RESETS_PER_SECOND_MAX)

  constructor(identity: LocalIdentity, random: RandomBytes) {
    this.#random = random
    this.#secret = secretOf(identity)
  }

  setIdentity(identity: LocalIdentity): void {
    this.#secret = secretOf(identity)
  }

  tokenOf(cid: Cid): Uint8Array {
    return resetTokenOf(this.#secret, cid)
  }

  /** Answers a packet of `lengthBytes` that no connection took. False: too many, or too short. */
  answer(nowMs: number, lengthBytes: number, dcid: Cid, to: Address): boolean {
    const resetBytes = Math.min(lengthBytes - 1, RESET_BYTES_MAX)
    if (resetBytes < RESET_BYTES_MIN || !this.#rate.take(nowMs)) return false
    const token = this.tokenOf(dcid)
    const random = this.#random(RESET_BYTES_MAX - RESET_BYTES_MIN)
    const packet = encodeReset({ dcid, token, lengthBytes: resetBytes, random })
    this.#queue.push({ packet, to })
    return true
  }

  pollTransmit(buffer: Buffer, out: Transmit): number {
    const reset = this.#queue.shift()
    if (!reset) return 0
    out.to = reset.to
    return reset.packet.copy(buffer)
  }
}

/** From the static key: nothing more to keep, and the same after a restart. */
const secretOf = ({ secretKey }: LocalIdentity): Buffer => blake2b256(RESET_LABEL, secretKey)
