// test/rpc/dial.test.ts — is a stranger at the manager's address told from a manager that is slow?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type PeerAddress,
  type Session,
  type TransportEndpoint,
  TransportError,
} from '../../protocol/types.ts'
import { isHoldfastError } from '../../src/errors.ts'
import { createEndpoint, dial, visitor } from '../../src/rpc/index.ts'
import { identityOf } from '../support/identity.ts'
import { realClock } from '../support/memory-network.ts'

const test = suite('rpc: dial')

const to = { host: '127.0.0.1', port: 7400, publicKey: identityOf(1).publicKey }
const successorKey = identityOf(2).publicKey

/** What becomes of the first attempt, and of the one with the successor's key. */
async function dialWith(first: Attempt, second: Attempt): Promise<Session | string> {
  const connect = (address: PeerAddress, { signal }: { signal?: AbortSignal } = {}) =>
    (address.publicKey === successorKey ? second : first)(signal)
  const endpoint = { connect } as unknown as TransportEndpoint
  const impatient = new AbortController()
  const timer = setTimeout(() => impatient.abort(), 700) // the head start of the first is 500 ms
  try {
    const { signal } = impatient
    return await dial(endpoint, to, { signal, clock: realClock, successorKey })
  } catch (error) {
    return (error as TransportError).code
  } finally {
    clearTimeout(timer)
  }
}

type Attempt = (signal?: AbortSignal) => Promise<Session>

const session = { destroy: () => undefined } as unknown as Session
const failing =
  (code: TransportError['code']): Attempt =>
  () =>
    Promise.reject(new TransportError(code, 'as the test wants it'))
const stranger = failing('ERR_HOLDFAST_WRONG_PEER')
const silent: Attempt = (signal) =>
  new Promise((_, reject) =>
    signal?.addEventListener('abort', () =>
      reject(new TransportError('ERR_HOLDFAST_ABORTED', 'given up')),
    ),
  )

test('only whoever has neither key is a stranger', async () => {
  assert.is(await dialWith(stranger, stranger), 'ERR_HOLDFAST_WRONG_PEER')
  assert.is(await dialWith(stranger, () => Promise.resolve(session)), session)
  assert.is(await dialWith(stranger, silent), 'ERR_HOLDFAST_ABORTED', 'a successor that is slow')
  assert.is(await dialWith(silent, stranger), 'ERR_HOLDFAST_ABORTED')
  const busy = failing('ERR_HOLDFAST_REFUSED')
  assert.is(await dialWith(stranger, busy), 'ERR_HOLDFAST_REFUSED', 'a successor that is busy')
  assert.is(await dialWith(busy, stranger), 'ERR_HOLDFAST_REFUSED')
})

test('who comes with a token hears that the node there is not the one it names', async () => {
  const bind = { host: '127.0.0.1', port: 0 }
  const manager = await createEndpoint({ bind, identity: identityOf(3) })
  const visit = visitor('127.0.0.1')
  const where = { ...manager.local, publicKey: identityOf(4).publicKey }
  const error = await visit(where, identityOf(5), async () => undefined).catch((reason) => reason)
  assert.ok(isHoldfastError(error, 'WRONG_CLUSTER'), String(error))
  assert.match(error.detail, `${where.host}:${where.port}`)
  await manager.close()
})

test.run()
