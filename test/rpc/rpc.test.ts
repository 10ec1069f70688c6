// test/rpc/rpc.test.ts — does a request get one answer, in time, whatever the other side does?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createEndpoint } from '../../protocol/index.ts'
import type { Session, TransportEndpoint } from '../../protocol/types.ts'
import { ERRORS, HoldfastError, isHoldfastError } from '../../src/errors.ts'
import type { Method, RequestOf } from '../../src/messages.ts'
import {
  type CallOptions,
  type CallResult,
  type Handlers,
  Peers,
  call as placeCall,
  reply,
  serve,
  systemClock,
} from '../../src/rpc/index.ts'
import { identityOf } from '../support/identity.ts'
import { MemoryNetwork } from '../support/memory-network.ts'
import { testUnless } from '../support/skip.ts'

const errors: string[] = []
const log = {
  debug() {},
  info() {},
  warn() {},
  error: (message: string, fields?: unknown) => {
    errors.push(`${message} ${JSON.stringify(fields)}`)
  },
}
const clock = systemClock
const BLOB = { repositoryId: '01'.repeat(16), blobId: '02'.repeat(32), grant: new Uint8Array(4) }

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error) => (isHoldfastError(error) ? error.code : String(error)),
  )

const call = <M extends Method>(
  session: Session,
  method: M,
  request: RequestOf<M>,
  options: CallOptions<M> = {},
): Promise<CallResult<M>> => placeCall(session, method, request, { ...options, clock })

type Open = (number: number) => Promise<TransportEndpoint>

conformance('in memory', async () => {
  const network = new MemoryNetwork()
  return async (number) => network.endpoint({ identity: identityOf(number) })
})
conformance(
  'over UDP',
  async () => (number) =>
    createEndpoint({ bind: { host: '127.0.0.1', port: 0 }, identity: identityOf(number) }),
)

function conformance(name: string, network: () => Promise<Open>): void {
  type World = { a: TransportEndpoint; b: TransportEndpoint; session: Session; handlers: Handlers }
  const test = suite<World>(`rpc: ${name}`)
  test.before.each(async (world) => {
    const open = await network()
    world.a = await open(1)
    world.b = await open(2)
    world.handlers = {}
    world.b.onSession((session) => serve(session, world.handlers, { clock, log }))
    const publicKey = identityOf(2).publicKey
    world.session = await world.a.connect({ ...world.b.local, publicKey })
  })
  test.after.each(async ({ a, b }) => {
    await a.close({ drainMs: 0 })
    await b.close({ drainMs: 0 })
  })

  test('an answer comes back, and the peer is who it is', async ({ session, handlers }) => {
    let asker: Uint8Array = new Uint8Array()
    handlers['repository.list'] = async (_, { peer }) => {
      asker = peer.publicKey
      return { repositoryIds: ['ab'.repeat(16)] }
    }
    const { response } = await call(session, 'repository.list', {})
    assert.equal(response, { repositoryIds: ['ab'.repeat(16)] })
    assert.equal([...asker], [...identityOf(1).publicKey])
  })

  test('a request that breaks its schema is refused before it is sent', async ({ session }) => {
    const wrong = { repositoryId: 'too short', checkValue: '' }
    assert.is(await codeOf(call(session, 'repository.open', wrong)), 'INVALID_REQUEST')
  })

  test('an answer that breaks its schema is not passed on', async ({ session, handlers }) => {
    handlers['repository.list'] = (async () => ({ nonsense: 1 })) as never
    assert.is(await codeOf(call(session, 'repository.list', {})), 'INTERNAL')
  })

  test('a coded error keeps its code and words, a defect shows neither stack nor words', async ({
    session,
    handlers,
  }) => {
    handlers.status = async () => {
      throw new HoldfastError('NOT_ENOUGH_SERVERS', 'two are needed')
    }
    handlers['repository.list'] = async () => {
      throw new Error('secret detail')
    }
    const failure = await call(session, 'status', {}).catch((error) => error)
    assert.ok(isHoldfastError(failure, 'NOT_ENOUGH_SERVERS') && failure.remote)
    assert.is(failure.detail, 'two are needed')
    const defect = await call(session, 'repository.list', {}).catch((error) => error)
    assert.ok(isHoldfastError(defect, 'INTERNAL'))
    assert.not.match(defect.message, /secret/)
  })

  test('a method that nobody serves is UNKNOWN_METHOD', async ({ session }) => {
    assert.is(await codeOf(call(session, 'status', {})), 'UNKNOWN_METHOD')
  })

  test('a caller that is interrupted while it asks is no error in the log of the node', async ({
    session,
    handlers,
  }) => {
    errors.length = 0
    handlers['repository.list'] = async () => ({ repositoryIds: [] })
    const stream = session.openStream()
    stream.on('error', () => undefined)
    stream.write(Buffer.from([0])) // a request begins
    await new Promise((wake) => setTimeout(wake, 20))
    stream.reset(ERRORS.CANCELLED.wire)
    await call(session, 'repository.list', {})
    await new Promise((wake) => setTimeout(wake, 20))
    assert.equal(errors, [])
  })

  test('a body of many pieces arrives whole, and one goes back', async ({ session, handlers }) => {
    handlers['blob.fetch'] = async (_, incoming) => {
      const pieces: Uint8Array[] = []
      for await (const piece of incoming.body) pieces.push(piece)
      const bytes = Buffer.concat(pieces)
      return reply({ lengthBytes: bytes.length }, pieceByPiece(bytes.reverse()))
    }
    const sent = Buffer.from(Array.from({ length: 700_000 }, (_, i) => (i * 31) % 256))
    const request = { ...BLOB, ranges: [{ offset: 0, length: 5 }] }
    const { response, body } = await call(session, 'blob.fetch', request, {
      body: pieceByPiece(sent),
    })
    assert.is(response.lengthBytes, sent.length)
    const back: Uint8Array[] = []
    for await (const piece of body) back.push(piece)
    assert.ok(Buffer.concat(back).reverse().equals(sent))
  })

  test('an answer may come before the body was read: the caller stops sending', async ({
    session,
    handlers,
  }) => {
    handlers['blob.replicate'] = async () => ({ number: 7 })
    let given = 0
    let wasReturned = false
    const endless = {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          given += 1
          return { done: false as const, value: Buffer.alloc(65_536) }
        },
        return: async () => {
          wasReturned = true
          return { done: true as const, value: undefined }
        },
      }),
    }
    const request = { ...BLOB, sizeBytes: 1_000 }
    const result = await call(session, 'blob.replicate', request, { body: endless })
    result.discard()
    assert.is(result.response.number, 7)
    await new Promise((wake) => setTimeout(wake, 20))
    assert.ok(wasReturned)
    assert.ok(given < 5_000, `${given} pieces were taken`)
  })

  test('notes come before the answer, in order', async ({ session, handlers }) => {
    handlers['blob.store'] = async (_, { note }) => {
      for (const storedBytes of [1, 2, 3]) note({ storedBytes, forwardedBytes: 0, backupServer: 4 })
      return { servers: [1, 4] }
    }
    const notes: number[] = []
    const request = { ...BLOB, sizeBytes: 3 }
    await call(session, 'blob.store', request, { onNote: (note) => notes.push(note.storedBytes) })
    assert.equal(notes, [1, 2, 3])
  })

  test('a deadline ends a call that nobody answers, on both sides', async ({
    session,
    handlers,
  }) => {
    const stopped = Promise.withResolvers<string>()
    handlers.status = (_, { signal }) =>
      new Promise((_, fail) => {
        signal.addEventListener('abort', () => {
          stopped.resolve((signal.reason as HoldfastError).code)
          fail(signal.reason)
        })
      })
    const pending = call(session, 'status', {}, { deadlineMs: 80 })
    assert.is(await codeOf(pending), 'DEADLINE_EXCEEDED')
    assert.ok(['DEADLINE_EXCEEDED', 'CANCELLED'].includes(await stopped.promise))
  })

  test('who gives up is CANCELLED, and the handler hears of it', async ({ session, handlers }) => {
    const begun = Promise.withResolvers<void>()
    const stopped = Promise.withResolvers<void>()
    handlers.status = (_, { signal }) => {
      begun.resolve()
      return new Promise((_, fail) => {
        signal.addEventListener('abort', () => {
          stopped.resolve()
          fail(signal.reason)
        })
      })
    }
    const controller = new AbortController()
    const pending = call(session, 'status', {}, { signal: controller.signal })
    await begun.promise
    controller.abort()
    assert.is(await codeOf(pending), 'CANCELLED')
    await stopped.promise
  })

  test('a transfer in which nothing moves ends', async ({ session, handlers }) => {
    handlers['blob.store'] = () => new Promise(() => undefined)
    const request = { ...BLOB, sizeBytes: 3 }
    const options = { deadlineMs: null, stallMs: 100, body: pieceByPiece(Buffer.alloc(3)) }
    assert.is(await codeOf(call(session, 'blob.store', request, options)), 'DEADLINE_EXCEEDED')
  })

  test('calls share one session per peer, and dial again when it is gone', async ({
    a,
    b,
    handlers,
  }) => {
    const seen: Session[] = []
    handlers['repository.list'] = async (_, incoming) => {
      if (!seen.includes(incoming.session)) seen.push(incoming.session)
      return { repositoryIds: [] }
    }
    const peers = new Peers({ endpoint: a, clock, log })
    const to = { ...b.local, publicKey: identityOf(2).publicKey }
    await Promise.all([1, 2, 3].map(() => peers.call(to, 'repository.list', {})))
    assert.is(seen.length, 1)
    await seen[0]?.close()
    await new Promise((wake) => setTimeout(wake, 20))
    await peers.call(to, 'repository.list', {})
    assert.is(seen.length, 2)
    await peers.close()
    assert.is(await codeOf(peers.call(to, 'repository.list', {})), 'CANCELLED')
  })

  test('who has another place to ask waits for no connection longer than it said', async ({
    a,
    b,
    handlers,
  }) => {
    handlers['repository.list'] = async () => ({ repositoryIds: [] })
    let dials = 0
    const dialled = Promise.withResolvers<void>()
    const connect: TransportEndpoint['connect'] = async (...args) => {
      dials += 1
      await dialled.promise
      return await a.connect(...args)
    }
    const endpoint = new Proxy(a, {
      get: (target, name) => (name === 'connect' ? connect : Reflect.get(target, name)),
    })
    const peers = new Peers({ endpoint, clock, log })
    const to = { ...b.local, publicKey: identityOf(2).publicKey }
    const options = { connectMs: 20, deadlineMs: null }
    assert.is(await codeOf(peers.call(to, 'repository.list', {}, options)), 'UNREACHABLE')
    dialled.resolve()
    await peers.call(to, 'repository.list', {})
    await peers.call(to, 'repository.list', {}, { connectMs: 0 })
    assert.is(dials, 1, 'dialling went on meanwhile')
    await peers.close()
  })

  test('another node at that address is away, or what its caller says that it is', async ({
    a,
    b,
  }) => {
    const to = { ...b.local, publicKey: identityOf(9).publicKey }
    const successorOf = () => identityOf(8).publicKey
    const stranger = new HoldfastError('WRONG_CLUSTER', 'not the manager of cluster 7')
    for (const [more, code] of [
      [{}, 'UNREACHABLE'],
      [{ successorOf }, 'UNREACHABLE'],
      [{ strangerAt: () => null }, 'UNREACHABLE'],
      [{ strangerAt: () => stranger }, 'WRONG_CLUSTER'],
      [{ successorOf, strangerAt: () => stranger }, 'WRONG_CLUSTER'],
    ] as const) {
      const peers = new Peers({ endpoint: a, clock, log, ...more })
      assert.is(await codeOf(peers.call(to, 'repository.list', {})), code)
      await peers.close()
    }
  })

  const overUdp = testUnless(test, name === 'over UDP' ? null : 'memory has all addresses')
  overUdp(
    'an address that may not be called is a mistake in the config, no defect',
    async ({ a }) => {
      const peers = new Peers({ endpoint: a, clock, log })
      const to = { host: '2001:db8::1', port: 7400, publicKey: identityOf(2).publicKey }
      const error = await peers.call(to, 'repository.list', {}).catch((failure) => failure)
      assert.ok(isHoldfastError(error, 'BAD_CONFIG'))
      assert.match(error.detail, '2001:db8::1:7400 cannot be called')
      await peers.close()
    },
  )

  test('rubbish on a stream is an error with words, and the session lives on', async ({
    session,
    handlers,
  }) => {
    handlers['repository.list'] = async () => ({ repositoryIds: [] })
    const stream = session.openStream()
    stream.on('error', () => undefined)
    stream.end(Buffer.from('0500000001ff42ff00', 'hex'))
    const answer: Uint8Array[] = []
    for await (const piece of stream) answer.push(piece as Uint8Array)
    assert.match(Buffer.concat(answer).toString('latin1'), /error/)
    await call(session, 'repository.list', {})
  })

  test.run()
}

async function* pieceByPiece(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000)
}
