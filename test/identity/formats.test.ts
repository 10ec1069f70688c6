// test/identity/formats.test.ts — can a certificate, grant, token or list be forged, stretched or misread?
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { testimony } from '../../src/identity/authority.ts'
import {
  type Certificate,
  decodeCertificate,
  ROLES,
  type Role,
  signCertificate,
} from '../../src/identity/certificate.ts'
import { decodeChain, encodeChain, signDirectory } from '../../src/identity/directory.ts'
import { decodeGrant, type Grant, signGrant } from '../../src/identity/grant.ts'
import { decodeRevocations, signRevocations } from '../../src/identity/revocations.ts'
import { type Domain, isSealedBy, newSeed, SigningKey } from '../../src/identity/signing.ts'
import { decodeToken, signToken, type Token } from '../../src/identity/token.ts'
import { PERF_PUBLIC_KEY } from '../../src/perf-key.ts'
import { codeOf } from '../support/code-of.ts'
import { TestAuthority } from '../support/test-authority.ts'

const seed = Number(process.env.SEED ?? 20_261_124)
const test = suite(`identity: formats, replay with SEED=${seed}`)
const RUNS = { seed, numRuns: 300 }
const CLUSTER = 'aa'.repeat(16)
const PEER = new Uint8Array(32).fill(0xbb)
const NOW_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000

const authority = new TestAuthority({ clusterId: CLUSTER, managerKey: new Uint8Array(32) })
const stranger = new SigningKey(newSeed())

const hexOf = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'))
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 2 })
const text = fc.string({ unit: 'grapheme', maxLength: 60 })
const roles = fc
  .subarray([...ROLES], { minLength: 1 })
  .map((some): Role[] => ROLES.filter((role) => some.includes(role)))
const times = u48.chain((notBeforeMs) =>
  fc
    .integer({ min: notBeforeMs + 1, max: 2 ** 48 - 1 })
    .map((notAfterMs) => ({ notBeforeMs, notAfterMs })),
)

const certificates: fc.Arbitrary<Certificate> = fc
  .record({
    clusterId: hexOf(16),
    publicKey: hexOf(32),
    roles,
    name: text,
    number: fc.nat(65_535),
    serial: hexOf(16),
    times,
  })
  .map(({ times, ...rest }) => ({ version: 1, ...rest, ...times }))

const grants: fc.Arbitrary<Grant> = fc
  .record({
    kind: fc.constantFrom('store', 'replicate', 'fetch'),
    clusterId: hexOf(16),
    repositoryId: hexOf(16),
    subject: hexOf(32),
    blobId: fc.option(hexOf(32)),
    sessionId: fc.option(hexOf(16)),
    sizeBytesMax: u48,
    times,
  })
  .map(({ times, ...rest }) => ({ version: 1, ...rest, ...times }))

const tokens: fc.Arbitrary<Omit<Token, 'signingKey'>> = fc.record({
  clusterId: hexOf(16),
  managerKey: hexOf(32),
  host: text.filter((host) => host.length > 0),
  port: fc.integer({ min: 1, max: 65_535 }),
  roles,
  number: fc.nat(65_535),
  notAfterMs: u48,
  tokenId: hexOf(16),
})

test('what is signed says what it said, and fits into its place', () => {
  fc.assert(
    fc.property(certificates, (certificate) => {
      const sealed = signCertificate(certificate, authority.key)
      assert.ok(sealed.length <= 512)
      const decoded = decodeCertificate(sealed)
      assert.ok(decoded.ok)
      assert.equal(decoded.certificate, certificate)
      assert.ok(isSealedBy(authority.key.publicKey, 'certificate', sealed))
    }),
    RUNS,
  )
  fc.assert(
    fc.property(grants, (grant) => {
      const sealed = signGrant(grant, authority.key)
      assert.ok(sealed.length <= 512)
      const decoded = decodeGrant(sealed)
      assert.ok(decoded.ok)
      assert.equal(decoded.grant, grant)
    }),
    RUNS,
  )
  fc.assert(
    fc.property(tokens, (token) => {
      const decoded = decodeToken(`  ${signToken(token, authority.key)}\n`)
      assert.equal(decoded, { ...token, signingKey: authority.key.publicKey })
    }),
    RUNS,
  )
  fc.assert(
    fc.property(fc.array(hexOf(32), { maxLength: 40 }), u48, (keys, sequence) => {
      const list = { clusterId: CLUSTER, sequence, keys }
      assert.equal(decodeRevocations(signRevocations(list, authority.key)), list)
    }),
    RUNS,
  )
})

test('a name that is not UTF-8 is no name: it would be shown as another', () => {
  const certificate = fc.sample(certificates, { seed, numRuns: 1 })[0]!
  const bytes = Buffer.from(signCertificate({ ...certificate, name: 'naïve' }, authority.key))
  assert.ok(decodeCertificate(bytes).ok)
  bytes[bytes.indexOf('ï')] = 0xff
  assert.not.ok(decodeCertificate(bytes).ok)
})

test("a stranger's chain of 200 directories costs no more than one of one", () => {
  const key = stranger
  const link = (sequence: number): Uint8Array =>
    signDirectory(
      {
        ...authority.trust().directory,
        recoveryKey: key.publicKey,
        signingKeys: [key.publicKey],
        signer: sequence === 0 ? 'recovery' : 'cluster',
        sequence,
      },
      key,
    )
  const links = Array.from({ length: 200 }, (_, i) => link(i))
  assert.ok(decodeChain(encodeChain(links)), 'it holds, for whoever trusts that stranger')
  const nothing = { certificate: new Uint8Array(0), revocations: new Uint8Array(0) }
  const costOf = (count: number): number => {
    const directory = encodeChain(links.slice(0, count))
    const startMs = performance.now()
    for (let i = 0; i < 10; i += 1) {
      assert.is(testimony({ ...nothing, directory }, authority.trust()), null)
    }
    return performance.now() - startMs
  }
  const costs = [1, 200].map((count) => Math.min(...Array.from({ length: 5 }, () => costOf(count))))
  assert.ok(costs[1]! < 20 * costs[0]!, `${costs[0]} ms for one, ${costs[1]} ms for 200`)
})

test('no byte of what is signed can be changed', () => {
  fc.assert(
    fc.property(
      certificates,
      grants,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (certificate, grant, place, change) => {
        for (const [domain, sealed] of [
          ['certificate', signCertificate(certificate, authority.key)],
          ['grant', signGrant(grant, authority.key)],
        ] as const) {
          const index = place % sealed.length
          sealed[index] = (sealed[index] ?? 0) ^ change
          assert.not.ok(isSealedBy(authority.key.publicKey, domain, sealed), `byte ${index}`)
        }
      },
    ),
    RUNS,
  )
})

test('what is signed in one domain, or by another key, counts in no other', () => {
  const domains: Domain[] = ['certificate', 'grant', 'token', 'directory', 'revocations']
  const body = new Uint8Array(100).fill(1)
  for (const signed of domains) {
    const sealed = authority.key.seal(signed, body)
    for (const read of domains) {
      assert.is(isSealedBy(authority.key.publicKey, read, sealed), signed === read)
    }
    assert.not.ok(isSealedBy(stranger.publicKey, signed, sealed))
  }
  assert.not.ok(isSealedBy('00'.repeat(32), 'grant', authority.key.seal('grant', body)))
  assert.not.ok(isSealedBy('ff'.repeat(32), 'grant', authority.key.seal('grant', body)))
})

test('a token that names the key everybody has as its manager is refused', async () => {
  const token = fc.sample(tokens, { seed, numRuns: 1 })[0]!
  const words = signToken({ ...token, managerKey: PERF_PUBLIC_KEY }, authority.key)
  assert.is(await codeOf(() => decodeToken(words)), 'TOKEN_REFUSED')
})

test('Ed25519 as in RFC 8032 §7.1: the public key of the first vector', () => {
  const secret = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
  const key = new SigningKey(Buffer.from(secret, 'hex'))
  assert.is(key.publicKey, 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
})

test('any bytes are a value or a defect, and any text a token or TOKEN_REFUSED', async () => {
  const token = signToken(fc.sample(tokens, { seed, numRuns: 1 })[0]!, authority.key)
  const examples = [
    authority.certificate(PEER, { roles: ['server'] }),
    signGrant(fc.sample(grants, { seed, numRuns: 1 })[0]!, authority.key),
    signRevocations({ clusterId: CLUSTER, sequence: 5, keys: ['cc'.repeat(32)] }, authority.key),
    authority.trust().news.directory,
  ]
  const damaged = fc
    .tuple(fc.constantFrom(...examples), fc.nat(), fc.nat(255), fc.nat(), fc.boolean())
    .map(([bytes, place, value, length, isCut]) => {
      const copy = Uint8Array.from(bytes)
      copy[place % copy.length] = value
      return isCut ? copy.subarray(0, length % copy.length) : copy
    })
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 600 })), (bytes) => {
      const certificate = decodeCertificate(bytes)
      assert.ok(certificate.ok || certificate.defect.length > 3)
      const grant = decodeGrant(bytes)
      assert.ok(grant.ok || grant.defect.length > 3)
      decodeRevocations(bytes)
      // Throws HoldfastErrors only, and takes nothing over that is not signed.
      const trust = authority.trust()
      const { version } = trust
      try {
        trust.learn({ directory: bytes, revocations: bytes })
      } catch (error) {
        assert.is((error as { code?: string }).code, 'WRONG_CLUSTER')
      }
      assert.is(trust.version, version)
    }),
    { ...RUNS, numRuns: 3_000 },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string({ maxLength: 900 }),
        fc.tuple(fc.nat(token.length), fc.string({ maxLength: 2 })).map(([place, words]) => {
          return token.slice(0, place) + words + token.slice(place + 1)
        }),
      ),
      async (words) => {
        if (words.trim() === token) return
        assert.is(await codeOf(() => decodeToken(words)), 'TOKEN_REFUSED', words)
      },
    ),
    RUNS,
  )
})

test('a certificate holds only here, now, for its key, and signed by a listed key', async () => {
  const trust = authority.trust()
  const certificate = authority.certificate(PEER, {
    roles: ['backup'],
    notAfterMs: NOW_MS + HOUR_MS,
  })
  const peer = { publicKey: PEER, certificate }
  const check = (
    changes: Partial<typeof peer>,
    now: { nowMs: number; role?: Role } = { nowMs: NOW_MS },
  ) => codeOf(() => trust.certificate({ ...peer, ...changes }, now))
  assert.is(await check({}), 'no error')
  assert.is(await check({}), 'no error', 'from the cache of what was verified')
  assert.is(await check({}, { nowMs: NOW_MS, role: 'backup' }), 'no error')
  assert.is(await check({}, { nowMs: NOW_MS, role: 'server' }), 'NOT_ALLOWED')
  assert.is(await check({}, { nowMs: NOW_MS + HOUR_MS + 4 * 60_000 }), 'no error', 'clocks differ')
  assert.is(await check({}, { nowMs: NOW_MS + 2 * HOUR_MS }), 'NOT_ALLOWED')
  assert.is(await check({ publicKey: new Uint8Array(32) }), 'NOT_ALLOWED', "another's certificate")
  assert.is(await check({ certificate: new Uint8Array(0) }), 'NOT_ALLOWED')
  const forged = Uint8Array.from(certificate)
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
  assert.is(await check({ certificate: forged }), 'NOT_ALLOWED')
  const other = new TestAuthority({ clusterId: CLUSTER, managerKey: PEER, seed: 2 })
  assert.is(
    await check({ certificate: other.certificate(PEER, { roles: ['backup'] }) }),
    'NOT_ALLOWED',
  )
  const elsewhere = new TestAuthority({ clusterId: 'dd'.repeat(16), managerKey: PEER })
  const foreign = elsewhere.certificate(PEER, { roles: ['backup'] })
  assert.is(await check({ certificate: foreign }), 'WRONG_CLUSTER')
})

test('a grant is good for one peer, one blob, one purpose and a while', async () => {
  const trust = authority.trust()
  const grant = {
    kind: 'store' as const,
    repositoryId: '22'.repeat(16),
    subject: '33'.repeat(32),
    blobId: '44'.repeat(32) as string | null,
    sessionId: '55'.repeat(16),
    sizeBytesMax: 4 * 2 ** 20,
    notBeforeMs: NOW_MS,
    notAfterMs: NOW_MS + HOUR_MS,
  }
  const bytes = authority.grant(grant)
  const right = {
    kind: 'store' as Grant['kind'],
    repositoryId: grant.repositoryId,
    blobId: '44'.repeat(32),
    subject: grant.subject,
    nowMs: NOW_MS + 1,
  }
  const check = (changes: Partial<typeof right>, shown = bytes) =>
    codeOf(() => trust.grant(shown, { ...right, ...changes }))
  assert.is(await check({}), 'no error')
  for (const changes of [
    { kind: 'fetch' as const },
    { repositoryId: '12'.repeat(16) },
    { blobId: '12'.repeat(32) },
    { subject: '12'.repeat(32) },
    { nowMs: NOW_MS - HOUR_MS },
    { nowMs: NOW_MS + 2 * HOUR_MS },
  ]) {
    assert.is(await check(changes), 'GRANT_REFUSED', JSON.stringify(changes))
  }
  const any = authority.grant({ ...grant, blobId: null, kind: 'fetch' })
  assert.is(await check({ kind: 'fetch', blobId: '99'.repeat(32) }, any), 'no error')
  const whole = { version: 1 as const, clusterId: CLUSTER, ...grant }
  assert.is(await check({}, signGrant(whole, stranger)), 'GRANT_REFUSED', 'signed by a stranger')
  const elsewhere = { ...whole, clusterId: '11'.repeat(16) }
  assert.is(await check({}, signGrant(elsewhere, authority.key)), 'GRANT_REFUSED')
})

test.run()
