// test/identity/key-files.test.ts — can others read a key, or two processes share a folder?
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { lockFolder } from '../../src/identity/index.ts'
import { keyPairFrom, loadOrCreateKeyPair } from '../../src/identity/key-pair.ts'
import { PERF_PUBLIC_KEY, PERF_SECRET_KEY } from '../../src/perf-key.ts'
import { codeOf } from '../support/code-of.ts'

const test = suite<{ folder: string }>('identity: key files and locks')

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'holdfast-identity-'))
})
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

test('a node keeps its key, and nobody else can read it', async ({ folder }) => {
  const path = join(folder, 'node.key')
  const [one, two] = await Promise.all([loadOrCreateKeyPair(path), loadOrCreateKeyPair(path)])
  assert.equal(one, two, 'two starts at once end with one key')
  assert.is((await stat(path)).mode & 0o777, 0o600)
  assert.equal(keyPairFrom(one.secretKey), one)
  for (const mode of [0o644, 0o640, 0o604, 0o620]) {
    await chmod(path, mode)
    assert.is(await codeOf(() => loadOrCreateKeyPair(path)), 'BAD_FILE', mode.toString(8))
  }
  await chmod(path, 0o600)
  await writeFile(path, 'rubbish')
  assert.is(await codeOf(() => loadOrCreateKeyPair(path)), 'BAD_FILE')
})

test('a node whose key file holds the key that everybody has does not start', async ({
  folder,
}) => {
  const path = join(folder, 'node.key')
  await loadOrCreateKeyPair(path)
  const [head] = (await readFile(path, 'utf8')).split('\n')
  await writeFile(path, `${head}\n${Buffer.from(PERF_SECRET_KEY).toString('hex')}\n`)
  assert.is(await codeOf(() => loadOrCreateKeyPair(path)), 'BAD_FILE')
  const { publicKey } = keyPairFrom(PERF_SECRET_KEY)
  assert.is(Buffer.from(publicKey).toString('hex'), PERF_PUBLIC_KEY)
})

test('a public key is what X25519 makes of the secret and the base point (RFC 7748 §6.1)', () => {
  const pair = keyPairFrom(Buffer.from('77'.repeat(32), 'hex'))
  const basePoint = diffieHellman({
    privateKey: privateKeyOf(pair.secretKey),
    publicKey: publicKeyOf(BASE_POINT),
  })
  assert.equal(Uint8Array.from(basePoint), pair.publicKey, 'the public key is secret × base point')
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
