// src/rpc/dial.ts — how is a node reached that may have been replaced by a successor with another key?
import {
  type Clock,
  type PeerAddress,
  type Session,
  type TransportEndpoint,
  TransportError,
} from '../../protocol/types.ts'
import { isStranger } from './failure.ts'

/** The one that is known gets so much of a start. */
const HEAD_START_MS = 500

/** Connects to `to`. Where nobody with its key answers soon, also to the same address with the
 * successor's key: whoever answers first. Rejects with what happened to the first attempt; with
 * ERR_HOLDFAST_WRONG_PEER only when whoever is there has neither key. */
export async function dial(
  endpoint: TransportEndpoint,
  to: PeerAddress,
  options: { signal: AbortSignal; clock: Clock; successorKey?: Uint8Array | null | undefined },
): Promise<Session> {
  const { signal, clock, successorKey } = options
  if (!successorKey) return await endpoint.connect(to, { signal })
  const other = { host: to.host, port: to.port, publicKey: successorKey }
  const controllers: AbortController[] = []
  const stop = (): void => {
    for (const controller of controllers) controller.abort()
    headStart.resolve()
  }
  const headStart = Promise.withResolvers<void>()
  let winner: Session | null = null
  const attempt = async (address: PeerAddress): Promise<Session> => {
    if (winner || signal.aborted) throw new TransportError('ERR_HOLDFAST_ABORTED', 'not needed')
    const controller = new AbortController()
    controllers.push(controller)
    const session = await endpoint.connect(address, { signal: controller.signal })
    controllers.splice(controllers.indexOf(controller), 1)
    if (winner) {
      session.destroy()
      throw new Error('the other was faster')
    }
    winner = session
    return session
  }
  signal.addEventListener('abort', stop, { once: true })
  const timer = clock.setTimer(headStart.resolve, HEAD_START_MS)
  const first = attempt(to)
  first.catch(() => headStart.resolve())
  const second = headStart.promise.then(() => attempt(other))
  second.catch(() => undefined)
  try {
    return await Promise.any([first, second])
  } catch (error) {
    const [one, two] = (error as AggregateError).errors
    throw isStranger(one) ? two : one
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', stop)
    stop()
  }
}
