// test/manager/manager.test.ts — does the manager ever say "stored" too early, or keep a dead word?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HoldfastError } from '../../src/errors.ts'
import { codeOf } from '../server/support/code-of.ts'
import { blobOf, idOf, type ServerActor, Stage } from './support/stage.ts'

const test = suite('manager')
const blob = blobOf({ a: [], b: [] })

/** Assigned to a primary, and a backup server found: nobody has reported yet. */
async function underWay(stage: Stage, what = blob) {
  const client = await stage.client(1)
  const assigned = await client.assign(what)
  if (assigned.state !== 'assigned') throw new Error('nothing was assigned')
  const primary = stage.serverActor(assigned.server.number)
  const backup = await primary.assignBackup(what, assigned.grant)
  const grants = { store: assigned.grant, replicate: backup.grant }
  return { client, primary, backup: stage.serverActor(backup.server.number), grants }
}

test('no order of the two reports makes a blob committed before both are in', async () => {
  for (const first of ['primary', 'backup'] as const) {
    const stage = await Stage.open(3)
    const { client, primary, backup, grants } = await underWay(stage)
    const report = {
      primary: () => primary.stored(blob, grants.store, true),
      backup: () => backup.stored(blob, grants.replicate, false),
    }
    const one = report[first]()
    await stage.clock.pass(1_000)
    assert.equal(await client.missing('a'), ['send'], `only the ${first} has reported`)
    assert.is((await client.status()).blobs.total, 0)
    const two = report[first === 'primary' ? 'backup' : 'primary']()
    const answers = await stage.clock.until(Promise.all([one, two]))
    const ofPrimary = first === 'primary' ? answers[0] : answers[1]
    assert.is(ofPrimary.state, 'committed')
    assert.equal(ofPrimary.servers.sort(), [primary.number, backup.number].sort())
    assert.equal(await client.missing('a', 'b'), ['present', 'present'])
    await stage.close()
  }
})

test('one server that reports twice is one copy', async () => {
  const stage = await Stage.open(3)
  const { client, primary, grants } = await underWay(stage)
  for (let time = 0; time < 2; time += 1) {
    const { state } = await stage.clock.until(primary.stored(blob, grants.store, true))
    assert.is(state, 'pending')
  }
  assert.equal(await client.missing('a'), ['send'])
  await stage.close()
})

test('a catalog that fails to commit is never answered with "committed"', async () => {
  const stage = await Stage.open(3)
  const { client, primary, backup, grants } = await underWay(stage)
  stage.faults.commitBlob = [new HoldfastError('INTERNAL', 'the disk is full')]
  const answer = codeOf(primary.stored(blob, grants.store, true))
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  assert.is(await stage.clock.until(answer), 'INTERNAL')
  assert.equal(await client.missing('a'), ['send'])
  await stage.close()
})

test('a copy that was reported before its server started again is not counted', async () => {
  const stage = await Stage.open(3)
  const { client, primary, backup, grants } = await underWay(stage)
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  backup.disconnect()
  await backup.register([]) // with a new disk, as its block report says
  const { state } = await stage.clock.until(primary.stored(blob, grants.store, true))
  assert.is(state, 'pending')
  assert.equal(await client.missing('a'), ['send'])
  await stage.close()
})

test('a copy that a block report does not list is not counted either', async () => {
  const stage = await Stage.open(3)
  const { primary, backup, grants } = await underWay(stage)
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  await backup.report([])
  const { state } = await stage.clock.until(primary.stored(blob, grants.store, true))
  assert.is(state, 'pending')
  await stage.close()
})

test('a copy on a server that is dead by now is not counted', async () => {
  const stage = await Stage.open(3, { timing: { deadMs: 20_000 } })
  const { client, primary, backup, grants } = await underWay(stage)
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  backup.stop()
  await stage.clock.pass(25_000)
  const { state } = await stage.clock.until(primary.stored(blob, grants.store, true))
  assert.is(state, 'pending')
  assert.equal(await client.missing('a'), ['send'])
  await stage.close()
})

test('a report that nothing followed is forgotten in time, and may be made again', async () => {
  const stage = await Stage.open(3)
  const { client, primary, backup, grants } = await underWay(stage)
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  await stage.clock.pass(910_000)
  const early = await stage.clock.until(primary.stored(blob, grants.store, true))
  assert.is(early.state, 'pending')
  const answer = primary.stored(blob, grants.store, true)
  await stage.clock.until(backup.stored(blob, grants.replicate, false))
  assert.is((await stage.clock.until(answer)).state, 'committed')
  await client.begin()
  assert.equal(await client.missing('a'), ['present'])
  await stage.close()
})

test('a server that loses a blob while it runs is believed, however young the blob', async () => {
  const stage = await Stage.open(3)
  const client = await stage.client(1)
  const [holder] = await client.store(blob)
  await stage.clock.pass(60_000)
  await client.begin()
  assert.equal(await client.missing('a'), ['present'])
  const result = await stage.serverActor(holder ?? 0).report([])
  assert.equal(result, { unknown: 0, missing: 1 })
  assert.equal(await client.missing('a'), ['send'], 'a thin chunk is sent again')
  await stage.close()
})

test('a blob committed while a report of many pages is under way stays good', async () => {
  const stage = await Stage.open(2)
  const client = await stage.client(1)
  const server = stage.serverActor(1)
  const page = { number: 1, reportId: '0f'.repeat(16), blobs: [] }
  await server.ask('server.report', { ...page, page: 0, last: false })
  await client.store(blob)
  await server.ask('server.report', { ...page, page: 1, last: true })
  assert.equal(await client.missing('a'), ['present'])
  await stage.close()
})

test('a snapshot is refused while a piece of it is thin or unknown, and takes it whole', async () => {
  const stage = await Stage.open(4)
  const client = await stage.client(1)
  await client.store(blobOf({ root: ['leaf'], record: ['root'] }, { record: true }))
  assert.is(await codeOf(client.commit('record')), 'UNKNOWN_EDGE')
  const leaf = blobOf({ leaf: [] })
  const [holder] = await client.store(leaf)
  await stage.clock.pass(10)
  await stage.serverActor(holder ?? 0).report([])
  assert.is(await codeOf(client.commit('record')), 'UNDER_REPLICATED')
  assert.equal(await client.missing('leaf'), ['send'])
  await client.store(blobOf({ leaf: [], root: ['leaf'] }, { salt: 'again' }))
  await client.store(blobOf({ record: ['root'] }, { record: true, salt: 'again' }))
  assert.is((await client.commit('record')).snapshotId, idOf('record'))
  await stage.close()
})

test('after a commit the session is over; the same commit again is answered as before', async () => {
  const stage = await Stage.open(2)
  const client = await stage.client(1)
  await client.store(blobOf({ record: [] }, { record: true }))
  const first = await client.commit('record')
  assert.is((await client.status()).sessions, 0)
  assert.is(await codeOf(client.touch()), 'SESSION_EXPIRED')
  await client.begin()
  assert.equal(await client.commit('record'), first)
  await stage.close()
})

test('the second client waits, and takes over 10 s after the last word of the first', async () => {
  const stage = await Stage.open(2)
  const [one, two] = [await stage.client(1), await stage.client(2)]
  assert.equal(await one.missing('a'), ['send'])
  await stage.clock.pass(9_000)
  assert.equal(await two.missing('a'), ['wait'])
  await one.touch()
  await stage.clock.pass(9_000)
  assert.equal(await two.missing('a'), ['wait'])
  await stage.clock.pass(1_500)
  assert.equal(await two.missing('a'), ['send'])
  assert.equal(await one.missing('a'), ['wait'], 'now it is the other way round')
  await stage.close()
})

test('a client that lives on and never sends what it claimed does not keep others waiting', async () => {
  const stage = await Stage.open(2)
  const [one, two] = [await stage.client(1), await stage.client(2)]
  await one.missing('a')
  const answers: string[] = []
  for (let second = 0; second < 90; second += 5) {
    await one.touch()
    answers.push(...(await two.missing('a')))
    await stage.clock.pass(5_000)
  }
  assert.is(answers[0], 'wait')
  assert.is(answers.at(-1), 'send')
  await stage.close()
})

test('claims are forgotten by a restart, and nothing else is', async () => {
  const stage = await Stage.open(3)
  const [one, two] = [await stage.client(1), await stage.client(2)]
  const servers = await one.store(blob)
  await one.missing('c')
  stage.killManager()
  await stage.startManager()
  for (const actor of [one, two]) actor.disconnect()
  assert.is(await codeOf(one.missing('a')), 'SAFE_MODE', 'no server has reported yet')
  for (const number of [1, 2, 3]) {
    const server = stage.serverActor(number)
    server.disconnect()
    await server.register(servers.includes(number) ? [blob] : [])
  }
  assert.equal(await two.missing('a', 'c'), ['present', 'send'])
  assert.equal(await one.missing('a', 'c'), ['present', 'wait'])
  await stage.close()
})

/** A manager that has just started, and its servers, none of which has said anything yet. */
async function restarted(servers: number, held: Map<number, boolean> = new Map()) {
  const stage = await Stage.open(servers)
  const client = await stage.client(1)
  for (const number of await client.store(blob)) held.set(number, true)
  stage.killManager()
  await stage.startManager()
  client.disconnect()
  const back = async (number: number): Promise<void> => {
    const server: ServerActor = stage.serverActor(number)
    server.disconnect()
    await server.register(held.has(number) ? [blob] : [])
  }
  const holders = [...held.keys()]
  const others = [1, 2, 3, 4].slice(0, servers).filter((number) => !held.has(number))
  return { stage, client, back, holders, others }
}

test('safe mode ends when every blob has a copy somewhere, though one server stays away', async () => {
  const { stage, client, back, holders, others } = await restarted(4)
  for (const number of others) await back(number)
  assert.is((await client.status()).safeMode, true, 'nobody has the blob')
  await back(holders[0] ?? 0)
  assert.is((await client.status()).safeMode, false, 'one copy of everything is there')
  assert.equal((await client.missing('new'))[0], 'send')
  await stage.close()
})

test('safe mode waits for those that alone have something', async () => {
  const { stage, client, back, others } = await restarted(3)
  for (const number of others) await back(number)
  assert.is((await client.status()).safeMode, true)
  assert.is(await codeOf(client.missing('new')), 'SAFE_MODE')
  assert.is(await codeOf(client.assign(blobOf({ new: [] }))), 'SAFE_MODE')
  assert.is(await codeOf(client.commit('record')), 'SAFE_MODE')
  assert.equal(
    (await client.ask('snapshots.list', { repositoryId: 'aa'.repeat(16) })).snapshots,
    [],
  )
  await stage.close()
})

test('a copy on the host of the primary is taken only where there is no other host', async () => {
  const stage = await Stage.open(0)
  for (const [number, host] of [
    [1, 'attic'],
    [2, 'attic'],
    [3, 'cellar'],
  ] as const) {
    await stage.server(number, { host })
  }
  const client = await stage.client(1)
  for (let round = 0; round < 20; round += 1) {
    const some = blobOf({ [`chunk ${round}`]: [] })
    const assigned = await client.assign(some)
    if (assigned.state !== 'assigned') throw new Error('nothing was assigned')
    const primary = stage.serverActor(assigned.server.number)
    // Somebody had trouble with all of them a moment ago.
    const { server } = await primary.assignBackup(some, assigned.grant)
    assert.is.not(server.host, assigned.server.host, `round ${round}`)
    const request = { sessionId: client.sessionId, blobId: some.blobId, sizeBytes: 1 }
    await client.ask('server.assign', { ...request, exclude: [3] })
  }
  await stage.close()
})

test('a copy that is there already saves sending it, but not on the host of the primary', async () => {
  for (const [host, expected] of [
    ['cellar', 2],
    ['attic', 3],
  ] as const) {
    const stage = await Stage.open(0)
    await stage.server(1, { host: 'attic' })
    await stage.server(2, { host })
    await stage.server(3, { host: 'garage' })
    const client = await stage.client(1)
    for (let round = 0; round < 10; round += 1) {
      const some = blobOf({ [`chunk ${round}`]: [] })
      const { blobId, sizeBytes } = some
      const request = { sessionId: client.sessionId, blobId, sizeBytes, exclude: [2, 3] }
      const assigned = await client.ask('server.assign', request)
      if (assigned.state !== 'assigned') throw new Error('nothing was assigned')
      const primary = stage.serverActor(1)
      const first = await primary.assignBackup(some, assigned.grant, [3])
      assert.is(first.server.number, 2)
      await stage.clock.until(stage.serverActor(2).stored(some, first.grant, false))
      const again = await primary.assignBackup(some, assigned.grant)
      assert.is(again.server.number, expected, `server 2 holds it in the ${host}`)
    }
    await stage.close()
  }
})

test('a report needs a grant for this blob, this purpose and this time', async () => {
  const stage = await Stage.open(3)
  const { primary, backup, grants } = await underWay(stage)
  const other = blobOf({ other: [] })
  const refused = async (storing: Promise<unknown>): Promise<void> => {
    assert.is(await stage.clock.until(codeOf(storing)), 'GRANT_REFUSED')
  }
  await refused(primary.stored(other, grants.store, true))
  await refused(primary.stored(blob, grants.replicate, true))
  await refused(backup.stored(blob, grants.store, false))
  await refused(backup.stored(blob, Buffer.from('no grant'), false))
  await stage.clock.pass(900_000 + 301_000)
  await refused(primary.stored(blob, grants.store, true))
  await refused(backup.stored(blob, grants.replicate, false))
  await stage.close()
})

test('a copied or mistaken number does not push out the server that is up', async () => {
  const stage = await Stage.open(2)
  assert.is(await codeOf(stage.server(2, { key: 3 })), 'NOT_ALLOWED')
  stage.serverActor(2).stop()
  await stage.clock.pass(11_000)
  await stage.server(2, { key: 3 }) // it was replaced, with a new key
  await stage.close()
})

test('a server speaks for itself only', async () => {
  const stage = await Stage.open(2)
  const { primary, backup, grants } = await underWay(stage)
  const { blobId, sizeBytes } = blob
  const request = { number: backup.number, blobId, sizeBytes, grant: grants.replicate }
  assert.is(await codeOf(primary.ask('replica.stored', request)), 'NOT_ALLOWED')
  const report = {
    number: backup.number,
    reportId: '01'.repeat(16),
    page: 0,
    last: true,
    blobs: [],
  }
  assert.is(await codeOf(primary.ask('server.report', report)), 'NOT_ALLOWED')
  await stage.close()
})

test('a session that nobody touches for its lease is gone, one that is touched is not', async () => {
  const stage = await Stage.open(2)
  const [quiet, busy] = [await stage.client(1), await stage.client(2)]
  for (let second = 0; second < 70; second += 10) {
    await busy.touch()
    await stage.clock.pass(10_000)
  }
  assert.is(await codeOf(quiet.missing('a')), 'SESSION_EXPIRED')
  assert.equal(await busy.missing('a'), ['send'])
  const stolen = { sessionId: busy.sessionId }
  assert.is(await codeOf(quiet.ask('backup.touch', stolen)), 'SESSION_EXPIRED')
  await stage.close()
})

test('with one server up nothing is assigned', async () => {
  const stage = await Stage.open(2)
  const client = await stage.client(1)
  stage.serverActor(2).stop()
  await stage.clock.pass(11_000)
  assert.is(await codeOf(client.assign(blob)), 'NOT_ENOUGH_SERVERS')
  await stage.close()
})

test('a blob that is committed already is not assigned again, unless it is thin', async () => {
  const stage = await Stage.open(3)
  const client = await stage.client(1)
  const servers = await client.store(blob)
  assert.equal(await client.assign(blob), { state: 'replicated', servers: servers.sort() })
  await stage.clock.pass(10)
  await stage.serverActor(servers[0] ?? 0).report([])
  assert.is((await client.assign(blob)).state, 'assigned')
  await client.store(blob)
  assert.equal(await client.missing('a', 'b'), ['present', 'present'])
  await stage.close()
})

test.run()
