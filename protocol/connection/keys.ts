// protocol/connection/keys.ts — which keys does this connection use, and when does it take new ones?
import type { Cid } from '../handshake/messages.ts'
import { type Opened, PacketProtection } from '../protection/packet-protection.ts'
import type { Suite } from '../protection/suite.ts'

/** Told of each key that a connection uses. */
export type KeyLog = (keys: {
  /** The first CID that the packets of this direction are addressed to. */
  readonly cid: Cid
  readonly phase: number
  readonly suite: Suite
  readonly secret: Uint8Array
}) => void

export interface KeysOptions {
  readonly localCid: Cid
  /** Takes new keys after so many packets; the suite's own limit holds as well. */
  readonly packetsPerKeyMax: number
  readonly onKeys: KeyLog | null
}

export class ConnectionKeys {
  readonly #options: KeysOptions
  #protection: PacketProtection | null = null
  /** The suite's name, once the keys are known. */
  cipher = 'none'
  /** Both ends are known to have all keys: RFC 9001 §4.1.2. */
  isConfirmed = false

  constructor(options: KeysOptions) {
    this.#options = options
  }

  begin(
    nowMs: number,
    suite: Suite,
    secrets: { send: Buffer; receive: Buffer; remoteCid: Cid },
  ): void {
    const { localCid, onKeys, packetsPerKeyMax } = this.#options
    this.cipher = suite.name
    this.#protection = new PacketProtection({
      suite,
      nowMs,
      sendSecret: secrets.send,
      receiveSecret: secrets.receive,
      packetsPerKeyMax: Math.min(suite.packetsPerKeyMax, packetsPerKeyMax),
      onKeys:
        onKeys &&
        ((direction, phase, secret) => {
          const cid = direction === 'send' ? secrets.remoteCid : localCid
          onKeys({ cid, phase, suite, secret })
        }),
    })
  }

  get phaseBit(): number {
    return this.#protection?.phaseBit ?? 0
  }

  /** Throws before the keys are known: nothing is ever sent without. */
  seal(bytes: Buffer, at: number, plaintextEnd: number): void {
    if (!this.#protection) throw new Error('no packet before the keys')
    this.#protection.seal(bytes, at, plaintextEnd)
  }

  open(
    nowMs: number,
    bytes: Buffer,
    at: number,
    end: number,
    header: { readonly keyPhase: number; readonly packetNumber: number },
    ptoMs: number,
  ): Opened {
    return this.#protection?.open(nowMs, bytes, at, end, header, ptoMs) ?? 'forged'
  }

  handleAcked(largestAcked: number): void {
    this.#protection?.handleAcked(largestAcked)
  }

  /** New keys from `nextPacketNumber` on when the peer has taken some, or ours are old. True: it
   * must be asked for a sign that it has them. */
  refresh(nowMs: number, nextPacketNumber: number): boolean {
    const protection = this.#protection
    if (!protection) return false
    const isOurWish = this.isConfirmed && protection.isUpdateDue(nowMs)
    if (!protection.mustFollow && !isOurWish) return false
    protection.update(nowMs, nextPacketNumber)
    return true
  }
}
