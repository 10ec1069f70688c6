// protocol/connection/train.ts — how do the packets of one connection become a train of one call?
import { DATAGRAM_BYTES_MAX } from '../wire/header.ts'
import type { Transmit } from './api.ts'
import type { ConnectionCore } from './connection.ts'
import type { Target } from './packet-builder.ts'

/** Writes into the driver's buffer, which is the same for many trains. */
export class Train {
  readonly #segmentsMax: number
  #target: Target = { out: Buffer.alloc(0), view: new DataView(new ArrayBuffer(0)), at: 0 }

  constructor(segmentsMax: number) {
    this.#segmentsMax = segmentsMax
  }

  /** Where packets go that travel alone. */
  bufferOf({ bytes }: Transmit): Buffer {
    const { out } = this.#target
    if (out.buffer !== bytes.buffer || out.length !== bytes.length) {
      const buffer = toBuffer(bytes)
      const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
      this.#target = { out: buffer, view, at: 0 }
    }
    return this.#target.out
  }

  /** Full packets, as many as the port takes at once; the last may be shorter. False: none. */
  fill(nowMs: number, connection: ConnectionCore, out: Transmit): boolean {
    this.bufferOf(out)
    const target = this.#target
    target.at = 0
    const segmentBytes = connection.buildPacket(nowMs, target)
    if (segmentBytes === 0) return false
    let end = segmentBytes
    const segmentsMax = connection.isFull(segmentBytes) ? this.#segmentsMax : 1
    for (let n = 1; n < segmentsMax && end + segmentBytes <= DATAGRAM_BYTES_MAX; n += 1) {
      target.at = end
      const length = connection.buildPacket(nowMs, target, segmentBytes)
      end += length
      if (length < segmentBytes) break
    }
    out.to = connection.remote
    out.lengthBytes = end
    out.segmentBytes = segmentBytes
    return true
  }
}

export const toBuffer = (bytes: Uint8Array): Buffer =>
  bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
