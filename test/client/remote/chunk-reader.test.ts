// test/client/remote/chunk-reader.test.ts — how long does a dead server hold up a restore?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chunkId, zstd } from '../../../src/chunk/index.ts'
import { BlobSender } from '../../../src/client/backup/blob-sender.ts'
import { ChunkSink } from '../../../src/client/backup/chunk-sink.ts'
import { BackupSession } from '../../../src/client/remote/backup-session.ts'
import { ChunkReader } from '../../../src/client/remote/chunk-reader.ts'
import type { Context } from '../../../src/client/remote/context.ts'
import { ManagerLink } from '../../../src/client/remote/manager-link.ts'
import { ServerChoice } from '../../../src/client/remote/server-choice.ts'
import { HoldfastError } from '../../../src/errors.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { keys } from '../support/client.ts'
import { FakeCluster } from '../support/fake-cluster.ts'
import { contextFor, prng } from '../support/world.ts'

const test = suite('client chunk reader')

async function stored(context: Context, count: number): Promise<string[]> {
  const owner = { repositoryId: keys.repositoryId, clientName: 'one' }
  const session = await BackupSession.begin(context, new ManagerLink(context), owner)
  const sender = new BlobSender(context, session, { ...owner, waitForServers: false })
  const totals = { newBytes: 0, storedBytes: 0, blobs: 0 }
  const sink = new ChunkSink(context, session, { keys, compressor: zstd, sender, totals })
  const ids: string[] = []
  for (let seed = 0; seed < count; seed += 1) {
    const plaintext = prng(seed).bytes(1_000_000)
    ids.push(chunkId(keys, plaintext))
    while (!sink.hasRoom) await sink.change()
    sink.offer({ id: ids.at(-1)!, kind: 'data', plaintext, edges: [] })
  }
  await sink.finish()
  session.end()
  return ids
}

test('a server that cannot be reached is left after a moment, and only once', async () => {
  const cluster = new FakeCluster(2)
  const { context } = contextFor(cluster)
  const ids = await stored(context, 24)
  const [dead, alive] = [2, 3] // ports of servers 1 and 2
  const waits: (number | undefined)[] = []
  let fetches = 0
  const call: Context['peers']['call'] = async (to, method, request, options) => {
    if (method === 'blob.fetch') fetches += 1
    if (to.port !== dead) return await cluster.peers.call(to, method, request, options)
    waits.push(options?.connectMs)
    throw new HoldfastError('UNREACHABLE', 'nobody answers')
  }
  const there = { ...context, peers: { call } }
  const reader = new ChunkReader(there, new ManagerLink(there), { keys, compressor: zstd })
  const came: string[] = []
  const failed: string[] = []
  const read = (part: string[]): Promise<void> =>
    reader.read(
      'data',
      part,
      (id) => void came.push(id),
      (id) => void failed.push(id),
    )
  await read(ids.slice(0, 12))
  await read(ids.slice(12))
  assert.equal([came.length, failed.length], [24, 0])
  assert.ok(fetches > waits.length)
  assert.ok(waits.length > 0 && waits.length <= 6, `${waits.length} tries of the dead server`)
  assert.ok(waits.every((waitMs) => waitMs !== undefined && waitMs < 1_000))

  // With no other copy left there is nothing to leave it for.
  waits.length = 0
  cluster.servers[alive - 2]!.blobs.clear()
  await read(ids.slice(0, 1))
  assert.ok(waits.length > 0)
  assert.ok(waits.every((waitMs) => waitMs === undefined))
})

test('a server that fails again and again is tried less and less, until it works', async () => {
  const clock = new ManualClock()
  const choice = new ServerChoice(clock)
  const isFirst = (): boolean => choice.pick([1, 2]) === 1
  assert.is(isFirst(), true)
  for (const seconds of [10, 20, 40]) {
    choice.avoid(1)
    choice.avoid(1)
    await clock.advance(seconds * 1_000 - 1)
    assert.is(isFirst(), false, `for ${seconds} s`)
    await clock.advance(2)
    assert.is(isFirst(), true)
  }
  choice.trust(1)
  choice.avoid(1)
  await clock.advance(10_001)
  assert.is(isFirst(), true)
  choice.avoid(1)
  assert.is(choice.pick([1]), 1, 'rather it than nobody')
})

test.run()
