// test/identity/trust.test.ts — whom does a node follow when keys change, and whom never?
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Authority } from '../../src/identity/authority.ts'
import { type Founded, foundCluster } from '../../src/identity/found.ts'
import { Trust } from '../../src/identity/trust.ts'
import { codeOf } from '../support/code-of.ts'

const NOW_MS = 1_700_000_000_000
const DAY_MS = 86_400_000
const test = suite<{ folder: string; clock: { nowMs: number } }>('identity: whom a node follows')

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'holdfast-identity-'))
  context.clock = { nowMs: NOW_MS }
})
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

const found = (
  { folder, clock }: { folder: string; clock: { nowMs: number } },
  recoveryKeyPath?: string,
): Promise<Founded> =>
  foundCluster({
    dataDir: folder,
    name: 'manager',
    wallMs: () => clock.nowMs,
    ...(recoveryKeyPath !== undefined && { recoveryKeyPath }),
  })

const PEER = new Uint8Array(32).fill(7)
const SUBJECT = {
  publicKey: Buffer.from(PEER).toString('hex'),
  roles: ['server' as const],
  name: 'server-1',
  number: 1,
}

/** What a node that knows `trust` says of a certificate that the authority signs now. */
const verdict = (trust: Trust, authority: Authority, nowMs: number): Promise<string> => {
  const certificate = authority.issue(SUBJECT).bytes
  return codeOf(() => trust.certificate({ publicKey: PEER, certificate }, { nowMs }))
}
const knowing = (authority: Authority): Trust => Trust.from(authority.trust.news.directory)

test('the first start makes all files, for nobody else to read; the next finds them', async (context) => {
  const { folder } = context
  const first = await found(context)
  assert.match(first.notices[0] ?? '', 'recovery.key')
  for (const name of [
    'manager/manager.key',
    'manager/cluster.key',
    'manager/cluster.json',
    'cluster/cluster.json',
    'recovery.key',
  ]) {
    assert.is((await stat(join(folder, name))).mode & 0o777, 0o600, name)
  }
  const second = await found(context)
  assert.equal(second.notices, [])
  assert.equal(second.authority.trust.directory, first.authority.trust.directory)
  const secret = (await readFile(join(folder, 'recovery.key'), 'utf8')).split('secret ')[1] ?? ''
  for (const name of ['manager/cluster.json', 'cluster/cluster.json', 'manager/cluster.key']) {
    assert.not.match(await readFile(join(folder, name), 'utf8'), secret.trim(), name)
  }
})

test('a rotation is followed by who was there, and by who comes back after it', async (context) => {
  const { clock } = context
  const { authority } = await found(context)
  const [present, away] = [knowing(authority), knowing(authority)]
  const [oldKey = ''] = authority.trust.directory.signingKeys
  const early = authority.issue(SUBJECT).bytes
  await authority.rotate()
  assert.is(authority.trust.directory.signingKeys.length, 2)
  assert.is(await codeOf(() => authority.rotate()), 'INVALID_REQUEST', 'one at a time')
  assert.is(await verdict(away, authority, clock.nowMs), 'no error', 'the old key signs on')
  assert.ok(present.learn(authority.trust.news))
  clock.nowMs += 61_000
  assert.is(await verdict(present, authority, clock.nowMs), 'no error', 'now the new one signs')
  assert.is(await verdict(away, authority, clock.nowMs), 'NOT_ALLOWED')
  const peer = { publicKey: PEER, certificate: early }
  assert.ok(present.certificate(peer, { nowMs: clock.nowMs }), 'what the old one signed holds')

  await authority.tend()
  assert.is(authority.trust.directory.signingKeys.length, 2, 'not yet')
  clock.nowMs += 26 * 3_600_000
  await authority.tend()
  assert.equal(authority.trust.directory.signingKeys.length, 1)
  assert.not.ok(authority.trust.directory.signingKeys.includes(oldKey))
  await authority.rotate()
  clock.nowMs += 30 * DAY_MS
  await authority.tend()
  assert.ok(away.learn(authority.trust.news), 'a month and two rotations later')
  assert.is(await verdict(away, authority, clock.nowMs), 'no error')
  // And after a restart the manager goes on with the same key.
  const again = await found(context)
  assert.is(await verdict(away, again.authority, clock.nowMs), 'no error')
})

test('an old key can sign nothing that a node follows any more', async (context) => {
  const { folder, clock } = context
  const { authority } = await found(context)
  const files = ['manager/cluster.key', 'manager/cluster.json', 'manager/manager.key']
  const stolen = await Promise.all(files.map((name) => readFile(join(folder, name))))
  const node = knowing(authority)
  await authority.rotate()
  clock.nowMs += 26 * 3_600_000
  await authority.tend()
  node.learn(authority.trust.news)

  const thief = { folder: await mkdtemp(join(tmpdir(), 'holdfast-thief-')), clock }
  try {
    await found(thief)
    for (const [index, name] of files.entries()) {
      await writeFile(join(thief.folder, name), stolen[index] ?? '')
    }
    await rm(join(thief.folder, 'cluster'), { recursive: true })
    const forged = (await found(thief)).authority
    clock.nowMs += DAY_MS
    await forged.rotate()
    assert.is(await codeOf(() => node.learn(forged.trust.news)), 'WRONG_CLUSTER')
    assert.is(await verdict(node, forged, clock.nowMs), 'NOT_ALLOWED')
  } finally {
    await rm(thief.folder, { recursive: true, force: true })
  }
})

test('a manager that is lost is replaced with the recovery key, and only with it', async (context) => {
  const { folder, clock } = context
  const { authority: lost } = await found(context)
  const node = knowing(lost)
  const { successorKey } = node.directory
  const elsewhere = join(folder, 'on-a-stick')
  await writeFile(elsewhere, await readFile(join(folder, 'recovery.key')), { mode: 0o600 })
  await rm(join(folder, 'recovery.key'))
  assert.is(await codeOf(() => found(context, elsewhere)), 'BAD_USAGE', 'nothing is lost yet')
  await rm(join(folder, 'manager'), { recursive: true })
  assert.is(await codeOf(() => found(context)), 'BAD_FILE', 'not a new cluster by accident')
  await rm(join(folder, 'cluster'), { recursive: true })
  clock.nowMs += DAY_MS
  const { authority, notices } = await found(context, elsewhere)
  assert.match(notices.join(' '), 'taken over')
  assert.is(authority.clusterId, lost.clusterId)
  assert.is(authority.trust.directory.managerKey, successorKey, 'nodes know where to knock')
  assert.is(await verdict(node, authority, clock.nowMs), 'NOT_ALLOWED', 'not yet')
  assert.ok(node.learn(authority.trust.news))
  assert.is(await verdict(node, authority, clock.nowMs), 'no error')
  // Whoever has the old manager's disk can do nothing with it.
  await lost.revoke([])
  assert.is(await codeOf(() => node.learn(lost.trust.news)), 'WRONG_CLUSTER')
  assert.is(await verdict(node, lost, clock.nowMs), 'NOT_ALLOWED')

  // Lost once more, and only the first file is at hand.
  await rm(join(folder, 'manager'), { recursive: true })
  clock.nowMs += DAY_MS
  const third = (await found(context, elsewhere)).authority
  assert.ok(node.learn(third.trust.news))
  assert.is(await verdict(node, third, clock.nowMs), 'no error')
})

test("another cluster's manager is never followed", async (context) => {
  const { authority } = await found(context)
  const node = knowing(authority)
  const other = { ...context, folder: join(context.folder, 'other') }
  const stranger = (await found(other)).authority
  assert.is(await codeOf(() => node.learn(stranger.trust.news)), 'WRONG_CLUSTER')
  const recovery = join(other.folder, 'recovery.key')
  await rm(join(context.folder, 'manager'), { recursive: true })
  assert.is(await codeOf(() => found(context, recovery)), 'WRONG_CLUSTER')
})

test('revoked keys are refused at once, and an older list is not taken', async (context) => {
  const { clock } = context
  const { authority } = await found(context)
  const node = knowing(authority)
  const before = authority.trust.news
  let changes = 0
  node.onChange(() => {
    changes += 1
  })
  await authority.revoke([SUBJECT.publicKey])
  node.learn(authority.trust.news)
  assert.is(changes, 1)
  assert.is(node.version, authority.trust.version)
  assert.is(await verdict(node, authority, clock.nowMs), 'REVOKED')
  assert.not.ok(node.learn(before))
  assert.ok(node.isRevoked(SUBJECT.publicKey))
  // Whoever comes after a rotation hears of it too.
  await authority.rotate()
  clock.nowMs += 26 * 3_600_000
  await authority.tend()
  const late = knowing(authority)
  late.learn(authority.trust.news)
  assert.ok(late.isRevoked(SUBJECT.publicKey))
})

test('a first start that was cut off is finished by the next', async (context) => {
  const { folder } = context
  await found(context)
  // As if the power had failed before the file that makes it a cluster was written.
  await rm(join(folder, 'manager/cluster.json'))
  await rm(join(folder, 'cluster/cluster.json'))
  const { authority } = await found(context)
  assert.match(await readFile(join(folder, 'recovery.key'), 'utf8'), authority.clusterId)
})

test('a manager whose files do not belong together does not start', async (context) => {
  const { folder } = context
  await found(context)
  const other = { ...context, folder: join(folder, 'other') }
  await found(other)
  const key = join(folder, 'manager/manager.key')
  const good = await readFile(key)
  await writeFile(key, await readFile(join(other.folder, 'manager/manager.key')))
  assert.is(await codeOf(() => found(context)), 'BAD_FILE')
  await writeFile(key, good)
  assert.is(await codeOf(() => found(context)), 'no error')
  await writeFile(join(folder, 'manager/cluster.key'), '{}')
  assert.is(await codeOf(() => found(context)), 'BAD_FILE')
})

test.run()
