// src/rpc/visit.ts — how are a few requests made of one node, and no more?
import { createEndpoint, systemClock } from '../../protocol/index.ts'
import type { LocalIdentity, PeerAddress, PeerIdentity, Session } from '../../protocol/types.ts'
import { HoldfastError } from '../errors.ts'
import type { Method, RequestOf, ResponseOf } from '../messages.ts'
import { call } from './call.ts'
import { failureOf, isStranger } from './failure.ts'

const DIAL_MS = 10_000
const GOODBYE_MS = 500

type Ask = <M extends Method>(method: M, request: RequestOf<M>) => Promise<ResponseOf<M>>

/** For enrolment with a token: visits the manager, lets `work` ask it. */
export const visitor =
  (bindHost: string, signal?: AbortSignal) =>
  (
    to: PeerAddress,
    identity: LocalIdentity,
    work: (peer: PeerIdentity, ask: Ask) => Promise<void>,
  ): Promise<void> =>
    visit(to, { bindHost, identity, signal }, (session) =>
      work(session.peer, (method, request) => ask(session, method, request)),
    )

async function ask<M extends Method>(
  session: Session,
  method: M,
  request: RequestOf<M>,
): Promise<ResponseOf<M>> {
  const result = await call(session, method, request, { clock: systemClock, urgency: 0 })
  result.discard()
  return result.response
}

/** Connects from any port of `bindHost`, works, and hangs up. Rejects with UNREACHABLE,
 * WRONG_CLUSTER (another key answers), or as `work` does. */
async function visit<T>(
  to: PeerAddress,
  options: { bindHost: string; identity: LocalIdentity; signal?: AbortSignal | undefined },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { bindHost, identity } = options
  const endpoint = await createEndpoint({ bind: { host: bindHost, port: 0 }, identity })
  const late = AbortSignal.timeout(DIAL_MS)
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late
  try {
    const session = await endpoint.connect(to, { signal }).catch((error) => {
      const where = `${to.host}:${to.port}`
      if (isStranger(error)) {
        const problem = `whoever answers at ${where} has another key than the one expected`
        throw new HoldfastError('WRONG_CLUSTER', `${problem}: correct host and port`)
      }
      if (!late.aborted) throw failureOf(error, where)
      const detail = `nobody answers at ${where} within ${DIAL_MS / 1000} s: check that the manager runs there, and that UDP packets reach it`
      throw new HoldfastError('UNREACHABLE', detail, { cause: error })
    })
    return await work(session)
  } finally {
    await endpoint.close({ drainMs: GOODBYE_MS })
  }
}
