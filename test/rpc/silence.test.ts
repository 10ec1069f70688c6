// test/rpc/silence.test.ts — how soon does a caller know that the other machine is gone?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Session, TransportEndpoint } from '../../protocol/types.ts'
import { isHoldfastError } from '../../src/errors.ts'
import { call, type Handlers, Peers, reply, serve } from '../../src/rpc/index.ts'
import { VirtualClock } from '../server/support/virtual-clock.ts'
import { identityOf } from '../support/identity.ts'
import { MemoryNetwork } from '../support/memory-network.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const BLOB = { repositoryId: '01'.repeat(16), blobId: '02'.repeat(32), grant: new Uint8Array(4) }
const NOTICED_MS = 6_000

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error) => (isHoldfastError(error) ? error.code : String(error)),
  )

interface World {
  clock: VirtualClock
  network: MemoryNetwork
  caller: TransportEndpoint
  server: TransportEndpoint
  session: Session
  handlers: Handlers
}

const test = suite<World>('rpc: silence')

test.before.each(async (world) => {
  world.clock = new VirtualClock()
  world.network = new MemoryNetwork({ clock: world.clock })
  world.caller = world.network.endpoint({ identity: identityOf(1) })
  world.server = world.network.endpoint({ identity: identityOf(2) })
  world.handlers = {}
  world.server.onSession((session) => serve(session, world.handlers, { clock: world.clock, log }))
  const to = { ...world.server.local, publicKey: identityOf(2).publicKey }
  world.session = await world.clock.until(world.caller.connect(to))
})

test('a peer killed in the middle of a request is noticed in seconds', async (world) => {
  const { clock, network, server, session, handlers } = world
  handlers.status = () => new Promise(() => undefined)
  const pending = codeOf(call(session, 'status', {}, { clock, deadlineMs: null }))
  await clock.pass(20_000) // it lives, and takes its time
  network.kill(server.local)
  const startMs = clock.nowMs()
  assert.is(await clock.until(pending), 'UNREACHABLE')
  assert.ok(clock.nowMs() - startMs <= NOTICED_MS, `${clock.nowMs() - startMs} ms`)
  assert.not(session.isOpen, 'the next call dials anew')
})

test('a peer killed while it sends a body is noticed in seconds', async (world) => {
  const { clock, network, server, session, handlers } = world
  async function* some(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(100)
    await new Promise(() => undefined)
  }
  handlers['blob.fetch'] = async () => reply({ lengthBytes: 200 }, some())
  const request = { ...BLOB, ranges: [{ offset: 0, length: 200 }] }
  const { body } = await clock.until(call(session, 'blob.fetch', request, { clock }))
  const pieces = body[Symbol.asyncIterator]()
  assert.is((await clock.until(pieces.next())).value?.length, 100)
  network.kill(server.local)
  const startMs = clock.nowMs()
  assert.is(await clock.until(codeOf(pieces.next())), 'UNREACHABLE')
  assert.ok(clock.nowMs() - startMs <= NOTICED_MS, `${clock.nowMs() - startMs} ms`)
})

test('a short cut of the line ends nothing', async ({
  clock,
  network,
  caller,
  server,
  ...world
}) => {
  const answer = Promise.withResolvers<void>()
  world.handlers['repository.list'] = async () => {
    await answer.promise
    return { repositoryIds: [] }
  }
  const pending = call(world.session, 'repository.list', {}, { clock, deadlineMs: null })
  await clock.pass(1_500)
  network.cut(caller.local, server.local)
  await clock.pass(3_000)
  network.heal(caller.local, server.local)
  await clock.pass(10_000)
  answer.resolve()
  assert.equal((await clock.until(pending)).response, { repositoryIds: [] })
})

test('after a kill and a restart the next call goes through', async (world) => {
  const { clock, network, caller, server, handlers } = world
  const peers = new Peers({ endpoint: caller, clock, log })
  const to = { ...server.local, publicKey: identityOf(2).publicKey }
  handlers['repository.list'] = async () => ({ repositoryIds: [] })
  await clock.until(peers.call(to, 'repository.list', {}))
  network.kill(server.local)
  const again = network.endpoint({ identity: identityOf(2), address: server.local })
  again.onSession((session) => serve(session, handlers, { clock, log }))
  const first = peers.call(to, 'repository.list', {}, { deadlineMs: 10_000 })
  assert.is(await clock.until(codeOf(first)), 'UNREACHABLE')
  await clock.until(peers.call(to, 'repository.list', {}))
})

test.run()
