// test/protocol/session.test.ts — do sessions and Node streams keep their promises on a bad network?
import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Session, TransportError, type TransportStream } from '../../protocol/types.ts'
import type { LinkOptions } from '../sim/link.ts'
import { chosenSeed, Random } from '../sim/random.ts'
import { type ShellNode, ShellWorld } from '../sim/shell-world.ts'

const seed = chosenSeed()
const LOSSY = { rateMbit: 100, delayMs: 5, lossRatio: 0.03, queueBytes: 300_000 }

const test = suite(`protocol: sessions in virtual time, replay with SEED=${seed}`)

const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))
test.after.each(async () => {
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(unhandled, [], 'unhandled rejections')
})

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

interface Stage {
  world: ShellWorld
  client: ShellNode
  server: ShellNode
  session: Session
  accepted: Session
}

async function connect(options: Partial<LinkOptions> = LOSSY): Promise<Stage> {
  const world = new ShellWorld(seed, options)
  const client = world.addNode('client')
  const server = world.addNode('server')
  const accepting = new Promise<Session>((resolve) => server.endpoint.onSession(resolve))
  const to = { ...server.endpoint.local, publicKey: server.identity.publicKey }
  const session = await world.during(client.endpoint.connect(to))
  return { world, client, server, session, accepted: await world.during(accepting) }
}

async function closeAll({ world, client, server }: Stage): Promise<void> {
  await world.during(Promise.all([client.endpoint.close(), server.endpoint.close()]))
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<{ bytes: number; hash: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const part of stream) {
    hash.update(part)
    bytes += part.length
  }
  return { bytes, hash: hash.digest('hex') }
}

const incoming = (session: Session): Promise<TransportStream> =>
  new Promise((resolve) => session.onStream(resolve))

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: TransportError) => error.code,
  )

test('writes of any size come out whole, both ways at once', async () => {
  const stage = await connect({ ...LOSSY, corruptRatio: 0.01, duplicateRatio: 0.02, jitterMs: 3 })
  const random = new Random(seed, 'sizes')
  const sent = createHash('sha256')
  const stream = stage.session.openStream()
  let total = 0
  const sending = (async () => {
    while (total < 1_000_000) {
      const bytes = random.bytes(1 + random.below(random.chance(0.1) ? 100_000 : 300))
      sent.update(bytes)
      total += bytes.length
      if (!stream.write(bytes)) await new Promise((resolve) => stream.once('drain', resolve))
    }
    stream.end()
  })()
  const reader = await stage.world.during(incoming(stage.accepted))
  reader.pipe(reader) // an echo
  const echo = await stage.world.during(readAll(stream))
  await sending
  assert.is(echo.bytes, total)
  assert.is(echo.hash, sent.digest('hex'))
  assert.ok(stage.world.dropped > 5)
  await closeAll(stage)
})

test('close() right after the last write loses nothing', async () => {
  const stage = await connect()
  const stream = stage.session.openStream()
  for (let i = 0; i < 40; i += 1) stream.write(Buffer.alloc(50_000, i))
  stream.end()
  const reading = incoming(stage.accepted).then(readAll)
  await stage.world.during(stage.session.close())
  assert.is((await stage.world.during(reading)).bytes, 2_000_000)
  assert.is((await stage.world.during(stage.accepted.closed)).error, null)
  assert.ok(stage.world.dropped > 5)
  await closeAll(stage)
})

test('close() with 64 MiB queued sends all of it first', async () => {
  const stage = await connect({ rateMbit: 1_000, delayMs: 1, queueBytes: 2 ** 20 })
  const stream = stage.session.openStream()
  const sent = createHash('sha256')
  for (let i = 0; i < 64; i += 1) {
    const part = Buffer.alloc(2 ** 20, i)
    sent.update(part)
    stream.write(part)
  }
  stream.end()
  assert.ok(stream.writableLength > 50 * 2 ** 20, `${stream.writableLength} bytes wait`)
  const reading = incoming(stage.accepted).then(readAll)
  await stage.world.during(stage.session.close())
  const { bytes, hash } = await stage.world.during(reading)
  assert.is(bytes, 64 * 2 ** 20)
  assert.is(hash, sent.digest('hex'))
  assert.is((await stage.world.during(stage.accepted.closed)).error, null)
  await closeAll(stage)
})

test('close() of a stream without FIN waits for its bytes, not for ever', async () => {
  const stage = await connect({ delayMs: 50 })
  const stream = stage.session.openStream()
  const reader = stage.world.during(incoming(stage.accepted))
  stream.write(Buffer.alloc(1_000))
  const startMs = stage.world.schedule.nowMs
  await stage.world.during(stage.session.close())
  const tookMs = stage.world.schedule.nowMs - startMs
  assert.ok(tookMs >= 100 && tookMs < 1_000, `${tookMs} ms: a round trip, not the time limit`)
  const got = await codeOf(stage.world.during(reader.then(readAll)))
  assert.is(got, 'ERR_HOLDFAST_CLOSED', 'a stream without an end must not look whole')
  await closeAll(stage)
})

test('close() gives up on a peer that does not read', async () => {
  const stage = await connect({ delayMs: 5 })
  const stream = stage.session.openStream()
  stage.accepted.onStream(() => {})
  stream.write(Buffer.alloc(8 * 1024 * 1024))
  stream.end()
  const acknowledged = codeOf(stream.acknowledged())
  const startMs = stage.world.schedule.nowMs
  await stage.world.during(stage.session.close({ drainMs: 700 }))
  const tookMs = stage.world.schedule.nowMs - startMs
  assert.ok(tookMs >= 700 && tookMs < 800, `${tookMs} ms`)
  assert.is(await stage.world.during(acknowledged), 'ERR_HOLDFAST_CLOSED')
  await closeAll(stage)
})

test('a ping tells a peer that is gone from one that has nothing to say', async () => {
  const stage = await connect({ ...LOSSY, lossRatio: 0.2 })
  const { session, world } = stage
  for (let i = 0; i < 20; i += 1) {
    await world.pass(2_000)
    assert.ok(session.silentMs < 2_000, `silent for ${session.silentMs} ms, and lives`)
    session.ping()
  }
  await world.pass(6_000)
  assert.is(session.silentMs, 0, 'owes nothing')
  stage.server.host.kill()
  await world.pass(3_000) // before the next keep-alive
  assert.is(session.silentMs, 0, 'nobody asked it')
  session.ping()
  await world.pass(3_000)
  assert.ok(session.silentMs > 2_900, `${session.silentMs} ms`)
  session.destroy()
  assert.is(session.silentMs, 0)
  await world.during(stage.client.endpoint.close())
})

test('a peer that vanishes fails streams, writes and waits with one typed error', async () => {
  const stage = await connect({ delayMs: 5 })
  const stream = stage.session.openStream()
  stream.write('before')
  await stage.world.during(incoming(stage.accepted))
  stage.server.host.kill()
  const written = new Promise((resolve, reject) =>
    stream.write(Buffer.alloc(16 * 1024 * 1024), (error) => (error ? reject(error) : resolve(0))),
  )
  const codes = Promise.all([
    codeOf(written),
    codeOf(stream.acknowledged()),
    codeOf(readAll(stream)),
  ])
  const info = await stage.world.during(stage.session.closed)
  assert.is(info.error?.code, 'ERR_HOLDFAST_IDLE_TIMEOUT')
  assert.equal(await stage.world.during(codes), new Array(3).fill('ERR_HOLDFAST_IDLE_TIMEOUT'))
  await stage.session.close()
  stage.session.destroy()
  assert.throws(() => stage.session.openStream())
  await stage.world.during(stage.client.endpoint.close())
})

test('a stream that is stopped or reset behind its FIN leaves no memory behind', async () => {
  const stage = await connect({ delayMs: 5 })
  stage.accepted.onStream((stream) => {
    stream.stopReceiving(stream.streamId % 8 === 0 ? 0 : 42)
    stream.end()
  })
  const use = (i: number): WeakRef<TransportStream> => {
    const stream = stage.session.openStream()
    stream.resume()
    stream.end(Buffer.alloc(300_000))
    if (i % 3 === 0) stage.world.schedule.after(4, () => stream.reset(7))
    return new WeakRef(stream)
  }
  const used = Array.from({ length: 12 }, (_, i) => use(i))
  await stage.world.pass(5_000)
  for (let i = 0; i < 3; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5)) // WeakRefs hold until the next task
    collectGarbage()
  }
  const kept = used.filter((ref) => ref.deref() !== undefined)
  assert.is(kept.length, 0, 'streams that the session still holds')
  await closeAll(stage)
})

test('a code that no frame can hold is sent as "no code", and brings nobody down', async () => {
  for (const code of [2 ** 30, 2 ** 40, -1, 1.5, Number.NaN]) {
    const { world, client, server, session, accepted } = await connect({ delayMs: 5 })
    const stream = session.openStream()
    stream.write('x')
    const reader = await world.during(incoming(accepted))
    const got = readAll(reader).catch((error: TransportError) => error.wireCode)
    stream.destroy(new TransportError('ERR_HOLDFAST_STREAM_RESET', 'mine', { wireCode: code }))
    assert.is(await world.during(got), 1)
    await world.during(session.close({ code }))
    assert.is((await world.during(accepted.closed)).error?.wireCode, 1)
    await world.during(Promise.all([client.endpoint.close(), server.endpoint.close()]))
  }
})

test('streams beyond the limit wait their turn, and can be given up while they wait', async () => {
  const stage = await connect({ delayMs: 5 })
  const streams = Array.from({ length: 1_100 }, () => stage.session.openStream())
  assert.is(streams[1_099]!.streamId, -1)
  streams[1_050]!.destroy()
  stage.accepted.onStream((stream) => {
    stream.resume()
    stream.once('end', () => stream.end())
  })
  const all = streams.map(async (stream, i) => {
    if (i === 1_050) return
    stream.resume()
    stream.end('x')
    await stream.acknowledged()
  })
  await stage.world.during(Promise.all(all))
  assert.ok(streams[1_099]!.streamId > 0)
  assert.is(streams[1_050]!.streamId, -1)
  await closeAll(stage)
})

test('abort, close and destroy at every moment leave nothing unheard', async () => {
  for (let delayMs = 0; delayMs < 60; delayMs += 3) {
    const world = new ShellWorld(seed + delayMs, { delayMs: 8, lossRatio: 0.1 })
    const client = world.addNode('client')
    const server = world.addNode('server')
    server.endpoint.onSession((session) => session.onStream((stream) => stream.pipe(stream)))
    const to = { ...server.endpoint.local, publicKey: server.identity.publicKey }
    const controller = new AbortController()
    const dial = client.endpoint.connect(to, { signal: controller.signal })
    const using = dial.then((session) => {
      const stream = session.openStream()
      stream.write(Buffer.alloc(50_000))
      if (delayMs % 2 === 0) stream.end()
      stream.resume()
    })
    using.catch(() => {})
    await world.pass(delayMs)
    controller.abort()
    const closing = Promise.all([
      client.endpoint.close({ drainMs: delayMs * 3 }),
      server.endpoint.close({ drainMs: 20 }),
    ])
    await world.during(closing)
    await world.pass(100)
  }
})

test.run()
