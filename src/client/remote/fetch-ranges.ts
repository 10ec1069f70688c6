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
  /** The sealed bytes of one chunk, as the server has them: not verified. */
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
  let sealed = Buffer.allocUnsafe(places[0]!.length)
  let filled = 0
  try {
    for await (const piece of result.body) {
      for (let at = 0; at < piece.length; ) {
        if (next === places.length) throw tooMuch(server, blobId)
        const count = Math.min(piece.length - at, sealed.length - filled)
        sealed.set(piece.subarray(at, at + count), filled)
        at += count
        filled += count
        if (filled < sealed.length) continue
        await options.onSealed(places[next]!, sealed)
        next += 1
        filled = 0
        if (next < places.length) sealed = Buffer.allocUnsafe(places[next]!.length)
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
