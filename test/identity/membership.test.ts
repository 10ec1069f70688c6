// test/identity/membership.test.ts — does a node get in, stay in, and get shut out, as it should?
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LocalIdentity, Session } from '../../protocol/types.ts'
import { HoldfastError } from '../../src/errors.ts'
import type { Role } from '../../src/identity/certificate.ts'
import { type EnrolOptions, enrol } from '../../src/identity/enrolment.ts'
import type { Member } from '../../src/identity/member.ts'
import { Peers } from '../../src/rpc/index.ts'
import { silentLog } from '../../src/server/log.ts'
import { codeOf } from '../support/code-of.ts'
import { identityOf } from '../support/identity.ts'
import { send } from '../support/role-table.ts'
import { DAY_MS, endOf, HOUR_MS, Town, WHERE } from './support/town.ts'

const test = suite<{ town: Town }>('identity: getting in, staying in, being shut out')

test.before.each(async (context) => {
  context.town = new Town(await mkdtemp(join(tmpdir(), 'holdfast-town-')))
})
test.after.each(async ({ town }) => {
  await town.close()
  await rm(town.folder, { recursive: true, force: true })
})

test('on one machine a node needs nothing but the data folder', async ({ town }) => {
  const early = codeOf(() => enrol(town.options('server-1')))
  assert.is(await early, 'NOT_ENROLLED', 'no manager has been here')
  await town.start()
  const member = await enrol(town.options('server-1'))
  assert.is(member.identity.certificate.length, 0)
  const { session } = await town.meet(member)
  assert.is(endOf(member) > town.wallMs() + 20 * HOUR_MS, true)
  // The session on which it enrolled is good for a server's messages at once.
  assert.is(await town.until(send(session, 'server.heartbeat')), 'INVALID_REQUEST')
  for (const name of ['server.key', 'server.cert', 'cluster.json']) {
    const path = join(town.dataDir, 'server-1', name)
    assert.is((await stat(path)).mode & 0o777, 0o600, name)
  }
  const again = await enrol(town.options('server-1'))
  assert.equal(again.identity, member.identity, 'the next start finds it all')
})

test('a wrong join secret, or a role that nobody may take, is refused', async ({ town }) => {
  await town.start()
  const member = await enrol(town.options('server-1'))
  const { session } = await town.meet(member)
  const request = { roles: ['server' as const], name: 'server-9', number: 9 }
  const wrong = { kind: 'join' as const, mac: new Uint8Array(32) }
  const ask = town.ask(session)
  assert.is(
    await town.until(codeOf(() => ask('node.enrol', { ...request, proof: wrong }))),
    'NOT_ALLOWED',
  )
  const greedy = await enrol(town.options('greedy', { roles: ['manager'] }))
  assert.is(await codeOf(() => town.meet(greedy)), 'NOT_ALLOWED')
})

test('a token lets in one node, with its role, for a while', async ({ town }) => {
  await town.start()
  const token = await town.token(['server'], 5)
  const elsewhere = { elsewhere: true, number: 5 }
  const five = town.options('server-5', { ...elsewhere, join: town.join(token) })
  const member = await enrol(five)
  assert.ok(endOf(member) > town.wallMs())
  await town.meet(member)
  assert.equal((await enrol(five)).identity, member.identity, 'the same token, started again')

  const refused = async (name: string, text: string, more: Partial<EnrolOptions> = {}) =>
    codeOf(() => enrol(town.options(name, { ...elsewhere, join: town.join(text), ...more })))
  assert.is(await refused('thief', token), 'TOKEN_REFUSED', 'used')
  assert.is(await refused('cut', token.slice(0, -1)), 'TOKEN_REFUSED', 'damaged')
  const other = await town.token(['server'], 6)
  assert.is(await refused('other', other), 'TOKEN_REFUSED', 'for another number')
  const client = await town.token(['backup'], 5)
  assert.is(await refused('client', client), 'TOKEN_REFUSED', 'for a client')
  const late = await town.token(['server'], 5, HOUR_MS)
  town.aheadMs += 2 * HOUR_MS
  assert.is(await refused('late', late), 'TOKEN_REFUSED', 'too old')
  const fresh = await town.token(['server'], 5)
  const wrongClock = { wallMs: () => town.wallMs() + DAY_MS }
  assert.is(await refused('clock', fresh, wrongClock), 'CLOCK_WRONG', 'a clock a day ahead')
  const behind = { wallMs: () => town.wallMs() - DAY_MS }
  assert.is(await refused('clock', fresh, behind), 'CLOCK_WRONG', 'a clock a day behind')
  assert.is(await refused('clock', fresh), 'no error', 'none of them has used it up')
})

test('a client by token has the roles of its token, and no others', async ({ town }) => {
  await town.start()
  const token = await town.token(['backup'], 2)
  const options = { elsewhere: true, kind: 'client' as const, number: 2 }
  const roles = ['backup', 'restore'] as const
  const joining = { ...options, roles, join: town.join(token) }
  const member = await enrol(town.options('client-2', joining))
  const { session } = await town.meet(member)
  assert.is(await town.until(send(session, 'backup.begin')), 'INVALID_REQUEST')
  assert.is(await town.until(send(session, 'token.create')), 'NOT_ALLOWED')
  assert.is(await town.until(send(session, 'server.register')), 'NOT_ALLOWED')
})

test("a folder of one cluster refuses another's token and another's manager", async (context) => {
  const { town } = context
  await town.start()
  const member = await enrol(town.options('server-1'))
  await town.meet(member)
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-town-'))
  const other = new Town(folder)
  try {
    await other.start()
    const token = await other.token(['server'], 1)
    const crossed = town.options('server-1', { join: other.join(token) })
    assert.is(await codeOf(() => enrol(crossed)), 'WRONG_CLUSTER')
    const problem = 'another key than the one expected'
    const withManager = () => Promise.reject(new HoldfastError('WRONG_CLUSTER', problem))
    const replaced = other.options('server-9', {
      elsewhere: true,
      join: { token, withManager },
    })
    const error = await enrol(replaced).catch((reason: HoldfastError) => reason)
    assert.ok(error instanceof HoldfastError && error.code === 'WRONG_CLUSTER')
    assert.match(error.detail, other.manager?.authority.clusterId ?? 'none')
    assert.match(error.detail, 'holdfast token')
    const moved = { ...town.options('server-1'), dataDir: other.dataDir }
    assert.is(await codeOf(() => enrol(moved)), 'WRONG_CLUSTER')
    // Its manager shows a certificate, but not of this cluster.
    const endpoint = other.network.endpoint({ identity: member.identity })
    const { managerKey } = other.manager?.authority.trust.directory ?? { managerKey: '' }
    const publicKey = Buffer.from(managerKey, 'hex')
    const session = await other.until(endpoint.connect({ ...WHERE, publicKey }))
    const meeting = codeOf(() => member.admitManager(session, other.ask(session)))
    assert.is(await other.until(meeting), 'WRONG_CLUSTER')
  } finally {
    await other.close()
    await rm(folder, { recursive: true, force: true })
  }
})

test('a node renews before the end, and is known again after a month', async ({ town }) => {
  await town.start()
  const member = await enrol(town.options('server-1'))
  const { session } = await town.meet(member)
  const first = endOf(member)
  const { version } = town.manager?.authority.trust ?? { version: 0 }
  await town.until(member.tend(town.ask(session), version))
  assert.is(endOf(member), first, 'nothing is due')
  for (let hour = 0; hour < 72; hour += 1) {
    town.aheadMs += HOUR_MS
    await town.pass(10_000) // the manager renews its own
    await town.until(member.tend(town.ask(session), version))
    assert.ok(endOf(member) > town.wallMs() + 7 * HOUR_MS, `after ${hour} hours`)
  }
  assert.is(await town.until(send(session, 'server.heartbeat')), 'INVALID_REQUEST')

  town.aheadMs += 31 * DAY_MS
  await town.pass(10_000)
  assert.is(await town.until(send(session, 'server.heartbeat')), 'NOT_ALLOWED', 'it has ended')
  // Without the join secret, as on a machine elsewhere.
  await rm(join(town.dataDir, 'cluster'), { recursive: true })
  const back = await enrol(town.options('server-1'))
  const again = await town.meet(back)
  assert.ok(endOf(back) > town.wallMs())
  assert.is(await town.until(send(again.session, 'server.heartbeat')), 'INVALID_REQUEST')
})

test('a client that has missed a rotation takes the word of the new key', async ({ town }) => {
  await town.start()
  const kind = 'client' as const
  const roles: Role[] = ['backup', 'restore']
  const client = await enrol(town.options('client-1', { kind, roles }))
  await town.meet(client)
  const server = await enrol(town.options('server-1'))
  await town.meet(server)
  await town.manager?.authority.rotate()
  town.aheadMs += 20 * HOUR_MS // the server renews, with the new key
  await town.pass(10_000)
  await town.meet(server)
  assert.is(await codeOf(() => client.admitServer({ peer: server.identity })), 'NOT_ALLOWED')
  town.aheadMs += 20 * HOUR_MS // and the old one is listed no more
  await town.pass(10_000)
  await town.meet(server)
  const endpoint = town.network.endpoint({ identity: client.identity as LocalIdentity })
  const publicKey = Buffer.from(client.trust.directory.managerKey, 'hex')
  const session = await town.until(endpoint.connect({ ...WHERE, publicKey }))
  await town.until(client.admitServer({ peer: server.identity }, town.ask(session)))
  assert.is(client.trust.version, town.manager?.authority.trust.version)
  assert.ok(endOf(client) > town.wallMs(), 'and is certified anew on the way')
})

test('a key that nobody ever let in can renew nothing', async ({ town }) => {
  await town.start()
  const member = await enrol(town.options('server-1'))
  await rm(join(town.dataDir, 'cluster'), { recursive: true })
  assert.is(await codeOf(() => town.meet(member)), 'NOT_ENROLLED')
})

test('strangers get little time and few places, members none of it', async ({ town }) => {
  await town.start()
  const member = await enrol(town.options('server-1'))
  const { session } = await town.meet(member)
  const publicKey = Buffer.from(member.trust.directory.managerKey, 'hex')
  const dial = (index: number): Promise<Session> =>
    town.until(
      town.network.endpoint({ identity: identityOf(index) }).connect({ ...WHERE, publicKey }),
    )
  const strangers = await Promise.all(Array.from({ length: 80 }, (_, index) => dial(index)))
  await town.clock.advance(1_000)
  assert.is(strangers.filter(({ isOpen }) => isOpen).length, 32)
  const next: { code?: string } = await dial(99).catch((error) => error)
  assert.is(next.code, 'ERR_HOLDFAST_REFUSED', 'in the handshake, where it costs nothing')
  const { session: again } = await town.meet(member)
  await town.clock.advance(20_000)
  assert.is(strangers.filter(({ isOpen }) => isOpen).length, 0)
  assert.ok(session.isOpen && again.isOpen, 'a member enters, and stays')
  assert.is(town.collections, 1, 'what 32 of them left behind is freed')
})

test('a clock that is wrong by a day is named, whichever way', async ({ town }) => {
  await town.start()
  for (const wrongMs of [DAY_MS, -DAY_MS, 2 * HOUR_MS, -2 * HOUR_MS]) {
    const wallMs = () => town.wallMs() + wrongMs
    const member = await enrol(town.options(`server${wrongMs}`, { wallMs }))
    const error = await town.meet(member).then(
      () => null,
      (reason: { code: string; message: string }) => reason,
    )
    assert.is(error?.code, 'CLOCK_WRONG', `${wrongMs} ms`)
    assert.match(error?.message ?? '', wrongMs > 0 ? 'ahead of' : 'behind')
  }
})

test('who is revoked is out: its session at once, its key for good', async ({ town }) => {
  await town.start()
  const member = await enrol(town.options('server-1'))
  const { session } = await town.meet(member)
  const operator = await enrol(
    town.options('operator', { kind: 'operator', roles: ['operator'], number: 0 }),
  )
  const ask = town.ask((await town.meet(operator)).session)
  const { version } = operator.trust
  assert.is(await town.until(codeOf(() => ask('node.revoke', { node: 'x' }))), 'NOT_FOUND')
  const { revoked } = await town.until(ask('node.revoke', { node: 'server-1' }))
  assert.is(revoked.length, 1)
  await town.pass(1_000)
  assert.not.ok(session.isOpen, 'ended')
  assert.is(await codeOf(() => town.meet(member)), 'no error', 'it has not heard of it')
  const { session: second } = await town.meet(member)
  assert.is(await town.until(send(second, 'server.heartbeat')), 'REVOKED')
  await town.pass(3_000)
  assert.not.ok(second.isOpen, 'one answer, no more')
  // The others hear of it with the next heartbeat, by the version.
  const news = town.manager?.authority.trust.version ?? 0
  assert.ok(news > version)
  await town.until(operator.tend(ask, news))
  const { publicKey } = member.identity
  assert.ok(operator.trust.isRevoked(Buffer.from(publicKey).toString('hex')))
  // Neither a restart of the manager, nor time, nor the join secret brings it back.
  town.kill()
  await town.start()
  town.aheadMs += 40 * DAY_MS
  await town.pass(10_000)
  const back = await enrol(town.options('server-1'))
  assert.is(await codeOf(() => town.meet(back)), 'REVOKED')
  await rm(join(town.dataDir, 'server-1'), { recursive: true })
  assert.is(await codeOf(async () => town.meet(await enrol(town.options('server-1')))), 'no error')
})

/** A server, and another that the manager had shut out when its machine was lost: only the first
 * has heard of it. */
async function loseAndRecover(town: Town): Promise<{ server: Member; bad: Member }> {
  await town.start()
  const server = await enrol(
    town.options('server-1', { elsewhere: true, join: town.join(await town.token(['server'], 1)) }),
  )
  const bad = await enrol(
    town.options('server-2', {
      elsewhere: true,
      number: 2,
      join: town.join(await town.token(['server'], 2)),
    }),
  )
  const { session } = await town.meet(server)
  const { manager } = town
  await manager?.catalog.revokeMembers({ publicKeys: [keyOf(bad)], nowMs: town.wallMs() })
  await manager?.applyRevocations()
  await town.until(server.tend(town.ask(session)))
  const recovery = join(town.dataDir, 'recovery.key')
  await town.lose()
  await town.pass(60_000)
  await town.start(recovery)
  return { server, bad }
}

const keyOf = ({ identity }: Member): string => Buffer.from(identity.publicKey).toString('hex')

/** As it would after having found the successor. */
async function follow(town: Town, member: Member): Promise<Session> {
  if (town.manager) member.trust.learn(town.manager.authority.trust.news)
  return (await town.meet(member)).session
}

test('nodes follow a recovered manager, and bring back who was revoked', async ({ town }) => {
  const { server, bad } = await loseAndRecover(town)
  assert.is(await codeOf(() => follow(town, bad)), 'SAFE_MODE', 'the first is not let in at once')

  // As a client does it: the key that it knows does not answer, the successor's does.
  const peers = new Peers({
    endpoint: town.network.endpoint({ identity: server.identity as LocalIdentity }),
    clock: town.clock,
    log: silentLog,
    admit: (to) => server.admitManager(to, town.ask(to)),
    successorOf: () => Buffer.from(server.trust.directory.successorKey, 'hex'),
  })
  const ask = () => {
    const publicKey = Buffer.from(server.trust.directory.managerKey, 'hex')
    return peers.call({ ...WHERE, publicKey }, 'cluster.directory', {})
  }
  assert.is(await codeOf(() => town.until(ask())), 'SAFE_MODE')
  const { trust } = town.manager?.authority ?? {}
  assert.ok(trust?.isRevoked(keyOf(bad)), 'it was told by server-1')
  await town.pass(10_000)
  await town.until(ask())
  assert.is(server.trust.directory.managerKey, trust?.directory.managerKey)
  const members = await town.manager?.catalog.members()
  assert.is(members?.find((m) => m.name === 'server-1')?.revokedMs, null)
  assert.is(await codeOf(() => follow(town, bad)), 'REVOKED')
})

test('a recovered manager that nobody tells who was revoked hears of it later', async ({
  town,
}) => {
  const { server, bad } = await loseAndRecover(town)
  await town.pass(10_000)
  const session = await follow(town, bad)
  assert.ok(session.isOpen, 'it does not wait for ever')
  await follow(town, server)
  await town.pass(1_000)
  assert.not.ok(session.isOpen, 'ended as soon as the list was there')
  assert.is(await codeOf(() => follow(town, bad)), 'REVOKED')
})

test.run()
