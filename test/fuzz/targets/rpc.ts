// test/fuzz/targets/rpc.ts — does any request get one answer, and any answer one end?
import * as assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Session } from '../../../protocol/types.ts'
import { isHoldfastError } from '../../../src/errors.ts'
import { MESSAGES, type Method } from '../../../src/messages.ts'
import { decodeCbor, encodeCbor } from '../../../src/rpc/cbor.ts'
import { encodeFrame, FRAME_BYTES_MAX } from '../../../src/rpc/frames.ts'
import { call, type Handlers, serve, systemClock } from '../../../src/rpc/index.ts'
import { identityOf } from '../../support/identity.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { coarse, type Target } from '../target.ts'

const ID = 'ab'.repeat(32)
const SHORT_ID = 'cd'.repeat(16)
const GRANT = new Uint8Array(20)
const ADDRESS = { number: 1, name: 'n', host: 'h', port: 1, publicKey: ID }
const LOAD = { usedBytes: 1, freeBytes: 2, blobs: 3, active: 0, readOnly: false }
const SNAPSHOT = { clientName: 'c', timeMs: 5, groupId: SHORT_ID, tagIds: [SHORT_ID] }
const BLOB = { blobId: ID, sizeBytes: 9, grant: GRANT }
const NEWS = { directory: GRANT, revocations: GRANT, nowMs: 1 }
const JOIN = { roles: ['server'], name: 'n', number: 5 }
const STATUS = {
  clusterId: SHORT_ID,
  safeMode: true,
  servers: [],
  blobs: { total: 1, underReplicated: 0, lost: 0 },
  snapshots: 1,
  sessions: 0,
}

/** One value of each shape that a schema takes. */
const VALUES: readonly unknown[] = [
  {},
  NEWS,
  { ...JOIN, proof: { kind: 'join', mac: GRANT } },
  { ...JOIN, proof: { kind: 'token', token: 't' } },
  { ...NEWS, certificate: GRANT },
  { certificate: GRANT, directory: GRANT, revocations: GRANT },
  { roles: ['backup'], number: 1, lifeMs: 1_000 },
  { token: 't', notAfterMs: 1 },
  { node: 'n' },
  { revoked: [{ name: 'n', roles: ['operator'], publicKey: ID }] },
  { signingKey: ID, oldUntilMs: 1 },
  { repositoryId: SHORT_ID, checkValue: ID },
  { repositoryIds: [SHORT_ID] },
  { sessionId: SHORT_ID, leaseMs: 1.5, replicas: 2 },
  { sessionId: SHORT_ID, chunkIds: [ID, ID] },
  { answers: ['present', 'send', 'wait'] },
  { sessionId: SHORT_ID, blobId: ID, sizeBytes: 7, exclude: [1, 4096] },
  { state: 'assigned', server: ADDRESS, grant: GRANT },
  { state: 'replicated', servers: [1] },
  { sessionId: SHORT_ID, snapshotId: ID },
  { snapshotId: ID, timeMs: 1 },
  { snapshots: [{ ...SNAPSHOT, snapshotId: ID }] },
  {
    places: [null, { blobId: ID, offset: 0, length: 1, servers: [] }],
    servers: [ADDRESS],
    grant: GRANT,
  },
  STATUS,
  { number: 1, name: 'n', host: 'h', port: 1, load: LOAD },
  { clusterId: SHORT_ID, epoch: 1, operation: 0, heartbeatMs: 1, wantsReport: false },
  { number: 1, reportId: SHORT_ID, page: 0, last: true, blobs: [{ blobId: ID, sizeBytes: 1 }] },
  { unknown: 0, missing: 2 },
  { ...BLOB, exclude: [] },
  { ...BLOB, number: 1, index: new Uint8Array(9) },
  { state: 'pending', servers: [] },
  { ...BLOB, repositoryId: SHORT_ID },
  { storedBytes: 1, forwardedBytes: 2, backupServer: null },
  { repositoryId: SHORT_ID, blobId: ID, grant: GRANT, ranges: [{ offset: 0, length: 1 }] },
  { lengthBytes: 5 },
]

const METHODS = Object.keys(MESSAGES) as Method[]

const cbor: Target = {
  name: 'rpc-cbor',
  sizeBytesMax: 2_000,
  seeds: () => [
    ...VALUES.map((value) => encodeCbor(value)),
    encodeCbor([1.5, -1, 2 ** 40, -(2 ** 40), null, undefined, true, 'ä', new Uint8Array(3)]),
    Buffer.from('bf6161019fffff', 'hex'), // indefinite lengths
    Buffer.from('d9df8003', 'hex'), // a tag of cbor-x
    Buffer.from('9b7fffffffffffffff', 'hex'), // an array of 2^63 items
  ],
  run(input) {
    const decoded = decodeCbor(input)
    if (!decoded.ok) return coarse(decoded.defect)
    const { value } = decoded
    const again = decodeCbor(encodeCbor(value))
    assert.ok(again.ok, 'what was read cannot be read again')
    const isSame = isDeepStrictEqual(plain(again.value), plain(value))
    assert.ok(isSame, 'what was read is read as something else')
    return `ok ${typeof value}`
  },
}

/** Views of different memory, and −0, are equal here. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).map(([key, inner]) => [key, plain(inner)])
  }
  return typeof value === 'number' && value === 0 ? 0 : value
}

/** Every schema of every method, whatever it was that arrived. */
const messages: Target = {
  name: 'rpc-messages',
  sizeBytesMax: 2_000,
  seeds: () => VALUES.map((value) => encodeCbor(value)),
  run(input) {
    const decoded = decodeCbor(input)
    if (!decoded.ok) return 'no CBOR'
    const taken = METHODS.flatMap((method) =>
      Object.entries(MESSAGES[method])
        .filter(([, schema]) => {
          const parsed = schema.safeParse(decoded.value)
          if (!parsed.success) return false
          const again = decodeCbor(encodeCbor(parsed.data))
          assert.ok(again.ok && schema.safeParse(again.value).success, method)
          return true
        })
        .map(([side]) => `${method} ${side}`),
    )
    return taken.slice(0, 4).join()
  },
}

const quiet = { debug() {}, info() {}, warn() {}, error: () => undefined }

/** Every method is served; what it is asked for is what it is given back, if that fits. */
const echo = Object.fromEntries(
  METHODS.map((method) => [method, async (request: unknown) => request]),
) as unknown as Handlers

/** A client's end of a session whose other end `accept` deals with. */
async function sessionTo(accept: (session: Session) => void): Promise<Session> {
  const network = new MemoryNetwork()
  const [dialler, acceptor] = [1, 2].map((number) =>
    network.endpoint({ identity: identityOf(number) }),
  )
  acceptor!.onSession(accept)
  return await dialler!.connect({ ...acceptor!.local, publicKey: identityOf(2).publicKey })
}

let servedSession: Promise<Session> | null = null

const server: Target = {
  name: 'rpc-server',
  sizeBytesMax: 2_000,
  seeds: () => [
    ...METHODS.map((method, i) =>
      encodeFrame({ method, deadlineMs: null, request: VALUES[i % VALUES.length] }),
    ),
    encodeFrame({ method: 'toString', deadlineMs: 0, request: {} }),
    Buffer.from('ffffffff00', 'hex'),
  ],
  async run(input) {
    servedSession ??= sessionTo((session) =>
      serve(session, echo, { clock: systemClock, log: quiet }),
    )
    const stream = (await servedSession).openStream()
    stream.on('error', () => undefined)
    stream.end(input)
    const answer: Uint8Array[] = []
    for await (const piece of stream) answer.push(piece as Uint8Array)
    const bytes = Buffer.concat(answer)
    assert.ok(bytes.length > 4 && bytes.length <= FRAME_BYTES_MAX, 'no answer')
    const decoded = decodeCbor(bytes.subarray(4))
    assert.ok(decoded.ok && bytes.readUInt32LE(0) === bytes.length - 4, 'no frame for an answer')
    const { error, ok } = decoded.value as { error?: { detail: string; wire: number }; ok?: object }
    return error
      ? `${error.wire} ${firstWords(error.detail)}`
      : `ok ${Object.keys(ok ?? {}).join()}`
  },
}

let rubbish: Buffer = Buffer.alloc(0)
let answeredSession: Promise<Session> | null = null

/** A server that answers with whatever bytes. */
const client: Target = {
  name: 'rpc-client',
  sizeBytesMax: 2_000,
  seeds: () => [
    encodeFrame({ ok: STATUS }),
    Buffer.concat([encodeFrame({ note: 1 }), encodeFrame({ ok: STATUS })]),
    encodeFrame({ error: { wire: 3, detail: 'gone' } }),
    encodeFrame({ error: { wire: 9e9, detail: 7 } }),
    encodeFrame({ ok: { servers: [1] } }),
  ],
  async run(input) {
    rubbish = input
    answeredSession ??= sessionTo((session) =>
      session.onStream((stream) => {
        stream.on('error', () => undefined)
        stream.resume().end(rubbish)
      }),
    )
    const session = await answeredSession
    const words = await Promise.all([
      call(session, 'status', {}, { clock: systemClock }).then(
        (result) => {
          result.discard()
          return 'ok'
        },
        (error: unknown) => codeOf(error),
      ),
      call(session, 'blob.store', { ...BLOB, repositoryId: SHORT_ID }, { clock: systemClock }).then(
        async ({ body }) => {
          let bytes = 0
          for await (const piece of body) bytes += piece.length
          return `stored ${bytes > 0}`
        },
        (error: unknown) => codeOf(error),
      ),
    ])
    return words.join(' | ')
  },
}

function codeOf(error: unknown): string {
  if (!isHoldfastError(error)) throw error
  return `${error.code} ${firstWords(error.detail.replace(/^.*something else: /s, ''))}`
}

/** What follows is the other side's text, which differs from input to input. */
const firstWords = (detail: string): string =>
  coarse(detail)
    .split(/[:;\n"]/, 1)[0]!
    .split(' ')
    .slice(0, 4)
    .join(' ')

export const rpcTargets: readonly Target[] = [cbor, messages, server, client]
