// src/client/remote/fetch-ranges.ts — what does one fetch from one server bring?
import { HoldfastError } from '../../errors.ts'
import type { ServerAddress } from '../../messages.ts'
import type { Context } from './context.ts'
import { joinRanges, type Place } from './fetch-plan.ts'
import { peerOf } from './server-choice.ts'

export interface FetchOptions {
  readonly server: ServerAddress
  readonly grant: Uint8Array
  readonly repositoryId: string
  readonly blobId: string
  /** By offset. */
  readonly places: readonly Place[]
  /** Undefined: as long as dialling takes. */
  readonly connectMs: number | undefined
  /** The sealed bytes of one chunk, as the server has them: not verified, and valid until what is
   * returned resolves. */
  readonly onSealed: (place: Place, sealed: Uint8Array) => Promise<void>
}

/** Holds one chunk at a time. Rejects with the server's error, or CORRUPT when it sends fewer
 * bytes than it was asked for; chunks handed over before that stay good. */
export async function fetchRanges(context: Context, options: FetchOptions): Promise<void> {
  const { server, grant, repositoryId, blobId, places, connectMs } = options
  const result = await context.peers.call(
    peerOf(server),
    'blob.fetch',
    { repositoryId, blobId, grant, ranges: joinRanges(places) },
    {
      signal: context.signal,
      deadlineMs: null,
      connectMs,
      stallMs: context.timing.stallMs,
      urgency: 4, // interactive restore
    },
  )
  let next = 0
  let sealed: Buffer | null = null // a chunk whose first piece came
  let filled = 0
  try {
    for await (const piece of result.body) {
      for (let at = 0; at < piece.length; ) {
        if (next === places.length) throw tooMuch(server, blobId)
        const place = places[next]!
        const count = Math.min(piece.length - at, place.length - filled)
        let whole = piece.subarray(at, at + count)
        at += count
        // Most small chunks come in one piece, and need no copy.
        if (count < place.length) {
          sealed ??= Buffer.allocUnsafe(place.length)
          sealed.set(whole, filled)
          filled += count
          if (filled < place.length) continue
          whole = sealed
        }
        await options.onSealed(place, whole)
        next += 1
        filled = 0
        sealed = null
      }
    }
  } finally {
    result.discard()
  }
  if (next < places.length) {
    const what = `server ${server.number} sent only ${next} of ${places.length} chunks of ${blobId}`
    throw new HoldfastError('CORRUPT', what)
  }
}

const tooMuch = (server: ServerAddress, blobId: string): HoldfastError =>
  new HoldfastError('CORRUPT', `server ${server.number} sent more of blob ${blobId} than asked for`)
