// test/identity/permissions.test.ts — can anybody send what is not theirs to send?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ROLES } from '../../src/identity/certificate.ts'
import { keyPairFrom } from '../../src/identity/key-pair.ts'
import { PERMISSIONS } from '../../src/identity/permissions.ts'
import { PERF_SECRET_KEY } from '../../src/perf-key.ts'
import { Stage } from '../manager/support/stage.ts'
import { authority, identityOf } from '../server/support/cast.ts'
import { World } from '../server/support/world.ts'
import { differences, METHODS, rolesOf, SENDERS, send, verdictOf } from '../support/role-table.ts'
import { TestAuthority } from '../support/test-authority.ts'

const test = suite('identity: who may send what')

function senderKey(index: number): Uint8Array {
  return new Uint8Array(32).fill(0x60 + index)
}

test('the manager answers every message to every role as the table says', async () => {
  const stage = await Stage.open(2)
  for (const [index, sender] of SENDERS.entries()) {
    const publicKey = senderKey(index)
    const session = await stage.dial(publicKey, certificateOf(stage.signer, sender, publicKey))
    const wrong = await stage.clock.until(differences(session, sender, 'manager'))
    assert.equal(wrong, [])
  }
  await stage.close()
})

test('a server answers every message to every role as the table says, and logs refusals', async () => {
  const world = await World.open(1)
  for (const [index, sender] of SENDERS.entries()) {
    const publicKey = senderKey(index)
    const certificate = certificateOf(authority, sender, publicKey)
    const identity = { publicKey, secretKey: new Uint8Array(32), certificate }
    const session = await world.dial(identity, 1)
    world.said.length = 0
    assert.equal(await world.clock.until(differences(session, sender, 'server')), [])
    const logged = world.said.filter((line) => line.includes('a request was refused')).length
    const refused = METHODS.filter((m) => verdictOf(m, sender, 'server') === 'NOT_ALLOWED').length
    assert.is(logged, refused, `${sender}: a line for each`)
  }
  await world.close()
})

test('whoever has several roles may send what any of them may', async () => {
  const world = await World.open(1)
  const session = await world.clock.until(world.client(1, 1))
  assert.is(await world.clock.until(send(session, 'blob.store')), 'INVALID_REQUEST')
  assert.is(await world.clock.until(send(session, 'blob.fetch')), 'INVALID_REQUEST')
  assert.is(await world.clock.until(send(session, 'blob.replicate')), 'NOT_ALLOWED')
  await world.close()
})

test("another node's certificate is of no use", async () => {
  const world = await World.open(1)
  const { certificate } = identityOf({ kind: 'server', number: 2 })
  const thief = { publicKey: senderKey(9), secretKey: new Uint8Array(32), certificate }
  const session = await world.dial(thief, 1)
  assert.is(await world.clock.until(send(session, 'blob.replicate')), 'NOT_ALLOWED')
  await world.close()
})

test('the key that everybody has opens no door, not even with a certificate that holds', async () => {
  const { publicKey, secretKey } = keyPairFrom(PERF_SECRET_KEY)
  const stage = await Stage.open(2)
  const shown = stage.signer.certificate(publicKey, { roles: [...ROLES] })
  for (const method of METHODS.filter((name) => PERMISSIONS[name].at === 'manager')) {
    const session = await stage.dial(publicKey, shown)
    assert.is(await stage.clock.until(send(session, method)), 'REVOKED', method)
  }
  await stage.close()

  const world = await World.open(1)
  const certificate = authority.certificate(publicKey, { roles: [...ROLES] })
  const session = await world.dial({ publicKey, secretKey, certificate }, 1)
  assert.is(await world.clock.until(send(session, 'blob.store')), 'REVOKED')
  await world.clock.pass(5_000)
  assert.not(session.isOpen, 'and is shown out')
  await world.close()

  const manager = new TestAuthority({ clusterId: 'aa'.repeat(16), managerKey: publicKey })
  assert.throws(() => manager.trust(), /BAD_FILE/, 'no manager has it')
})

test('a flood of refusals does not fill the log', async () => {
  const world = await World.open(1)
  const nobody = { publicKey: senderKey(8), secretKey: new Uint8Array(32) }
  const dial = () => world.dial({ ...nobody, certificate: new Uint8Array(0) }, 1)
  const session = await dial()
  world.said.length = 0
  for (let time = 0; time < 500; time += 1) await world.clock.until(send(session, 'blob.store'))
  assert.ok(world.said.length <= 70, `${world.said.length} lines`)
  await world.clock.pass(61_000)
  assert.not(session.isOpen, 'strangers get little time')
  await world.clock.until(send(await dial(), 'blob.store'))
  assert.ok(world.said.some((line) => line.includes('more refusals were not logged')))
  await world.close()
})

function certificateOf(
  signer: typeof authority,
  sender: (typeof SENDERS)[number],
  publicKey: Uint8Array,
): Uint8Array {
  if (sender === 'nobody') return new Uint8Array(0)
  const roles = rolesOf(sender)
  return signer.certificate(publicKey, { roles, ...(sender === 'ended' && { notAfterMs: 1 }) })
}

test.run()
