// src/server/store/verify.ts — are these bytes the blob that they claim to be?
import { BlobReceiver } from '../../chunk/index.ts'
import { HoldfastError } from '../../errors.ts'

/** Hashes a blob while it passes. Needs no key. Throws CORRUPT, nothing else. */
export class BlobVerifier {
  readonly #blobId: string
  readonly #sizeBytes: number
  readonly #receiver: BlobReceiver
  #seenBytes = 0

  constructor(blobId: string, sizeBytes: number) {
    this.#blobId = blobId
    this.#sizeBytes = sizeBytes
    this.#receiver = new BlobReceiver(sizeBytes)
  }

  /** Returns how many bytes that were. */
  update(pieces: readonly Uint8Array[]): number {
    const beforeBytes = this.#seenBytes
    for (const piece of pieces) {
      this.#seenBytes += piece.length
      if (this.#seenBytes > this.#sizeBytes) {
        throw corrupt(this.#blobId, `more than the ${this.#sizeBytes} bytes announced`)
      }
      this.#receiver.update(piece)
    }
    return this.#seenBytes - beforeBytes
  }

  /** The trailer, once all bytes have passed and are what the id says. */
  finish(): Uint8Array {
    if (this.#seenBytes < this.#sizeBytes) {
      throw corrupt(this.#blobId, `ended after ${this.#seenBytes} of ${this.#sizeBytes} bytes`)
    }
    const { blobId, index } = this.#receiver.finish()
    if (blobId !== this.#blobId) throw corrupt(this.#blobId, `the bytes sent are ${blobId}`)
    return index
  }
}

/** Throws INVALID_REQUEST unless the range lies in a blob of that size. */
export function mustBeInside(sizeBytes: number, offset: number, lengthBytes: number): void {
  const legal =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(lengthBytes) &&
    offset >= 0 &&
    lengthBytes >= 1 &&
    offset + lengthBytes <= sizeBytes
  if (legal) return
  const range = `[${offset}, +${lengthBytes})`
  throw new HoldfastError('INVALID_REQUEST', `${range} is outside a blob of ${sizeBytes} bytes`)
}

const corrupt = (blobId: string, problem: string): HoldfastError =>
  new HoldfastError('CORRUPT', `blob ${blobId}: ${problem}`)
