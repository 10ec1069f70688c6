// src/server/intake.ts — how does a request's body become a blob on disk?
import { HoldfastError } from '../errors.ts'
import type { Clock } from '../rpc/index.ts'
import type { ArrivingBlob } from './arriving-blob.ts'
import type { Flight } from './flights.ts'
import type { ServerTiming } from './timing.ts'
import { every } from './waiting.ts'

export interface IntakeOptions {
  readonly body: AsyncIterable<Uint8Array>
  readonly blob: ArrivingBlob
  readonly flight: Flight
  /** The sender's: fires when its stream or connection is gone. */
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly timing: ServerTiming
  /** After each piece. */
  readonly onArrived: () => void
}

/** Feeds the body into the blob until it has all its bytes, then makes it durable. Resolves with
 * the trailer. A sender that goes away after its last byte changes nothing. Rejects with CORRUPT,
 * STORAGE_FULL, STORAGE_FAILED, DEADLINE_EXCEEDED (the sender stalls) or CANCELLED (it went, or
 * another took over). */
export async function takeIn(options: IntakeOptions): Promise<Uint8Array> {
  const { blob, flight } = options
  await receive(options)
  flight.complete()
  const { index } = await blob.commit()
  return index
}

async function receive(options: IntakeOptions): Promise<void> {
  const { body, blob, flight, signal, clock, timing, onArrived } = options
  const pieces = body[Symbol.asyncIterator]()
  let movedAtMs = clock.nowMs()
  const stop = Promise.withResolvers<never>()
  stop.promise.catch(() => {})
  const give = (error: unknown): void => {
    blob.fail(error)
    stop.reject(error)
  }
  const handleTakenOver = (): void => give(reasonOf(flight.signal, 'taken over'))
  const handleGone = (): void => give(reasonOf(signal, 'the sender has gone'))
  if (flight.signal.aborted) handleTakenOver()
  flight.signal.addEventListener('abort', handleTakenOver, { once: true })
  if (signal.aborted) handleGone()
  signal.addEventListener('abort', handleGone, { once: true })
  using _watch = every(clock, timing.senderStallMs / 4, () => {
    if (clock.nowMs() - movedAtMs < timing.senderStallMs) return
    give(new HoldfastError('DEADLINE_EXCEEDED', 'the sender has sent nothing for too long'))
  })
  try {
    while (!blob.isComplete) {
      const next = await Promise.race([pieces.next(), stop.promise])
      if (next.done) {
        const problem = `ended after ${blob.arrivedBytes} of ${blob.sizeBytes} bytes`
        throw new HoldfastError('CORRUPT', `the blob ${problem}`)
      }
      movedAtMs = clock.nowMs()
      flight.touch()
      const pushed = blob.push(next.value)
      onArrived()
      await pushed
      movedAtMs = clock.nowMs() // our own slow disk is not the sender's fault
    }
  } catch (error) {
    blob.fail(error)
    void pieces.return?.().catch(() => {})
    throw error
  } finally {
    signal.removeEventListener('abort', handleGone)
    flight.signal.removeEventListener('abort', handleTakenOver)
  }
  void drain(pieces) // the end of the body, so that the sender's last write succeeds
}

async function drain(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    const next = await pieces.next()
    if (!next.done) await pieces.return?.()
  } catch {} // the sender has gone: it has sent all it had to
}

const reasonOf = (signal: AbortSignal, problem: string): unknown =>
  signal.reason instanceof HoldfastError ? signal.reason : new HoldfastError('CANCELLED', problem)
