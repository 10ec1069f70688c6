// test/rpc/abuse.test.ts — what can a peer that means harm cost a node, or the node's other peers?
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Session, TransportEndpoint, TransportStream } from '../../protocol/types.ts'
import { errorCodeOf, isHoldfastError } from '../../src/errors.ts'
import { decodeCbor } from '../../src/rpc/cbor.ts'
import { encodeFrame, FRAME_BYTES_MAX, readFrame } from '../../src/rpc/frames.ts'
import { call, type Handlers, Strangers, serve } from '../../src/rpc/index.ts'
import type { StreamReader } from '../../src/rpc/stream-reader.ts'
import { VirtualClock } from '../server/support/virtual-clock.ts'
import { identityOf } from '../support/identity.ts'
import { MemoryNetwork } from '../support/memory-network.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
/** Small, so that what a stream took is what its reader took, and a little. */
const WINDOW_BYTES = 16 * 1024
const HIGH_WATER_BYTES = 64 * 1024

interface World {
  clock: VirtualClock
  server: TransportEndpoint
  handlers: Handlers
  /** Nobody knows the one that means harm yet. */
  isStrange: boolean
  dialBad: () => Promise<Session>
  /** Of the peer that means harm, and of an honest one. */
  session: Session
  honest: Session
}

const test = suite<World>('rpc: abuse')

test.before.each(async (world) => {
  const clock = new VirtualClock()
  const network = new MemoryNetwork({ clock, windowBytes: WINDOW_BYTES })
  const [bad, server, good] = [1, 2, 3].map((number) =>
    network.endpoint({ identity: identityOf(number) }),
  )
  world.clock = clock
  world.server = server!
  world.handlers = { 'repository.list': async () => ({ repositoryIds: [] }) }
  world.isStrange = false
  const isBad = ({ peer }: Session): boolean =>
    Buffer.compare(peer.publicKey, identityOf(1).publicKey) === 0
  const strangers = new Strangers((session) => world.isStrange && isBad(session))
  server!.onSession((session) => serve(session, world.handlers, { clock, log, strangers }))
  const to = { ...server!.local, publicKey: identityOf(2).publicKey }
  world.dialBad = () => clock.until(bad!.connect(to))
  world.session = await world.dialBad()
  world.honest = await clock.until(good!.connect(to))
})

function openQuietly(session: Session): TransportStream {
  const stream = session.openStream()
  stream.on('error', () => undefined)
  return stream
}

/** The code of the answer; 'none' when the stream ended without one. */
async function answerOf(stream: TransportStream): Promise<string> {
  const pieces: Uint8Array[] = []
  try {
    for await (const piece of stream) pieces.push(piece as Uint8Array)
  } catch {
    return 'none'
  }
  const decoded = decodeCbor(Buffer.concat(pieces).subarray(4))
  if (!decoded.ok) return 'none'
  const { error } = decoded.value as { error?: { wire: number } }
  return error ? errorCodeOf(error.wire) : 'ok'
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error) => (isHoldfastError(error) ? error.code : String(error)),
  )

const mustServe = async ({ clock, honest }: World): Promise<void> => {
  const { response } = await clock.until(call(honest, 'repository.list', {}, { clock }), 1_000)
  assert.equal(response, { repositoryIds: [] })
}

test('a request that drips byte by byte has ten seconds, and then its place is free', async (w) => {
  const { clock, session } = w
  const frame = encodeFrame({ method: 'repository.list', deadlineMs: null, request: {} })
  const streams = Array.from({ length: 256 }, () => openQuietly(session))
  const answers = streams.map(answerOf)
  for (let second = 0; second < 9; second += 1) {
    for (const stream of streams) stream.write(frame.subarray(second, second + 1))
    await clock.pass(1_000)
  }
  await mustServe(w)
  await clock.pass(1_500)
  assert.equal(new Set(await clock.until(Promise.all(answers))), new Set(['DEADLINE_EXCEEDED']))
  assert.is(await clock.until(codeOf(call(session, 'repository.list', {}, { clock }))), 'no error')
})

test('10,000 streams at once: 256 requests are worked on, the others hear that it is busy', async (w) => {
  const { clock, session, handlers } = w
  let working = 0
  handlers.status = () => {
    working += 1
    return new Promise(() => undefined)
  }
  const frame = encodeFrame({ method: 'status', deadlineMs: null, request: {} })
  const answers = Array.from({ length: 10_000 }, () => {
    const stream = openQuietly(session)
    stream.end(frame)
    return answerOf(stream)
  })
  await mustServe(w)
  assert.is(working, 256)
  const busy = await clock.until(Promise.all(answers.slice(256)))
  assert.equal(new Set(busy), new Set(['SHUTTING_DOWN']))
})

test('requests of 4 MiB that nobody finishes hold 8 MiB, not 4 MiB each', async (w) => {
  const { clock, session } = w
  let takenBytes = 0
  const head = Buffer.alloc(4)
  head.writeUInt32LE(FRAME_BYTES_MAX)
  const piece = Buffer.alloc(8 * 1024)
  const streams = Array.from({ length: 200 }, () => openQuietly(session))
  const answers = streams.map(answerOf)
  for (const stream of streams) {
    stream.write(head)
    let left = FRAME_BYTES_MAX - 1
    const more = (): void => {
      if (left < piece.length || stream.destroyed) return
      left -= piece.length
      stream.write(piece, () => {
        takenBytes += piece.length
        more()
      })
    }
    more()
  }
  await clock.pass(2_000)
  await mustServe(w)
  const edgesBytes = streams.length * (WINDOW_BYTES + HIGH_WATER_BYTES)
  assert.ok(takenBytes > 2 * (FRAME_BYTES_MAX - piece.length), `${takenBytes}: two came in`)
  assert.ok(takenBytes <= 2 * FRAME_BYTES_MAX + edgesBytes, `${takenBytes} bytes were taken`)
  await clock.pass(20_000)
  assert.equal(new Set(await clock.until(Promise.all(answers))), new Set(['DEADLINE_EXCEEDED']))
  // The room is whole again.
  const request = { method: 'repository.list', deadlineMs: null, request: { x: ' '.repeat(4e6) } }
  const large = openQuietly(session)
  const answer = answerOf(large)
  large.end(encodeFrame(request))
  assert.is(await clock.until(answer), 'INVALID_REQUEST')
})

test('strangers hold 2 MiB in requests that they do not finish, and none a large one', async (w) => {
  const { clock, dialBad } = w
  w.isStrange = true
  const headerBytes = 256 * 1024
  const begin = (session: Session, lengthBytes: number): TransportStream => {
    const stream = openQuietly(session)
    const head = Buffer.alloc(4)
    head.writeUInt32LE(lengthBytes)
    stream.write(head)
    return stream
  }
  let takenBytes = 0
  const piece = Buffer.alloc(4 * 1024)
  const sessions = await Promise.all(Array.from({ length: 12 }, dialBad))
  const streams = sessions.map((session) => begin(session, headerBytes))
  const answers = streams.map(answerOf)
  for (const stream of streams) {
    for (let left = headerBytes - 1; left >= piece.length; left -= piece.length) {
      stream.write(piece, () => {
        takenBytes += piece.length
      })
    }
  }
  for (let second = 0; second < 6; second += 1) await clock.pass(1_000)
  await mustServe(w)
  const roomBytes = 2 * 2 ** 20
  const edgesBytes = streams.length * (WINDOW_BYTES + HIGH_WATER_BYTES)
  assert.ok(takenBytes >= roomBytes - 8 * piece.length, `${takenBytes}: eight came in`)
  assert.ok(takenBytes <= roomBytes + edgesBytes, `${takenBytes} bytes were taken`)
  assert.equal(new Set(await clock.until(Promise.all(answers))), new Set(['DEADLINE_EXCEEDED']))
  const tooLarge = begin(w.session, 300 * 1024)
  assert.is(await clock.until(answerOf(tooLarge), 1_000), 'NOT_ALLOWED', 'and at once')
})

test('a stranger has two requests at once, and as many as others once it is known', async (w) => {
  const { clock, session, handlers } = w
  w.isStrange = true
  handlers.status = () => new Promise(() => undefined)
  for (let i = 0; i < 2; i += 1) {
    openQuietly(session).write(encodeFrame({ method: 'status', deadlineMs: null, request: {} }))
  }
  await clock.pass(100)
  const ask = (): Promise<string> => codeOf(call(session, 'repository.list', {}, { clock }))
  const askMany = async (): Promise<Set<string>> =>
    new Set(await clock.until(Promise.all(Array.from({ length: 50 }, ask)), 1_000))
  assert.equal(await askMany(), new Set(['UNREACHABLE']))
  await mustServe(w)
  w.isStrange = false
  assert.equal(await askMany(), new Set(['no error']))
})

test('a header that comes byte by byte costs its bytes, not an object for each', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const usedBytes = (): number => {
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return heapUsed + arrayBuffers
  }
  const lengthBytes = 200_000
  const bytes = Buffer.alloc(4 + lengthBytes)
  bytes.writeUInt32LE(lengthBytes)
  const before = usedBytes()
  let grownBytes = 0
  let at = 0
  const reader = {
    next: async () => {
      if (at === lengthBytes) grownBytes = usedBytes() - before
      at += 1
      return at > lengthBytes ? null : bytes.subarray(at - 1, at)
    },
    unread: () => undefined,
  }
  const frame = await readFrame(reader as unknown as StreamReader)
  assert.equal(frame, { ok: false, defect: 'the header is cut off' })
  assert.ok(grownBytes < 5e6, `${grownBytes} bytes for ${lengthBytes}`)
})

test('a length of 4 GiB is refused before a byte of it is read', async ({ clock, session }) => {
  const stream = openQuietly(session)
  const answer = answerOf(stream)
  stream.write(Buffer.from('ffffffff', 'hex'))
  assert.is(await clock.until(answer, 1_000), 'INVALID_REQUEST')
})

test('names of methods that objects have by nature are unknown', async (w) => {
  const { clock, session } = w
  for (const method of ['constructor', 'toString', 'hasOwnProperty', '__proto__', 'blob.store']) {
    const stream = openQuietly(session)
    const answer = answerOf(stream)
    stream.end(encodeFrame({ method, deadlineMs: null, request: {} }))
    assert.is(await clock.until(answer, 1_000), 'UNKNOWN_METHOD', method)
  }
  await mustServe(w)
})

/** A session whose other end answers every request so. */
async function answeredBy(
  respond: (stream: TransportStream) => void,
): Promise<{ clock: VirtualClock; session: Session & { streamCount: number } }> {
  const clock = new VirtualClock()
  const network = new MemoryNetwork({ clock })
  const [caller, liar] = [1, 2].map((number) => network.endpoint({ identity: identityOf(number) }))
  liar!.onSession((session) =>
    session.onStream((stream) => {
      stream.on('error', () => undefined)
      stream.resume()
      respond(stream)
    }),
  )
  const to = { ...liar!.local, publicKey: identityOf(2).publicKey }
  const session = await clock.until(caller!.connect(to))
  return { clock, session: session as Session & { streamCount: number } }
}

const LIES: readonly [what: string, bytes: Buffer, code: string][] = [
  ['nothing', Buffer.alloc(0), 'UNREACHABLE'],
  ['rubbish', Buffer.from('03000000ff42ff', 'hex'), 'INTERNAL'],
  ['half a frame', Buffer.from('0500000080', 'hex'), 'INTERNAL'],
  ['4 GiB', Buffer.from('ffffffff', 'hex'), 'INTERNAL'],
  ['a number', frameOf(5), 'INTERNAL'],
  ['null', frameOf(null), 'INTERNAL'],
  ['another shape', frameOf({ ok: { repositoryIds: 7 } }), 'INTERNAL'],
  ['a field too many', frameOf({ ok: { repositoryIds: [], more: 1 } }), 'INTERNAL'],
  ['a note that nobody asked for', frameOf({ note: { storedBytes: 1 } }), 'INTERNAL'],
  ['an error that is none', frameOf({ error: 'no map' }), 'INTERNAL'],
  ['an error without a number', frameOf({ error: { wire: 'x', detail: {} } }), 'INTERNAL'],
  ['an error from the future', frameOf({ error: { wire: 1e9, detail: 'new' } }), 'INTERNAL'],
]

function frameOf(value: unknown): Buffer {
  return Buffer.from(encodeFrame(value))
}

test('whatever a server answers, the caller gets a coded error and keeps no stream', async () => {
  for (const [what, bytes, code] of LIES) {
    const { clock, session } = await answeredBy((stream) => stream.end(bytes))
    const said = codeOf(call(session, 'repository.list', {}, { clock }))
    assert.is(await clock.until(said, 5_000), code, what)
    await clock.pass(100)
    assert.is(session.streamCount, 0, what)
  }
})

test('an answer that drips, and notes without end, stop at the deadline', async () => {
  const note = { storedBytes: 1, forwardedBytes: 0, backupServer: null }
  const grant = new Uint8Array(4)
  const request = { repositoryId: '01'.repeat(16), blobId: '02'.repeat(32), sizeBytes: 1, grant }
  for (const part of [Buffer.from([0]), Buffer.from(encodeFrame({ note }))]) {
    const { clock, session } = await answeredBy((stream) => {
      const drip = (): void => {
        if (stream.destroyed) return
        stream.write(part)
        clock.setTimer(drip, 500)
      }
      stream.write(Buffer.from(part.length === 1 ? [200, 0, 0, 0] : []))
      drip()
    })
    const said = codeOf(call(session, 'blob.store', request, { clock, deadlineMs: 5_000 }))
    assert.is(await clock.until(said, 6_000), 'DEADLINE_EXCEEDED')
    await clock.pass(1_000)
    assert.is(session.streamCount, 0)
  }
})

test.run()
