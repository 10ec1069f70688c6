// test/protocol/qlog/folder.test.ts — are records kept on the disk, and can a bad disk do harm?
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createEndpoint, systemClock } from '../../../protocol/index.ts'
import { type LogFile, QlogFolder } from '../../../protocol/qlog/folder.ts'
import { identityOf } from '../../support/identity.ts'
import { fatesOf, readQlog } from '../../support/qlog-records.ts'

const test = suite('protocol: qlog files')
const NEVER = { setTimer: () => ({ cancel() {} }) }
const RECORD = `\u001e${JSON.stringify({ text: 'x'.repeat(1_000) })}\n`
const LAST = '\u001e{"last":true}\n'
let dir = ''

test.before.each(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-qlog-'))
})
test.after.each(() => rmSync(dir, { recursive: true, force: true }))

/** A server that answers with what it gets, a client that sends; what came back. */
async function echo(qlog: { dir: string; onError?: (error: Error) => void }): Promise<number> {
  const bind = { host: '127.0.0.1', port: 0 }
  const server = await createEndpoint({ bind, identity: identityOf(2), qlog })
  const client = await createEndpoint({ bind, identity: identityOf(1), qlog })
  server.onSession((session) => session.onStream((stream) => stream.pipe(stream)))
  const to = { ...server.local, publicKey: identityOf(2).publicKey }
  const stream = (await client.connect(to)).openStream()
  stream.end(Buffer.alloc(300_000, 7))
  let received = 0
  for await (const bytes of stream) received += (bytes as Buffer).length
  await client.close()
  await server.close()
  return received
}

test('both ends of a connection on a real socket leave a whole record, for their owner only', async () => {
  const folder = join(dir, 'new', 'folder')
  assert.is(await echo({ dir: folder, onError: assert.unreachable }), 300_000)
  const names = readdirSync(folder).sort()
  assert.is(names.length, 2)
  assert.match(names.join(), /^([0-9a-f]{16})_client\.sqlog,\1_server\.sqlog$/)
  assert.is(statSync(folder).mode & 0o777, 0o700)
  for (const name of names) {
    const path = join(folder, name)
    assert.is(statSync(path).mode & 0o777, 0o600)
    const { events } = readQlog(readFileSync(path, 'utf8'))
    assert.ok(fatesOf(events).acked > 0)
    assert.equal(events.at(-1)!.data, { new: 'closed' })
  }
})

test('a folder that cannot be written to costs the record, not the connection', async () => {
  const path = join(dir, 'a-file')
  writeFileSync(path, '')
  const errors: Error[] = []
  assert.is(await echo({ dir: path, onError: (error) => errors.push(error) }), 300_000)
  assert.is(errors.length, 2, 'one for each end')
})

test('a record never writes over another file', () => {
  writeFileSync(join(dir, 'cid_client.sqlog'), 'mine')
  const errors: Error[] = []
  const folder = new QlogFolder({ dir, clock: NEVER, onError: (error) => errors.push(error) })
  assert.is(folder.open('cid_client'), null)
  assert.is(errors.length, 1)
  assert.is(readFileSync(join(dir, 'cid_client.sqlog'), 'utf8'), 'mine')
})

test('a disk that fails in the middle ends the record in silence', async () => {
  const errors: Error[] = []
  let closed = 0
  const failing: LogFile = {
    write: (_bytes, _from, done) => setImmediate(done, new Error('no space left'), 0),
    close: (done) => {
      closed += 1
      done()
    },
  }
  const onError = (error: Error): void => void errors.push(error)
  const folder = new QlogFolder({ dir, clock: NEVER, onError, openFile: () => failing })
  const sink = folder.open('cid_client')!
  for (let i = 0; i < 200; i += 1) sink.write(RECORD)
  await folder.settled()
  sink.write(RECORD)
  sink.end(LAST)
  assert.equal([errors.length, closed], [1, 1])
  assert.is(errors[0]!.message, 'no space left')
})

test('a disk that hangs holds a bounded number of bytes in memory', () => {
  let taken = 0
  const hanging: LogFile = { write: (bytes) => (taken += bytes.length), close: () => {} }
  const folder = new QlogFolder({ dir, clock: NEVER, openFile: () => hanging })
  const sink = folder.open('cid_client')!
  const wanted = 20_000
  for (let i = 0; i < wanted; i += 1) sink.write(RECORD)
  const heldBytes = (wanted - sink.leftOut) * RECORD.length - taken
  assert.ok(taken > 0 && heldBytes <= 8 * 2 ** 20, `${heldBytes} bytes`)
  assert.ok(sink.leftOut > 5_000, `${sink.leftOut} left out`)
})

test('short writes and a full file leave whole records, the last one among them', async () => {
  const parts: Buffer[] = []
  const short: LogFile = {
    write: (bytes, from, done) => {
      const part = bytes.subarray(from, from + 4_000)
      parts.push(Buffer.from(part))
      setImmediate(done, null, part.length)
    },
    close: (done) => done(),
  }
  const openFile = (): LogFile => short
  const folder = new QlogFolder({ dir, clock: NEVER, openFile, fileBytesMax: 100_000 })
  const sink = folder.open('cid_client')!
  for (let i = 0; i < 150; i += 1) sink.write(RECORD)
  sink.end(LAST)
  await folder.settled()
  const text = Buffer.concat(parts).toString()
  const kept = Math.floor(100_000 / RECORD.length)
  assert.is(text, RECORD.repeat(kept) + LAST)
  assert.is(sink.leftOut, 150 - kept)
})

test('a killed process leaves a header, and all but the last second', async () => {
  let fire = (): void => {}
  const clock = {
    setTimer: (act: () => void, delayMs: number) => {
      assert.is(delayMs, 1_000)
      fire = act
      return { cancel() {} }
    },
  }
  const folder = new QlogFolder({ dir, clock })
  const sink = folder.open('cid_server')!
  const path = join(dir, 'cid_server.sqlog')
  const isOnDisk = async (text: string): Promise<void> => {
    const deadlineMs = systemClock.nowMs() + 5_000
    while (statSync(path).size < text.length && systemClock.nowMs() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.is(readFileSync(path, 'utf8'), text)
  }
  sink.write(RECORD)
  await isOnDisk(RECORD)
  sink.write(RECORD)
  sink.write(RECORD)
  fire()
  await isOnDisk(RECORD.repeat(3))
  sink.end(LAST)
  await folder.settled()
})

test.run()
