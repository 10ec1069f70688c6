// test/protocol/udp/endpoint.test.ts — what do sockets refuse, share and survive?
import { createSocket } from 'node:dgram'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type CreateEndpointOptions,
  createEndpoint,
  type Session,
  type TransportEndpoint,
  TransportError,
} from '../../../protocol/index.ts'
import { identityOf } from '../../support/identity.ts'

const open = (number: number, options: Partial<CreateEndpointOptions> = {}) =>
  createEndpoint({ bind: { host: '127.0.0.1', port: 0 }, identity: identityOf(number), ...options })

const addressOf = (endpoint: TransportEndpoint, number: number) => ({
  ...endpoint.local,
  publicKey: identityOf(number).publicKey,
})

async function failure(promise: Promise<unknown>): Promise<TransportError> {
  const error = await promise.then(
    () => null,
    (reason) => reason,
  )
  assert.instance(error, TransportError)
  return error as TransportError
}

const test = suite('protocol: endpoints over UDP')

test('a port in use is named, with the system error as cause', async () => {
  const first = await open(1)
  const error = await failure(open(2, { bind: first.local }))
  assert.is(error.code, 'ERR_HOLDFAST_SOCKET')
  assert.is((error.cause as NodeJS.ErrnoException).code, 'EADDRINUSE')
  assert.ok(error.message.includes(String(first.local.port)))
  await first.close()
})

test('names and other families are refused: the caller looks names up', async () => {
  for (const host of ['localhost', '127.evil.com', '']) {
    const error = await failure(open(1, { bind: { host, port: 0 } }))
    assert.is(error.code, 'ERR_HOLDFAST_INVALID', host)
  }
  const endpoint = await open(1)
  const publicKey = identityOf(2).publicKey
  const dial = (host: string, port: number) => failure(endpoint.connect({ host, port, publicKey }))
  assert.is((await dial('::1', 1)).code, 'ERR_HOLDFAST_INVALID')
  assert.is((await dial('127.0.0.1', 0)).code, 'ERR_HOLDFAST_INVALID')
  await endpoint.close()
})

test('datagrams grow to what the loopback takes, also from a socket on all addresses', async () => {
  const server = await open(2, { bind: { host: '0.0.0.0', port: 0 } })
  const received = Promise.withResolvers<number>()
  server.onSession((session) =>
    session.onStream(async (stream) => {
      let bytes = 0
      for await (const part of stream) bytes += part.length
      received.resolve(bytes)
    }),
  )
  const client = await open(1)
  const to = { host: '127.0.0.1', port: server.local.port }
  const session = await client.connect({ ...to, publicKey: identityOf(2).publicKey })
  assert.is(session.stats().mtuBytes, 1_200)
  session.openStream().end(Buffer.alloc(4 << 20))
  assert.is(await received.promise, 4 << 20)
  const { mtuBytes } = session.stats()
  assert.ok(mtuBytes >= 16_384, `${mtuBytes}`)
  await client.close()
  await server.close()
})

test('IPv6 works as IPv4 does', async () => {
  const bind = { host: '::1', port: 0 }
  const server = await open(2, { bind })
  const client = await open(1, { bind })
  const received = Promise.withResolvers<string>()
  server.onSession((session) =>
    session.onStream(async (stream) => {
      let text = ''
      for await (const part of stream) text += part
      received.resolve(text)
    }),
  )
  const session = await client.connect(addressOf(server, 2))
  session.openStream({ direction: 'uni' }).end('over six')
  assert.is(await received.promise, 'over six')
  await client.close()
  await server.close()
})

test('nobody at the port, and the wrong key: both say so in time', async () => {
  const limits = { handshakeTimeoutMs: 400 }
  const client = await open(1, { limits })
  const server = await open(2)
  const gone = await open(3)
  const nowhere = addressOf(gone, 3)
  await gone.close()
  const [silent, wrong] = await Promise.all([
    failure(client.connect(nowhere)),
    failure(client.connect(addressOf(server, 9))),
  ])
  assert.is(silent.code, 'ERR_HOLDFAST_HANDSHAKE_TIMEOUT')
  assert.match(silent.message, String(nowhere.port))
  assert.is(wrong.code, 'ERR_HOLDFAST_WRONG_PEER')
  assert.match(wrong.message, 'another key')
  await client.close()
  await server.close()
})

test('an endpoint that does not accept, and one without a handler, refuse', async () => {
  const client = await open(1)
  const closed = await open(2, { accepts: false })
  assert.is((await failure(client.connect(addressOf(closed, 2)))).code, 'ERR_HOLDFAST_REFUSED')
  const handlerless = await open(3)
  const session = await client.connect(addressOf(handlerless, 3))
  const { error } = await session.closed
  assert.is(error?.remote, true)
  assert.match(error!.message, 'nobody accepts')
  for (const endpoint of [client, closed, handlerless]) await endpoint.close()
})

test('AbortSignal ends a dial: before, during, and not after', async () => {
  const client = await open(1)
  const server = await open(2)
  server.onSession(() => {})
  const gone = await open(3)
  const nowhere = addressOf(gone, 3)
  await gone.close()
  const before = await failure(client.connect(nowhere, { signal: AbortSignal.abort('no') }))
  assert.is(before.code, 'ERR_HOLDFAST_ABORTED')
  assert.is(before.cause, 'no')
  const during = new AbortController()
  const dial = client.connect(nowhere, { signal: during.signal })
  setTimeout(() => during.abort(), 20)
  assert.is((await failure(dial)).code, 'ERR_HOLDFAST_ABORTED')
  const after = new AbortController()
  const session = await client.connect(addressOf(server, 2), { signal: after.signal })
  after.abort()
  assert.is(session.isOpen, true)
  await client.close()
  await server.close()
  assert.is((await failure(client.connect(nowhere))).code, 'ERR_HOLDFAST_CLOSED')
})

test('closing an endpoint ends a dial under way, and closes twice as once', async () => {
  const client = await open(1)
  const gone = await open(3)
  const nowhere = addressOf(gone, 3)
  await gone.close()
  const dial = failure(client.connect(nowhere))
  await Promise.all([client.close(), client.close()])
  assert.is((await dial).code, 'ERR_HOLDFAST_CLOSED')
})

test('100 clients on one socket, all at once, each with its own bytes', async () => {
  const server = await open(2)
  server.onSession((session) =>
    session.onStream(async (stream) => {
      for await (const part of stream) if (!stream.write(Buffer.from(part))) await drained(stream)
      stream.end()
    }),
  )
  const clients = await Promise.all(Array.from({ length: 20 }, () => open(1)))
  const sessions: Session[] = await Promise.all(
    Array.from({ length: 100 }, (_, i) => clients[i % 20]!.connect(addressOf(server, 2))),
  )
  const echoed = sessions.map(async (session, i) => {
    const stream = session.openStream()
    stream.end(Buffer.alloc(200_000, i))
    let bytes = 0
    for await (const part of stream) {
      assert.ok(part.every((byte: number) => byte === i))
      bytes += part.length
    }
    return bytes
  })
  assert.equal(await Promise.all(echoed), new Array(100).fill(200_000))
  await Promise.all(clients.map((client) => client.close()))
  await server.close()
})

test('garbage on the socket changes nothing', async () => {
  const server = await open(2)
  server.onSession((session) => session.onStream((stream) => stream.pipe(stream)))
  const client = await open(1)
  const session = await client.connect(addressOf(server, 2))
  const noise = createSocket('udp4')
  for (let length = 0; length < 300; length += 1) {
    const bytes = Buffer.alloc(length * 7, length)
    bytes[0] = 0x0b
    bytes[1] = 0x26
    noise.send(bytes, server.local.port, server.local.host)
  }
  const stream = session.openStream()
  stream.end('through the noise')
  let text = ''
  for await (const part of stream) text += part
  assert.is(text, 'through the noise')
  noise.close()
  await client.close()
  await server.close()
})

test('an idle endpoint with a session burns no CPU', async () => {
  const server = await open(2)
  server.onSession(() => {})
  const client = await open(1)
  await client.connect(addressOf(server, 2))
  await new Promise((resolve) => setTimeout(resolve, 300))
  const before = process.cpuUsage() // ours alone, however busy the machine is
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const { user, system } = process.cpuUsage(before)
  assert.ok(user + system < 200_000, `${user + system} µs of a second`)
  await client.close()
  await server.close()
})

const drained = (stream: NodeJS.EventEmitter): Promise<void> =>
  new Promise((resolve) => stream.once('drain', resolve))

test.run()
