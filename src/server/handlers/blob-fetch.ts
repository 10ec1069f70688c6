// src/server/handlers/blob-fetch.ts — how does a reader get ranges of a blob?
//
// All of it is read and checked before the answer begins, so that a damaged segment is a coded
// error that sends the reader elsewhere, not a body that breaks off.
import { HoldfastError, isHoldfastError } from '../../errors.ts'
import { LIMITS, type RequestOf } from '../../messages.ts'
import { type Clock, type IncomingCall, type Reply, reply } from '../../rpc/index.ts'
import { mustBeGranted, type ServerNode } from '../node.ts'
import { mustBeInside } from '../store/verify.ts'
import { readVerified, spansOf } from '../verified-read.ts'

const PIECE_BYTES = 256 * 1024

/** NOT_FOUND, CORRUPT, STORAGE_FAILED: ask elsewhere. DEADLINE_EXCEEDED: busy. GRANT_REFUSED,
 * INVALID_REQUEST (outside the blob, or more than one blob's worth): the caller's fault. Memory: the
 * segments that hold the ranges, until they are sent; all fetches together stay within a cap. */
export async function fetch(
  node: ServerNode,
  request: RequestOf<'blob.fetch'>,
  call: IncomingCall<'blob.fetch'>,
): Promise<Reply<'blob.fetch'>> {
  mustBeGranted(node, 'fetch', request, call.peer.publicKey)
  const { blobId, ranges } = request
  const sizeBytes = node.store.sizeBytes(blobId)
  if (sizeBytes === null) {
    throw new HoldfastError('NOT_FOUND', `blob ${blobId} is not on server ${node.number}`)
  }
  let lengthBytes = 0
  for (const { offset, length } of ranges) {
    mustBeInside(sizeBytes, offset, length)
    lengthBytes += length
  }
  if (lengthBytes > LIMITS.blobSizeBytesMax) {
    throw new HoldfastError('INVALID_REQUEST', `${lengthBytes} bytes are too many for one fetch`)
  }
  const spans = spansOf(ranges, sizeBytes)
  const heldBytes = spans.reduce((sum, { start, end }) => sum + end - start, 0)
  const release = await node.fetchSlots.take(heldBytes, call.signal)
  try {
    const pieces = await read(node, request)
    const { clock, timing } = node
    const body = new Outgoing({ pieces, clock, stallMs: timing.readerStallMs, release })
    return reply({ lengthBytes }, body)
  } catch (error) {
    release()
    if (isHoldfastError(error, 'CORRUPT')) {
      node.log.error('a stored blob is damaged', { blobId, error: error.detail })
      const detail = `server ${node.number} has a bad copy: ${error.detail}`
      throw new HoldfastError('CORRUPT', detail, { cause: error })
    }
    throw error
  }
}

async function read(
  node: ServerNode,
  { repositoryId, blobId, ranges }: RequestOf<'blob.fetch'>,
): Promise<Uint8Array[]> {
  const reader = await node.store.open(blobId)
  try {
    const summary = await node.trailers.summary(reader)
    if (summary && summary.repositoryId !== repositoryId) {
      throw new HoldfastError('NOT_FOUND', `repository ${repositoryId} has no blob ${blobId} here`)
    }
    return await readVerified(reader, ranges, summary)
  } finally {
    await reader.close()
  }
}

/** The body of one answer. Gives its memory back when all is sent, the sending ends early (before
 * it began, too: no generator would notice), or the reader takes nothing for `stallMs`. */
class Outgoing implements AsyncIterableIterator<Uint8Array> {
  readonly #clock: Clock
  readonly #stallMs: number
  readonly #release: () => void
  #pieces: Uint8Array[]
  #offset = 0
  #timer: ReturnType<Clock['setTimer']>
  #stalled = false

  constructor(options: {
    pieces: Uint8Array[]
    clock: Clock
    stallMs: number
    release: () => void
  }) {
    this.#pieces = options.pieces
    this.#clock = options.clock
    this.#stallMs = options.stallMs
    this.#release = options.release
    this.#timer = this.#arm()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#stalled) throw new HoldfastError('DEADLINE_EXCEEDED', 'the reader was too slow')
    const piece = this.#pieces[0]
    if (!piece) return this.return()
    this.#timer.cancel()
    this.#timer = this.#arm()
    const value = piece.subarray(this.#offset, this.#offset + PIECE_BYTES)
    this.#offset += value.length
    if (this.#offset >= piece.length) {
      this.#pieces.shift()
      this.#offset = 0
    }
    return { done: false, value }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#free()
    return { done: true, value: undefined }
  }

  #arm(): ReturnType<Clock['setTimer']> {
    return this.#clock.setTimer(() => {
      this.#stalled = true
      this.#free()
    }, this.#stallMs)
  }

  #free(): void {
    this.#timer.cancel()
    this.#pieces = []
    this.#release()
  }
}
