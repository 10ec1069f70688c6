// test/fuzz/targets/identity.ts — can bytes that claim to be a permission or an identity do harm?
import * as assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isHoldfastError } from '../../../src/errors.ts'
import {
  checkCertificate,
  decodeCertificate,
  signCertificate,
} from '../../../src/identity/certificate.ts'
import { readClusterFile, writeClusterFile } from '../../../src/identity/cluster-file.ts'
import {
  decodeChain,
  decodeDirectory,
  encodeChain,
  signDirectory,
} from '../../../src/identity/directory.ts'
import { checkGrant, decodeGrant, signGrant } from '../../../src/identity/grant.ts'
import { loadOrCreateKeyPair } from '../../../src/identity/key-pair.ts'
import { formatRecoveryKey, readRecoveryKey } from '../../../src/identity/recovery.ts'
import { decodeRevocations, signRevocations } from '../../../src/identity/revocations.ts'
import { isSealedBy, SIGNATURE_BYTES } from '../../../src/identity/signing.ts'
import { decodeToken, signToken } from '../../../src/identity/token.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { answerOf, coarse, refusalOf, type Target } from '../target.ts'

const ID = 'ab'.repeat(32)
const SHORT_ID = 'cd'.repeat(16)
const NOW_MS = 1_700_000_000_000
const TOKEN_PREFIX = 'holdfast1-'

const authority = new TestAuthority({ clusterId: SHORT_ID, managerKey: Buffer.from(ID, 'hex') })
const { key, recoveryKey } = authority
const bodyOf = (sealed: Uint8Array): Buffer => Buffer.from(sealed.subarray(0, -SIGNATURE_BYTES))

const CERTIFICATE = {
  version: 1,
  clusterId: SHORT_ID,
  publicKey: ID,
  roles: ['backup', 'restore'],
  name: 'client-1',
  number: 1,
  notBeforeMs: NOW_MS - 1,
  notAfterMs: NOW_MS + 1,
  serial: SHORT_ID,
} as const

const GRANT = {
  version: 1,
  kind: 'store',
  clusterId: SHORT_ID,
  repositoryId: SHORT_ID,
  subject: ID,
  blobId: ID,
  sessionId: SHORT_ID,
  sizeBytesMax: 99,
  notBeforeMs: NOW_MS - 1,
  notAfterMs: NOW_MS + 1,
} as const

const certificate: Target = {
  name: 'certificate',
  sizeBytesMax: 600,
  seeds: () => [
    signCertificate(CERTIFICATE, key),
    signCertificate({ ...CERTIFICATE, name: 'ä'.repeat(100), roles: ['manager'] }, key),
  ],
  run(input) {
    const decoded = decodeCertificate(input)
    if (!decoded.ok) return coarse(decoded.defect)
    const again = bodyOf(signCertificate(decoded.certificate, key))
    assert.ok(again.equals(bodyOf(input)), 'another spelling was taken')
    const { name } = decoded.certificate
    const expected = { clusterId: SHORT_ID, publicKey: Buffer.from(ID, 'hex'), nowMs: NOW_MS }
    try {
      checkCertificate(decoded.certificate, { ...expected, role: 'backup' })
      return `holds ${isSealedBy(key.publicKey, 'certificate', input)}`
    } catch (error) {
      assert.ok(isHoldfastError(error), String(error))
      return coarse(error.detail.slice(name.length))
    }
  },
}

const grant: Target = {
  name: 'grant',
  sizeBytesMax: 600,
  seeds: () => [
    signGrant(GRANT, key),
    signGrant({ ...GRANT, kind: 'fetch', blobId: null, sessionId: null }, key),
  ],
  run(input) {
    const decoded = decodeGrant(input)
    if (!decoded.ok) return coarse(decoded.defect)
    assert.deepEqual(decodeGrant(signGrant(decoded.grant, key)), decoded)
    const { kind, clusterId, repositoryId, blobId, subject } = GRANT
    const use = { kind, clusterId, repositoryId, blobId, subject, nowMs: NOW_MS }
    return answerOf(
      () => checkGrant(decoded.grant, use),
      () => `granted ${isSealedBy(key.publicKey, 'grant', input)}`,
    )
  },
}

const TOKEN = {
  clusterId: SHORT_ID,
  managerKey: ID,
  host: 'manager.example',
  port: 7_400,
  roles: ['server'],
  number: 5,
  notAfterMs: NOW_MS,
  tokenId: SHORT_ID,
} as const

/** First byte odd: the rest is a body, which is signed; even: it is the text. */
const token: Target = {
  name: 'token',
  sizeBytesMax: 800,
  seeds: () => {
    const text = signToken(TOKEN, key)
    const sealed = Buffer.from(text.slice(TOKEN_PREFIX.length), 'base64url')
    return [Buffer.concat([Buffer.of(1), bodyOf(sealed)]), Buffer.from(`\0 ${text}\n`)]
  },
  run(input) {
    const rest = input.subarray(1)
    const isBody = (input[0] ?? 0) % 2 === 1
    const text = isBody
      ? TOKEN_PREFIX + Buffer.from(key.seal('token', rest)).toString('base64url')
      : rest.toString()
    return answerOf(
      () => decodeToken(text),
      (found) => {
        assert.equal(found.signingKey, key.publicKey)
        assert.equal(signToken(found, key), text.trim(), 'another spelling was taken')
        return `read ${isBody} ${found.roles.length}`
      },
    )
  },
}

const directoryOf = (sequence: number, signer: 'cluster' | 'recovery') => ({
  clusterId: SHORT_ID,
  generation: 0,
  sequence,
  managerKey: ID,
  successorKey: ID,
  recoveryKey: recoveryKey.publicKey,
  signingKeys: [key.publicKey],
  signer,
})

const directory: Target = {
  name: 'directory',
  sizeBytesMax: 600,
  seeds: () => [
    signDirectory(directoryOf(1, 'recovery'), recoveryKey),
    signDirectory({ ...directoryOf(2, 'cluster'), signingKeys: [ID, key.publicKey] }, key),
  ],
  run(input) {
    const decoded = decodeDirectory(input)
    if (!decoded) return 'null'
    assert.ok(bodyOf(signDirectory(decoded, key)).equals(bodyOf(input)), 'another spelling')
    return `${decoded.signer} ${decoded.signingKeys.length}`
  },
}

/** Bodies, each after its u16 length; the first byte of each: who signs it. */
const chain: Target = {
  name: 'chain',
  sizeBytesMax: 1_500,
  seeds: () => {
    const links = [1, 2, 3].map((sequence) =>
      bodyOf(signDirectory(directoryOf(sequence, sequence === 1 ? 'recovery' : 'cluster'), key)),
    )
    const marked = links.map((body, i) => Buffer.concat([Buffer.of(i === 0 ? 1 : 0), body]))
    return [encodeChain(marked), encodeChain(marked.slice(0, 1)), encodeChain(marked.slice(1))]
  },
  run(input) {
    const links: Uint8Array[] = []
    for (let at = 0; at + 2 < input.length && links.length < 20; ) {
      const end = at + 2 + input.readUInt16LE(at)
      const signer = input[at + 2]! % 2 === 1 ? recoveryKey : key
      links.push(signer.seal('directory', input.subarray(at + 3, end)))
      at = Math.max(end, at + 3)
    }
    const bytes = encodeChain(links)
    const decoded = decodeChain(bytes)
    assert.equal(decodeChain(input), null, 'unsigned')
    if (!decoded) return 'null'
    assert.ok(Buffer.from(encodeChain(decoded.links.map((l) => l.sealed))).equals(bytes))
    assert.equal(decodeChain(bytes, ID), null, 'of another recovery key')
    return `${decoded.links.length}`
  },
}

const revocations: Target = {
  name: 'revocations',
  sizeBytesMax: 1_000,
  seeds: () =>
    [[], [ID], [ID, ID, ID]].map((keys) =>
      signRevocations({ clusterId: SHORT_ID, sequence: 7, keys }, key),
    ),
  run(input) {
    const list = decodeRevocations(input)
    if (!list) return 'null'
    assert.ok(bodyOf(signRevocations(list, key)).equals(bodyOf(input)), 'another spelling')
    return `${Math.min(3, list.keys.length)}`
  },
}

const FOLDER = join(tmpdir(), `holdfast-fuzz-${process.pid}`)
const FRESH_KEY = `holdfast node key v1: who has this file can pose as this node\n${'5a'.repeat(32)}\n`

process.on('exit', () => rmSync(FOLDER, { recursive: true, force: true }))

/** A file of that text, and what its reader says. */
async function answerTo(
  name: string,
  text: Uint8Array,
  read: (path: string) => Promise<unknown>,
): Promise<string> {
  mkdirSync(FOLDER, { recursive: true, mode: 0o700 })
  const path = join(FOLDER, name)
  writeFileSync(path, text, { mode: 0o600 })
  try {
    await read(path)
    return 'read'
  } catch (error) {
    return refusalOf(error).replaceAll(FOLDER, '')
  }
}

const TRUST = authority.trust()
const CLUSTER = {
  version: 1,
  clusterId: SHORT_ID,
  directory: Buffer.from(TRUST.news.directory).toString('base64'),
  revocations: '',
  joinSecret: ID,
  manager: { host: 'h', port: 1 },
}

const clusterFile: Target = {
  name: 'cluster-file',
  sizeBytesMax: 1_500,
  inputsInTest: 500,
  seeds: () => [
    Buffer.from(JSON.stringify(CLUSTER)),
    Buffer.from('null'),
    Buffer.from(JSON.stringify({ ...CLUSTER, manager: { host: [], port: '1' }, before: 7 })),
    Buffer.from(JSON.stringify({ ...CLUSTER, before: { directory: '', revocations: 'AAAA' } })),
  ],
  run: (input) =>
    answerTo('cluster.json', input, async (path) => {
      const file = await readClusterFile(path)
      assert.ok(file)
      await writeClusterFile(path, file)
      assert.deepEqual((await readClusterFile(path))?.trust.news, file.trust.news)
    }),
}

const nodeKey: Target = {
  name: 'node-key',
  sizeBytesMax: 300,
  seeds: () => [Buffer.from(FRESH_KEY)],
  run: (input) => answerTo('node.key', input, loadOrCreateKeyPair),
}

const recoveryFile: Target = {
  name: 'recovery-key',
  sizeBytesMax: 500,
  seeds: () => {
    const recovery = { clusterId: SHORT_ID, successor: 3, secret: Buffer.from(ID, 'hex') }
    return [Buffer.from(formatRecoveryKey(recovery))]
  },
  run: (input) =>
    answerTo('recovery.key', input, async (path) => {
      const found = await readRecoveryKey(path)
      const text = formatRecoveryKey(found).replace(/successor 0*(?=\d)/, 'successor ')
      assert.equal(input.toString().replace(/successor 0*(?=\d)/, 'successor '), text)
    }),
}

export const identityTargets: readonly Target[] = [
  certificate,
  grant,
  token,
  directory,
  chain,
  revocations,
  clusterFile,
  nodeKey,
  recoveryFile,
]
