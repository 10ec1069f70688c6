// test/manager/catalog/conformance.ts — does a catalog keep what it promised? Run once per host.
import { createHash, randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Catalog, CommittedChunk } from '../../../src/manager/catalog/catalog.ts'

const CLUSTER = 'aa'.repeat(16)
const REPOSITORY = '01'.repeat(16)
const SESSION = '02'.repeat(16)
const QUORUM = { live: [1, 2, 3, 4], wanted: 2 }

export const idOf = (name: string): string => createHash('sha256').update(name).digest('hex')

const chunkOf = (name: string, edges: string[] = []): CommittedChunk => ({
  id: idOf(name),
  kind: 'data',
  offset: 32,
  length: 10,
  edges,
  snapshot: null,
})

const recordOf = (name: string, edges: string[]): CommittedChunk => ({
  ...chunkOf(name, edges),
  kind: 'snapshot',
  snapshot: { clientName: 'c', timeMs: 5, groupId: 'ee'.repeat(16), tagIds: [] },
})

export function conformance(
  name: string,
  openEmpty: () => Promise<{
    catalog: Catalog
    reopen: () => Promise<Catalog>
    /** Session and chunk of each pin, as they rest on the disk. */
    pins: () => { session: string; chunk: string }[]
    end: () => Promise<void>
  }>,
): void {
  type Opened = Awaited<ReturnType<typeof openEmpty>>
  const test = suite<Opened>(`catalog: ${name}`)
  test.before.each(async (context) => {
    Object.assign(context, await openEmpty())
    await context.catalog.open(CLUSTER)
    await context.catalog.addRepository({
      repositoryId: REPOSITORY,
      checkValue: '03'.repeat(32),
      nowMs: 1,
    })
    await context.catalog.addSession({
      sessionId: SESSION,
      repositoryId: REPOSITORY,
      clientName: 'c',
      publicKey: '04'.repeat(32),
      touchedMs: 100,
    })
  })
  test.after.each(({ end }) => end())

  const commit = (catalog: Catalog, blob: string, chunks: CommittedChunk[], servers = [1, 2]) =>
    catalog.commitBlob({
      ...QUORUM,
      repositoryId: REPOSITORY,
      blobId: idOf(blob),
      sizeBytes: 1000,
      servers,
      chunks,
      nowMs: 10,
    })
  const present = (catalog: Catalog, names: string[], live = QUORUM.live) =>
    catalog.pinPresent({
      live,
      wanted: 2,
      sessionId: SESSION,
      repositoryId: REPOSITORY,
      chunkIds: names.map(idOf),
    })
  const snapshot = async (catalog: Catalog, record: string, live = QUORUM.live) => {
    const sessionId = await openSession(catalog)
    return await commitIn(catalog, sessionId, record, live)
  }
  const openSession = async (catalog: Catalog): Promise<string> => {
    const sessionId = randomBytes(16).toString('hex')
    const publicKey = '04'.repeat(32)
    const owner = { repositoryId: REPOSITORY, clientName: 'c', publicKey }
    await catalog.addSession({ sessionId, ...owner, touchedMs: 100 })
    return sessionId
  }
  const commitIn = (catalog: Catalog, sessionId: string, record: string, live = QUORUM.live) =>
    catalog.commitSnapshot({
      live,
      wanted: 2,
      repositoryId: REPOSITORY,
      snapshotId: idOf(record),
      sessionId,
      nowMs: 50,
    })

  test('what was committed is there after a restart, and the epoch counts up', async (context) => {
    await commit(context.catalog, 'blob', [chunkOf('a')])
    await context.catalog.close()
    context.catalog = await context.reopen()
    const meta = await context.catalog.open('bb'.repeat(16))
    assert.is(meta.clusterId, CLUSTER, 'a catalog keeps its cluster')
    assert.is(meta.epoch, 2)
    assert.is(meta.isEmpty, false)
    assert.equal(await present(context.catalog, ['a', 'b']), [true, false])
    assert.equal(await context.catalog.blob(idOf('blob')), { sizeBytes: 1000, servers: [1, 2] })
    assert.is((await context.catalog.session(SESSION))?.clientName, 'c', 'a backup can go on')
  })

  test('a chunk with one live copy is missing, and the blob sent again takes its place', async ({
    catalog,
  }) => {
    await commit(catalog, 'old', [chunkOf('a'), chunkOf('b')])
    assert.equal(await present(catalog, ['a'], [2, 3, 4]), [false], 'server 1 is dead')
    await catalog.commitBlob({
      live: [2, 3, 4],
      wanted: 2,
      repositoryId: REPOSITORY,
      blobId: idOf('new'),
      sizeBytes: 500,
      servers: [3, 4],
      chunks: [{ ...chunkOf('a'), offset: 99 }],
      nowMs: 20,
    })
    assert.equal(await present(catalog, ['a'], [2, 3, 4]), [true])
    const [place] = await catalog.locate(REPOSITORY, [idOf('a')])
    assert.equal(place, { blobId: idOf('new'), offset: 99, length: 10, servers: [3, 4] })
    assert.is((await catalog.counts([2, 3, 4], 2)).underReplicated, 1, 'b still leans on one copy')
  })

  test('a chunk that rests well stays where it is, whoever sends it again', async ({ catalog }) => {
    await commit(catalog, 'first', [chunkOf('a')])
    await commit(catalog, 'second', [{ ...chunkOf('a'), offset: 77 }], [3, 4])
    const [place] = await catalog.locate(REPOSITORY, [idOf('a')])
    assert.is(place?.blobId, idOf('first'))
    assert.equal(await catalog.counts(QUORUM.live, 2), {
      total: 1,
      underReplicated: 0,
      lost: 0,
      snapshots: 0,
    })
  })

  test('a repeated commit changes nothing', async ({ catalog }) => {
    await commit(catalog, 'blob', [chunkOf('a')])
    const before = await catalog.counts(QUORUM.live, 2)
    await commit(catalog, 'blob', [chunkOf('a')])
    assert.equal(await catalog.counts(QUORUM.live, 2), before)
  })

  test('a snapshot that reaches an unknown or thin chunk is refused, and nothing is committed', async ({
    catalog,
  }) => {
    await commit(catalog, 'blob', [
      recordOf('record', [idOf('root')]),
      chunkOf('root', [idOf('leaf')]),
    ])
    assert.equal(await snapshot(catalog, 'record'), {
      state: 'unknown-edge',
      chunkId: idOf('leaf'),
    })
    await commit(catalog, 'leaves', [chunkOf('leaf')], [3, 4])
    const thin = await snapshot(catalog, 'record', [1, 2, 4])
    assert.equal(thin, { state: 'under-replicated', count: 1 })
    assert.equal(await snapshot(catalog, 'root'), { state: 'not-a-record' })
    assert.equal(await catalog.snapshots(REPOSITORY), [])
    assert.is((await snapshot(catalog, 'record')).state, 'committed')
    const [only] = await catalog.snapshots(REPOSITORY)
    assert.is(only?.snapshotId, idOf('record'))
    assert.is((await snapshot(catalog, 'record')).state, 'committed', 'resent')
    assert.is((await catalog.snapshots(REPOSITORY)).length, 1)
  })

  test('the second commit looks at what has changed only, unless something is thin', async ({
    catalog,
  }) => {
    const leaves = Array.from({ length: 300 }, (_, i) => chunkOf(`leaf ${i}`))
    await commit(catalog, 'one', [
      recordOf('record 1', [idOf('root 1')]),
      chunkOf('root 1', [idOf('folder')]),
      chunkOf(
        'folder',
        leaves.map((leaf) => leaf.id),
      ),
      ...leaves,
    ])
    const first = await snapshot(catalog, 'record 1')
    assert.ok(first.state === 'committed' && first.visited === 303)
    const second = [chunkOf('root 2', [idOf('folder'), idOf('fresh')]), chunkOf('fresh')]
    await commit(catalog, 'two', [recordOf('record 2', [idOf('root 2')]), ...second])
    const next = await snapshot(catalog, 'record 2')
    assert.ok(next.state === 'committed')
    assert.is(next.visited, 4, 'record, root, the known folder, the fresh leaf')
    await commit(catalog, 'three', [recordOf('record 3', [idOf('root 2')])], [3, 4])
    const dead = await snapshot(catalog, 'record 3', [1, 3, 4])
    assert.ok(dead.state === 'under-replicated' && dead.count > 300, 'all of it is looked at')
  })

  test('however much was whole before, what gets thin meanwhile stops a commit', async (context) => {
    const { catalog } = context
    const record = (name: string) =>
      commit(catalog, `blob of ${name}`, [recordOf(name, [idOf('old')])], [3, 4])
    await commit(catalog, 'old', [chunkOf('old', [idOf('deep')])], [3, 4])
    await commit(catalog, 'deep', [chunkOf('deep')], [1, 2])
    const live = [1, 2, 3, 4]
    for (const name of ['one', 'two', 'three', 'four']) await record(name)
    const states = []
    states.push(await snapshot(catalog, 'one', live))
    states.push(await snapshot(catalog, 'two', [2, 3, 4])) // server 1 is dead
    states.push(await snapshot(catalog, 'two', [...live, 5]))
    await catalog.applyReport({ server: 2, beforeMs: 1_000, blobs: [] })
    states.push(await snapshot(catalog, 'three', live))
    await catalog.applyReport({
      server: 2,
      beforeMs: 1_000,
      blobs: [{ blobId: idOf('deep'), sizeBytes: 1000 }],
    })
    states.push(await snapshot(catalog, 'three', live))
    await commit(catalog, 'thin', [chunkOf('new')], [1])
    await commit(catalog, 'top', [recordOf('top', [idOf('new')])], [3, 4])
    states.push(await snapshot(catalog, 'top', live))
    states.push(await snapshot(catalog, 'four', live))
    assert.equal(
      states.map(({ state }) => state),
      [
        'committed',
        'under-replicated',
        'committed',
        'under-replicated',
        'committed',
        'under-replicated',
        'committed',
      ],
    )
  })

  test('a report marks what a server lost, and what came back', async ({ catalog }) => {
    await commit(catalog, 'blob', [chunkOf('a')])
    const report = (blobs: { blobId: string; sizeBytes: number }[]) =>
      catalog.applyReport({ server: 1, beforeMs: 1_000, blobs })
    assert.equal(await report([]), { unknown: 0, missing: 1 })
    assert.is((await catalog.counts(QUORUM.live, 2)).underReplicated, 1)
    assert.equal(await report([{ blobId: idOf('blob'), sizeBytes: 999 }]), {
      unknown: 0,
      missing: 0,
    })
    assert.is((await catalog.counts(QUORUM.live, 2)).underReplicated, 1, 'a wrong size is no copy')
    const stranger = { blobId: idOf('stranger'), sizeBytes: 5 }
    assert.equal(await report([{ blobId: idOf('blob'), sizeBytes: 1000 }, stranger]), {
      unknown: 1,
      missing: 0,
    })
    assert.is((await catalog.counts(QUORUM.live, 2)).underReplicated, 0)
    // A blob younger than the report need not be in it.
    const young = { server: 1, beforeMs: 5, blobs: [] }
    assert.equal(await catalog.applyReport(young), { unknown: 0, missing: 0 })
  })

  test('a copy that a server turns out to have counts', async ({ catalog }) => {
    await commit(catalog, 'blob', [chunkOf('a')])
    const [size, wrong] = [1000, 999].map((sizeBytes) => ({ blobId: idOf('blob'), sizeBytes }))
    assert.ok(size && wrong)
    await catalog.applyReport({ server: 1, beforeMs: 1_000, blobs: [] })
    await catalog.applyReport({ server: 3, beforeMs: 1_000, blobs: [wrong] })
    assert.equal(await present(catalog, ['a']), [false])
    const found = await catalog.applyReport({ server: 3, beforeMs: 1_000, blobs: [size] })
    assert.equal(found, { unknown: 0, missing: 0 })
    assert.equal(await present(catalog, ['a']), [true])
  })

  test('a write that fails half way leaves nothing of itself', async ({ catalog }) => {
    const half = commit(catalog, 'half', [chunkOf('a')], [1, null as never])
    const whole = commit(catalog, 'whole', [chunkOf('b')])
    const results = await Promise.allSettled([half, whole])
    assert.equal(
      results.map((result) => result.status),
      ['rejected', 'fulfilled'],
    )
    assert.is(await catalog.blob(idOf('half')), null)
    assert.equal(await present(catalog, ['a', 'b']), [false, true])
  })

  test('what is called present is pinned by then, and what is missing is not', async (context) => {
    const { catalog, pins } = context
    await commit(catalog, 'blob', [chunkOf('a'), chunkOf('b')])
    await commit(catalog, 'thin', [chunkOf('c')], [1])
    assert.equal(await present(catalog, ['a', 'c', 'x']), [true, false, false])
    assert.equal(pins(), [{ session: SESSION, chunk: idOf('a') }])
    await present(catalog, ['a', 'b'])
    assert.is(pins().length, 2)
    await catalog.endSession(SESSION)
    assert.equal(pins(), [])
  })

  test('a session that is gone pins nothing and commits nothing', async ({ catalog, pins }) => {
    await commit(catalog, 'blob', [recordOf('record', [])])
    await catalog.endSession(SESSION)
    const codeOf = (error: { code?: string }) => error.code
    assert.is(await present(catalog, ['record']).catch(codeOf), 'SESSION_EXPIRED')
    assert.is(await commitIn(catalog, SESSION, 'record').catch(codeOf), 'SESSION_EXPIRED')
    assert.equal(pins(), [])
    assert.equal(await catalog.snapshots(REPOSITORY), [])
  })

  test('a commit ends its session, and is answered again without one', async (context) => {
    const { catalog, pins } = context
    await commit(catalog, 'blob', [recordOf('record', [])])
    await present(catalog, ['record'])
    const first = await commitIn(catalog, SESSION, 'record')
    assert.is(first.state, 'committed')
    assert.equal(pins(), [])
    assert.is(await catalog.session(SESSION), null)
    const again = await commitIn(catalog, SESSION, 'record')
    assert.equal(again, { ...first, visited: 0 })
  })

  test('sessions that nobody touches lapse, with their pins', async ({ catalog }) => {
    await catalog.touchSessions([SESSION], 500)
    assert.equal(await catalog.lapseSessions(400), [])
    assert.equal(await catalog.lapseSessions(501), [SESSION])
    assert.is(await catalog.session(SESSION), null)
    assert.is(await catalog.sessionCount(), 0)
  })

  test('a write that fails does not undo those that were made with it', async ({ catalog }) => {
    const same = {
      sessionId: SESSION, // taken: this one fails
      repositoryId: REPOSITORY,
      clientName: 'c',
      publicKey: '04'.repeat(32),
      touchedMs: 1,
    }
    const results = await Promise.allSettled([
      commit(catalog, 'one', [chunkOf('a')]),
      catalog.addSession(same),
      commit(catalog, 'two', [chunkOf('b')], [3, 4]),
    ])
    assert.equal(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.equal(await present(catalog, ['a', 'b']), [true, true])
    assert.is(await catalog.operation(), 5, 'repository, session, two blobs, one pin')
  })

  const memberOf = (digit: string, notAfterMs = 1_000) => ({
    publicKey: digit.repeat(64),
    name: `node-${digit}`,
    number: 3,
    roles: ['backup' as const, 'restore' as const],
    notAfterMs,
  })

  test('who was let in is remembered; who was revoked is not let in again', async (context) => {
    const { catalog } = context
    assert.ok(await catalog.putMember(memberOf('a')))
    assert.ok(await catalog.putMember(memberOf('b')))
    assert.ok(await catalog.putMember(memberOf('a', 2_000)), 'another certificate')
    assert.equal(await catalog.member('a'.repeat(64)), { ...memberOf('a', 2_000), revokedMs: null })
    assert.is(await catalog.member('c'.repeat(64)), null)
    const publicKeys = ['a', 'c'].map((digit) => digit.repeat(64))
    await catalog.revokeMembers({ publicKeys, nowMs: 5 })
    await catalog.revokeMembers({ publicKeys, nowMs: 6 })
    assert.not.ok(await catalog.putMember(memberOf('a', 9_000)))
    await catalog.close()
    const reopened = await context.reopen()
    await reopened.open(CLUSTER)
    assert.equal(await reopened.members(), [
      { ...memberOf('a', 2_000), revokedMs: 5 },
      { ...memberOf('b'), revokedMs: null },
    ])
  })

  test('a token lets one key in, however often it is shown at once', async ({ catalog }) => {
    const use = (digit: string, nowMs = 10) =>
      catalog.useToken({
        tokenId: '0a'.repeat(16),
        publicKey: digit.repeat(64),
        notAfterMs: 100,
        nowMs,
      })
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map((digit) => use(digit)))
    assert.is(answers.filter(Boolean).length, 1)
    const winner = ['a', 'b', 'c', 'd'][answers.indexOf(true)] ?? ''
    assert.ok(await use(winner), 'its answer got lost, it asks again')
  })

  test.run()
}
