// test/identity/identity.test.ts — can a node be mistaken for another, or a grant be stretched?
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isHoldfastError } from '../../src/errors.ts'
import {
  type Certificate,
  checkCertificate,
  checkGrant,
  createCluster,
  decodeCertificate,
  decodeGrant,
  encodeCertificate,
  encodeGrant,
  enrol,
  type Grant,
  keyPairFrom,
  loadOrCreateKeyPair,
  lockFolder,
  type ROLES,
} from '../../src/identity/index.ts'
import { prng } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite<{ folder: string }>(`identity, replay with SEED=${seed}`)
const NOW_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'holdfast-identity-'))
})
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work()
    return 'no error'
  } catch (error) {
    return isHoldfastError(error) ? error.code : String(error)
  }
}

test('a node keeps its key, and nobody else can read it', async ({ folder }) => {
  const path = join(folder, 'node.key')
  const [one, two] = await Promise.all([loadOrCreateKeyPair(path), loadOrCreateKeyPair(path)])
  assert.equal(one, two, 'two starts at once end with one key')
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.equal(keyPairFrom(one.secretKey), one)
  await chmod(path, 0o644)
  assert.is(await codeOf(() => loadOrCreateKeyPair(path)), 'BAD_FILE')
  await chmod(path, 0o600)
  await writeFile(path, 'rubbish')
  assert.is(await codeOf(() => loadOrCreateKeyPair(path)), 'BAD_FILE')
})

test('a public key is what X25519 makes of the secret and the base point (RFC 7748 §6.1)', () => {
  const pair = keyPairFrom(Buffer.from('77'.repeat(32), 'hex'))
  const basePoint = diffieHellman({
    privateKey: privateKeyOf(pair.secretKey),
    publicKey: publicKeyOf(BASE_POINT),
  })
  assert.equal(Uint8Array.from(basePoint), pair.publicKey, 'the public key is secret × base point')
})

const CERTIFICATE: Certificate = {
  version: 1,
  clusterId: 'aa'.repeat(16),
  publicKey: 'bb'.repeat(32),
  roles: ['backup', 'restore'],
  name: 'laptop',
  number: 3,
  notBeforeMs: NOW_MS,
  notAfterMs: NOW_MS + HOUR_MS,
  serial: 'cc'.repeat(16),
}

test('a certificate says what it said, and holds only here, now and for its key', async () => {
  const decoded = decodeCertificate(encodeCertificate(CERTIFICATE))
  assert.ok(decoded.ok)
  assert.equal(decoded.certificate, CERTIFICATE)
  assert.ok(encodeCertificate(CERTIFICATE).length <= 512)
  const right = {
    clusterId: CERTIFICATE.clusterId,
    publicKey: Buffer.from(CERTIFICATE.publicKey, 'hex'),
    nowMs: NOW_MS + 1,
  }
  const check = (changes: Partial<typeof right> & { role?: (typeof ROLES)[number] }) =>
    codeOf(() => checkCertificate(CERTIFICATE, { ...right, ...changes }))
  assert.is(await check({}), 'no error')
  assert.is(await check({ role: 'backup' }), 'no error')
  assert.is(await check({ nowMs: NOW_MS - 4 * 60_000 }), 'no error', 'clocks differ a little')
  assert.is(await check({ role: 'server' }), 'NOT_ALLOWED')
  assert.is(await check({ clusterId: 'dd'.repeat(16) }), 'NOT_ALLOWED')
  assert.is(await check({ publicKey: Buffer.alloc(32) }), 'NOT_ALLOWED')
  assert.is(await check({ nowMs: NOW_MS - HOUR_MS }), 'NOT_ALLOWED')
  assert.is(await check({ nowMs: NOW_MS + 2 * HOUR_MS }), 'NOT_ALLOWED')
})

const GRANT: Grant = {
  version: 1,
  kind: 'store',
  clusterId: '11'.repeat(16),
  repositoryId: '22'.repeat(16),
  subject: '33'.repeat(32),
  blobId: '44'.repeat(32),
  sessionId: '55'.repeat(16),
  sizeBytesMax: 4 * 2 ** 20,
  notBeforeMs: NOW_MS,
  notAfterMs: NOW_MS + HOUR_MS,
}

test('a grant is good for one peer, one blob, one purpose and a while', async () => {
  const bytes = encodeGrant(GRANT)
  const decoded = decodeGrant(bytes)
  assert.ok(decoded.ok)
  assert.equal(decoded.grant, GRANT)
  const right = {
    kind: 'store' as Grant['kind'],
    clusterId: GRANT.clusterId,
    repositoryId: GRANT.repositoryId,
    blobId: '44'.repeat(32),
    subject: GRANT.subject,
    nowMs: NOW_MS + 1,
  }
  const check = (changes: Partial<typeof right>) =>
    codeOf(() => checkGrant(bytes, { ...right, ...changes }))
  assert.is(await check({}), 'no error')
  for (const changes of [
    { kind: 'fetch' as const },
    { clusterId: '12'.repeat(16) },
    { repositoryId: '12'.repeat(16) },
    { blobId: '12'.repeat(32) },
    { subject: '12'.repeat(32) },
    { nowMs: NOW_MS - HOUR_MS },
    { nowMs: NOW_MS + 2 * HOUR_MS },
  ]) {
    assert.is(await check(changes), 'GRANT_REFUSED', JSON.stringify(changes))
  }
  const any = encodeGrant({ ...GRANT, blobId: null, kind: 'fetch' })
  const fetch = { ...right, kind: 'fetch' as const, blobId: '99'.repeat(32) }
  assert.is(await codeOf(() => checkGrant(any, fetch)), 'no error')
})

test('any bytes are a certificate, a grant, or a defect with words', () => {
  const random = prng(seed)
  for (const [bytes, decode] of [
    [encodeCertificate(CERTIFICATE), decodeCertificate],
    [encodeGrant(GRANT), decodeGrant],
  ] as const) {
    for (let round = 0; round < 2_000; round += 1) {
      const mutated = Buffer.from(bytes)
      mutated[Math.floor(random() * mutated.length)] = Math.floor(random() * 256)
      const length = random() < 0.3 ? Math.floor(random() * mutated.length) : mutated.length
      const decoded = decode(mutated.subarray(0, length))
      if (!decoded.ok) assert.ok(decoded.defect.length > 3)
      else assert.is(length, mutated.length, 'nothing cut short is accepted')
    }
  }
})

test('nodes enrol through the data folder, keep their cluster, and refuse another', async ({
  folder,
}) => {
  const dataDir = join(folder, 'data')
  const wallMs = (): number => NOW_MS
  const who = { dataDir, roles: ['server'] as const, name: 's', number: 1, wallMs }
  const early = enrol({ ...who, folder: join(dataDir, 'server-1'), waitMs: 30 })
  assert.is(await codeOf(() => early), 'NOT_ENROLLED')
  const manager = await createCluster({ dataDir, name: 'manager', wallMs })
  const again = await createCluster({ dataDir, name: 'manager', wallMs })
  assert.is(again.cluster.clusterId, manager.cluster.clusterId)
  assert.equal(again.identity.publicKey, manager.identity.publicKey)
  const server = await enrol({ ...who, folder: join(dataDir, 'server-1') })
  assert.equal(server.cluster, manager.cluster)
  const decoded = decodeCertificate(server.identity.certificate)
  assert.ok(decoded.ok && decoded.certificate.roles.includes('server'))
  const secret = await readFile(join(dataDir, 'cluster', 'cluster.json'), 'utf8')
  await writeFile(
    join(dataDir, 'cluster', 'cluster.json'),
    secret.replace(/"clusterId": "..../, '"clusterId": "0000'),
  )
  assert.is(await codeOf(() => enrol({ ...who, folder: join(dataDir, 'server-1') })), 'BAD_FILE')
})

test('two processes never work in one folder, and a dead one does not keep it', async ({
  folder,
}) => {
  const lock = await lockFolder(folder)
  assert.is(await codeOf(() => lockFolder(folder)), 'DATA_FOLDER_LOCKED')
  await lock.release()
  await (await lockFolder(folder)).release()
  // The same pid, started at another time: not the process that made the lock.
  await writeFile(join(folder, 'lock'), JSON.stringify({ pid: process.pid, started: '1' }))
  await (await lockFolder(folder)).release()
  await writeFile(join(folder, 'lock'), JSON.stringify({ pid: 2 ** 22 + 1, started: '1' }))
  await (await lockFolder(folder)).release()
})

const BASE_POINT = Uint8Array.from([9, ...new Array(31).fill(0)])

function privateKeyOf(secret: Uint8Array): KeyObject {
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret])
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
}

function publicKeyOf(raw: Uint8Array): KeyObject {
  const der = Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), raw])
  return createPublicKey({ key: der, format: 'der', type: 'spki' })
}

test.run()
