// test/protocol/udp/loopback.test.ts — do sessions over real sockets keep what the types promise?
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  createEndpoint,
  type Session,
  type TransportEndpoint,
  type TransportError,
  type TransportStream,
} from '../../../protocol/index.ts'
import { identityOf } from '../../support/identity.ts'

const MIB = 1024 * 1024
const HOST = '127.0.0.1'

interface Pair {
  client: TransportEndpoint
  server: TransportEndpoint
  session: Session
  accepted: Session
}

const test = suite<Pair>('protocol: sessions over UDP on the loopback')

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))

test.before.each(async (pair) => {
  pair.server = await createEndpoint({ bind: { host: HOST, port: 0 }, identity: identityOf(2) })
  pair.client = await createEndpoint({ bind: { host: HOST, port: 0 }, identity: identityOf(1) })
  const accepted = Promise.withResolvers<Session>()
  pair.server.onSession(accepted.resolve)
  const to = { ...pair.server.local, publicKey: identityOf(2).publicKey }
  pair.session = await pair.client.connect(to)
  pair.accepted = await accepted.promise
})

test.after.each(async (pair) => {
  await pair.client.close({ drainMs: 100 })
  await pair.server.close({ drainMs: 100 })
  assert.equal(unhandled, [], 'unhandled rejections')
})

const nextStream = (session: Session): Promise<TransportStream> =>
  new Promise((resolve) => session.onStream(resolve))

async function write(stream: TransportStream, bytes: Uint8Array): Promise<void> {
  if (!stream.write(bytes)) await new Promise((resolve) => stream.once('drain', resolve))
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: TransportError) => error.code,
  )

test('64 MiB arrive whole, and the peer knows who sent them', async ({ session, accepted }) => {
  assert.equal([...accepted.peer.publicKey], [...identityOf(1).publicKey])
  assert.equal([...session.peer.publicKey], [...identityOf(2).publicKey])
  const incoming = nextStream(accepted)
  const stream = session.openStream({ urgency: 5 })
  const sent = createHash('sha256')
  const sending = (async () => {
    for (let i = 0; i < 1_024; i += 1) {
      const block = Buffer.alloc(64 * 1024, i)
      block.writeUInt32LE(i)
      sent.update(block)
      await write(stream, block)
    }
    stream.end()
  })()
  const received = createHash('sha256')
  let bytes = 0
  for await (const part of await incoming) {
    received.update(part)
    bytes += part.length
  }
  await sending
  await stream.acknowledged()
  assert.is(bytes, 64 * MIB)
  assert.is(received.digest('hex'), sent.digest('hex'))
})

test('150 messages in one burst, and a consumer that sleeps: none is lost', async (pair) => {
  const incoming = nextStream(pair.accepted)
  const stream = pair.session.openStream()
  for (let i = 0; i < 150; i += 1) stream.write(Buffer.alloc(1_000, i))
  stream.end()
  let bytes = 0
  for await (const part of await incoming) {
    await sleep(1)
    for (const byte of part) {
      if (byte !== Math.floor(bytes / 1_000)) assert.unreachable(`byte ${bytes} is ${byte}`)
      bytes += 1
    }
  }
  assert.is(bytes, 150_000)
})

test('a reader that stops bounds what the writer may queue', async ({ session, accepted }) => {
  const incoming = nextStream(accepted)
  const stream = session.openStream()
  let written = 0
  let isStuck = false
  const block = Buffer.alloc(64 * 1024)
  const sending = (async () => {
    while (written < 256 * MIB) {
      written += block.length
      const done = write(stream, block)
      isStuck = true
      await done
      isStuck = false
    }
  })()
  sending.catch(() => {})
  const reader = await incoming
  let before = -1
  while (!(isStuck && before === written)) {
    before = written
    await sleep(50)
  }
  assert.ok(written < 16 * MIB, `${written} bytes were taken`)
  let read = 0
  for await (const part of reader) {
    read += part.length
    if (read >= 32 * MIB) break // destroys the reader
  }
  assert.ok(written >= 32 * MIB, 'reading goes on')
  stream.destroy()
})

test('an answer on the same stream, while the question is still coming', async (pair) => {
  pair.accepted.onStream(async (stream) => {
    for await (const part of stream) await write(stream, Buffer.from(part))
    stream.end()
  })
  const stream = pair.session.openStream()
  const answer = (async () => {
    let text = ''
    for await (const part of stream) text += part
    return text
  })()
  for (let i = 0; i < 100; i += 1) {
    await write(stream, Buffer.from(`line ${i}\n`))
    if (i % 10 === 0) await sleep(1)
  }
  stream.end()
  const text = await answer
  assert.is(text.split('\n').length, 101)
  assert.ok(text.endsWith('line 99\n'))
})

test('close() sends what was written, though nobody waited for it', async (pair) => {
  const incoming = nextStream(pair.accepted)
  const stream = pair.session.openStream()
  for (let i = 0; i < 256; i += 1) stream.write(Buffer.alloc(64 * 1024, i))
  stream.end()
  const closing = pair.session.close()
  assert.is(pair.session.close(), closing, 'twice is once')
  assert.is(pair.session.isOpen, false)
  assert.throws(
    () => pair.session.openStream(),
    (error: TransportError) => error.code === 'ERR_HOLDFAST_CLOSED',
  )
  let bytes = 0
  for await (const part of await incoming) bytes += part.length
  assert.is(bytes, 16 * MIB)
  await closing
  assert.is((await pair.session.closed).error, null)
  assert.is((await pair.accepted.closed).error, null)
})

test('what arrived can be read after the peer closed in order', async ({ session, accepted }) => {
  const incoming = nextStream(accepted)
  const stream = session.openStream()
  stream.end(Buffer.alloc(500_000, 7))
  await stream.acknowledged()
  await session.close()
  assert.is((await accepted.closed).error, null)
  let bytes = 0
  for await (const part of await incoming) bytes += part.length
  assert.is(bytes, 500_000)
})

test('reset: the reader gets the code, the writer stays quiet', async ({ session, accepted }) => {
  const incoming = nextStream(accepted)
  const stream = session.openStream()
  stream.write('half of it')
  const reader = await incoming
  const failed = new Promise<TransportError>((resolve) => reader.once('error', resolve as never))
  stream.reset(77)
  stream.write('after the reset')
  const error = await failed
  assert.is(error.code, 'ERR_HOLDFAST_STREAM_RESET')
  assert.is(error.wireCode, 77)
  assert.is(error.remote, true)
  assert.is(await codeOf(stream.acknowledged()), 'ERR_HOLDFAST_STREAM_RESET')
  assert.is(session.isOpen, true)
})

test('stopReceiving with a code fails the writer with it', async ({ session, accepted }) => {
  const incoming = nextStream(accepted)
  const stream = session.openStream()
  const failed = new Promise<TransportError>((resolve) => stream.once('error', resolve as never))
  stream.write(Buffer.alloc(100_000))
  ;(await incoming).stopReceiving(9)
  const error = await failed
  assert.is(error.code, 'ERR_HOLDFAST_STREAM_STOPPED')
  assert.is(error.wireCode, 9)
  assert.is(session.isOpen, true)
})

test('stopReceiving(0) is "enough": the answer still arrives', async ({ session, accepted }) => {
  accepted.onStream((stream) => {
    stream.once('data', () => {
      stream.stopReceiving(0)
      stream.end('no more, thank you')
    })
  })
  const stream = session.openStream()
  const sending = (async () => {
    for (let i = 0; i < 500; i += 1) await write(stream, Buffer.alloc(64 * 1024))
  })()
  let answer = ''
  for await (const part of stream) answer += part
  assert.is(answer, 'no more, thank you')
  await sending
})

test('streams destroyed before their first write hurt nobody', async (pair) => {
  let text = ''
  pair.accepted.onStream((stream) => stream.on('data', (part) => (text += part)))
  for (let i = 0; i < 20; i += 1) pair.session.openStream().destroy()
  const stream = pair.session.openStream()
  stream.end('still here')
  await stream.acknowledged()
  assert.is(text, 'still here')
  assert.is(pair.session.isOpen, true)
})

test('1,000 streams at once through a limit of 1,024', async ({ session, accepted }) => {
  let bytes = 0
  let ended = 0
  const all = Promise.withResolvers<void>()
  accepted.onStream((stream) => {
    stream.on('data', (part: Buffer) => {
      bytes += part.length
    })
    stream.once('end', () => {
      stream.end()
      ended += 1
      if (ended === 1_500) all.resolve()
    })
  })
  for (let i = 0; i < 1_500; i += 1) {
    const stream = session.openStream()
    stream.resume()
    stream.end(Buffer.alloc(3_000))
  }
  await all.promise
  assert.is(bytes, 1_500 * 3_000)
})

test('destroy() fails streams at once and with the error given', async ({ session, accepted }) => {
  const incoming = nextStream(accepted)
  const stream = session.openStream()
  stream.write('x')
  const reader = await incoming
  const failed = new Promise<TransportError>((resolve) => reader.once('error', resolve as never))
  const mine = new Promise<Error>((resolve) => stream.once('error', resolve))
  session.destroy(new Error('the disk burns'))
  session.destroy()
  assert.is((await mine).message, 'the disk burns')
  assert.is((await failed).remote, true)
  assert.is((await session.closed).error?.code, 'ERR_HOLDFAST_CLOSED')
  assert.is((await accepted.closed).reason, 'the disk burns')
})

test.run()
