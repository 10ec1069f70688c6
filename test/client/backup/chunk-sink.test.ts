// test/client/backup/chunk-sink.test.ts — does every chunk that is offered reach two servers, once?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkId, deriveKeys, zstd } from '../../../src/chunk/index.ts'
import { BlobSender } from '../../../src/client/backup/blob-sender.ts'
import { ChunkSink } from '../../../src/client/backup/chunk-sink.ts'
import { BackupSession } from '../../../src/client/remote/backup-session.ts'
import { ManagerLink } from '../../../src/client/remote/manager-link.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { contextFor, prng } from '../support/world.ts'

const test = suite('client chunk sink')
const keys = deriveKeys(Buffer.alloc(32, 7))

async function openSink(cluster: FakeCluster, limits = {}, waitForServers = false) {
  const { context, events } = contextFor(cluster, limits)
  const owner = { repositoryId: keys.repositoryId, clientName: 'one' }
  const session = await BackupSession.begin(context, new ManagerLink(context), owner)
  const sender = new BlobSender(context, session, { ...owner, waitForServers })
  const totals = { newBytes: 0, storedBytes: 0, blobs: 0 }
  const sink = new ChunkSink(context, session, { keys, compressor: zstd, sender, totals })
  return { sink, session, events, context }
}

function data(seed: number, length = 100_000) {
  const plaintext = prng(seed).bytes(length)
  return { id: chunkId(keys, plaintext), kind: 'data' as const, plaintext, edges: [] }
}

test('what is offered is on two servers when finish answers, and not sent twice', async () => {
  const cluster = new FakeCluster()
  const { sink, session } = await openSink(cluster)
  const chunks = Array.from({ length: 100 }, (_, seed) => data(seed))
  for (const chunk of [...chunks, ...chunks]) sink.offer(chunk)
  await sink.finish()
  for (const { id } of chunks) assert.ok(cluster.isGood(id))
  assert.is(sink.totals.newBytes, 100 * 100_000)
  assert.is(sink.totals.blobs, cluster.blobIds.size)
  assert.ok(cluster.blobIds.size < 6, `${cluster.blobIds.size} blobs for 10 MB`)
  session.end()
})

test('two clients with the same data at once store it once', async () => {
  const cluster = new FakeCluster()
  const [a, b] = [await openSink(cluster), await openSink(cluster)]
  for (let seed = 0; seed < 150; seed += 1) {
    const order = [a, b].sort(() => (seed % 2 ? 1 : -1))
    for (const { sink } of order) sink.offer(data(seed))
    if (seed % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await Promise.all([a.sink.finish(), b.sink.finish()])
  const stored = a.sink.totals.newBytes + b.sink.totals.newBytes
  assert.is(stored, 150 * 100_000)
  a.session.end()
  b.session.end()
})

test('two clients that wait for each other with full budgets still finish', async () => {
  const cluster = new FakeCluster()
  const limits = { pendingBytes: 250_000, asideBytes: 250_000 }
  const [a, b] = [await openSink(cluster, limits), await openSink(cluster, limits)]
  const run = async (sink: ChunkSink, seeds: number[]): Promise<void> => {
    for (const seed of seeds) {
      while (!sink.hasRoom) await sink.change()
      sink.offer(data(seed))
    }
    await sink.finish()
  }
  const seeds = Array.from({ length: 40 }, (_, seed) => seed)
  await Promise.all([run(a.sink, seeds), run(b.sink, seeds.toReversed())])
  for (const seed of seeds) assert.ok(cluster.isGood(data(seed).id))
  a.session.end()
  b.session.end()
})

test('a claim whose client vanished is taken over', async () => {
  const cluster = new FakeCluster()
  cluster.claimMs = 300
  const gone = await openSink(cluster)
  await gone.session.call('chunks.missing', { chunkIds: [data(1).id] })
  gone.session.end()
  const { sink, session } = await openSink(cluster)
  sink.offer(data(1))
  await sink.finish()
  assert.ok(cluster.isGood(data(1).id))
  session.end()
})

test('asking about a chunk without its bytes: present, missing, or sent by this backup', async () => {
  const cluster = new FakeCluster()
  const { sink, session } = await openSink(cluster)
  const heard: string[] = []
  const watcher = {
    handlePresent: (id: string) => void heard.push(`present ${id}`),
    handleMissing: (id: string) => void heard.push(`missing ${id}`),
  }
  const [one, two] = [data(1), data(2)]
  assert.is(sink.ask(one.id, watcher), 'pending')
  sink.offer(two)
  assert.is(sink.ask(two.id, watcher), 'known')
  await sink.change()
  assert.equal(heard, [`missing ${one.id}`])
  assert.is(sink.ask(one.id, watcher), 'missing')
  sink.offer(one)
  await sink.finish()
  assert.is(sink.ask(one.id, watcher), 'known')
  const second = await openSink(cluster)
  assert.is(second.sink.ask(one.id, watcher), 'pending')
  await second.sink.change()
  assert.equal(heard, [`missing ${one.id}`, `present ${one.id}`])
  session.end()
  second.session.end()
})

test('a server that fails is left out, and the blob goes to another', async () => {
  const cluster = new FakeCluster()
  const { sink, session, events } = await openSink(cluster)
  let failures = 0
  cluster.before = ({ method, to }) => {
    if (method !== 'blob.store' || to.port !== 2) return
    failures += 1
    cluster.servers[0]!.up = false
  }
  for (let seed = 0; seed < 100; seed += 1) sink.offer(data(seed))
  await sink.finish()
  assert.ok(failures > 0, 'server 1 was never asked')
  for (let seed = 0; seed < 100; seed += 1) assert.ok(cluster.isGood(data(seed).id))
  const failed = events.filter((event) => event.type === 'blob' && event.state === 'failed')
  assert.ok(failed.length > 0)
  session.end()
})

test('with one server up it says so and stores nothing; told to wait, it waits', async () => {
  const cluster = new FakeCluster(2)
  cluster.servers[1]!.up = false
  const { sink, session } = await openSink(cluster)
  sink.offer(data(1))
  const code = await sink.finish().catch((error) => error.code)
  assert.is(code, 'NOT_ENOUGH_SERVERS')
  await session.abort() // or the other would wait for what this one claimed
  const patient = await openSink(cluster, {}, true)
  patient.sink.offer(data(1))
  setTimeout(() => {
    cluster.servers[1]!.up = true
  }, 500)
  await patient.sink.finish()
  assert.ok(cluster.isGood(data(1).id))
  assert.ok(patient.events.some((event) => event.type === 'waiting'))
  patient.session.end()
})

test('a lost session begins anew, and says so', async () => {
  const cluster = new FakeCluster()
  const { sink, session, events } = await openSink(cluster)
  sink.offer(data(1))
  await sink.finish()
  cluster.sessions.clear()
  sink.offer(data(2))
  await sink.finish()
  assert.is(session.renewals, 1)
  assert.ok(events.some((event) => event.type === 'notice' && event.code === 'SESSION_RENEWED'))
  session.end()
})

test.run()
