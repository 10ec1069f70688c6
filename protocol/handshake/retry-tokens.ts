// protocol/handshake/retry-tokens.ts — does this HELLO come from where it says, without keeping state?
//
//   u48 issue time (s) | 8 B CID that the first HELLO was addressed to | 16 B BLAKE2b-128
//
// The MAC covers address, both CIDs and time under a secret that changes every minute; the one
// before it still counts (as in RFC 9000 §8.1).
import type { Address, RandomBytes } from '../types.ts'
import type { Cid } from './messages.ts'
import { blake2b128, isSame } from './sodium.ts'

const SECRET_BYTES = 32
const SECRET_LIFE_MS = 60_000
const TOKEN_LIFE_MS = 10_000
const TIME_BYTES = 6
const MAC_AT = TIME_BYTES + 8
const TOKEN_BYTES = MAC_AT + 16

export class RetryTokens {
  readonly #random: RandomBytes
  #secrets: Buffer[] = []
  #madeMs = Number.NEGATIVE_INFINITY

  constructor(random: RandomBytes) {
    this.#random = random
  }

  /** `cid`: under which the answer must come; `first`: of the HELLO that is answered. */
  make(nowMs: number, from: Address, cid: Cid, first: Cid): Buffer {
    this.#rotate(nowMs)
    const token = Buffer.alloc(TOKEN_BYTES)
    token.writeUIntLE(Math.floor(nowMs), 0, TIME_BYTES)
    writeCid(token, TIME_BYTES, first)
    mac(this.#secrets[0] as Buffer, token, from, cid).copy(token, MAC_AT)
    return token
  }

  /** True for a token of ours, of the last 10 s, for that address and CID. */
  isGood(nowMs: number, token: Buffer, from: Address, cid: Cid): boolean {
    if (token.length !== TOKEN_BYTES) return false
    this.#rotate(nowMs)
    const ageMs = nowMs - token.readUIntLE(0, TIME_BYTES)
    if (ageMs < -1 || ageMs > TOKEN_LIFE_MS) return false
    const claimed = token.subarray(MAC_AT)
    return this.#secrets.some((secret) => isSame(mac(secret, token, from, cid), claimed))
  }

  #rotate(nowMs: number): void {
    if (nowMs - this.#madeMs < SECRET_LIFE_MS) return
    const kept = nowMs - this.#madeMs < 2 * SECRET_LIFE_MS ? this.#secrets.slice(0, 1) : []
    this.#secrets = [Buffer.from(this.#random(SECRET_BYTES)), ...kept]
    this.#madeMs = nowMs
  }
}

/** Of a good token: the CID that the HELLO before the RETRY was addressed to, 8 bytes. */
export const firstCidOf = (token: Buffer): Buffer => token.subarray(TIME_BYTES, MAC_AT)

function mac(secret: Buffer, token: Buffer, from: Address, cid: Cid): Buffer {
  const where = Buffer.from(`${from.host} ${from.port} `)
  const to = Buffer.alloc(8)
  writeCid(to, 0, cid)
  return blake2b128(Buffer.concat([token.subarray(0, MAC_AT), to, where]), secret)
}

function writeCid(into: Buffer, at: number, cid: Cid): void {
  into.writeUInt32LE(cid[0], at)
  into.writeUInt32LE(cid[1], at + 4)
}
