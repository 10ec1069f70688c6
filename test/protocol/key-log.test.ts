// test/protocol/key-log.test.ts — can nobody but its owner read the keys, and can the dissector?
import { createHmac } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createEndpoint } from '../../protocol/index.ts'
import { openKeyLog } from '../../protocol/key-log.ts'
import { aes256Gcm } from '../../protocol/protection/aes-256-gcm.ts'
import { chacha20Poly1305 } from '../../protocol/protection/chacha20-poly1305.ts'
import { identityOf } from '../support/identity.ts'

const test = suite('protocol: key log')
const CID = [0x04030201, 0x08070605] as const
const SECRET = Buffer.alloc(32, 7)
let dir = ''
let path = ''

test.before.each(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-key-log-'))
  path = join(dir, 'keys.log')
})
test.after.each(() => rmSync(dir, { recursive: true, force: true }))

/** By the words of the page: HMAC-BLAKE2b-512(secret, label ‖ 0x01), cut. */
const derived = (label: string, lengthBytes: number): string =>
  createHmac('blake2b512', SECRET)
    .update(`${label}\u0001`)
    .digest('hex')
    .slice(0, 2 * lengthBytes)

const lineOf = (phase: number, suiteName: string): string =>
  `HOLDFAST_KEY 0102030405060708 ${phase} ${suiteName} ${derived('key', 32)} ${derived('iv', 4)}\n`

test('lines are there at once, after those of earlier runs, for the owner only', () => {
  const first = openKeyLog(path)
  first.write({ cid: CID, phase: 0, suite: chacha20Poly1305, secret: SECRET })
  assert.is(readFileSync(path, 'utf8'), lineOf(0, 'chacha20-poly1305'))
  assert.is(statSync(path).mode & 0o777, 0o600)
  first.close()
  const second = openKeyLog(path)
  second.write({ cid: CID, phase: 3, suite: aes256Gcm, secret: SECRET })
  second.close()
  const both = lineOf(0, 'chacha20-poly1305') + lineOf(3, 'aes-256-gcm')
  assert.is(readFileSync(path, 'utf8'), both)
})

test('a file that others can read is refused, and nothing is written to it', () => {
  writeFileSync(path, '')
  chmodSync(path, 0o640)
  assert.throws(() => openKeyLog(path), /others can read the key log .*chmod 600/)
  assert.is(readFileSync(path, 'utf8'), '')
  assert.throws(() => openKeyLog(join(dir, 'no', 'folder')), /cannot be opened/)
})

test('after close nothing is written any more', () => {
  const log = openKeyLog(path)
  log.close()
  log.close()
  log.write({ cid: CID, phase: 0, suite: aes256Gcm, secret: SECRET })
  assert.is(readFileSync(path, 'utf8'), '')
})

test('an endpoint on a real socket writes a line for each direction, and none unasked', async () => {
  const bind = { host: '127.0.0.1', port: 0 }
  const server = await createEndpoint({ bind, identity: identityOf(2) })
  const client = await createEndpoint({ bind, identity: identityOf(1), keyLogPath: path })
  server.onSession(() => {})
  await client.connect({ ...server.local, publicKey: identityOf(2).publicKey })
  await Promise.all([client.close(), server.close()])
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  assert.is(lines.length, 2, 'the client was asked, the server was not')
  const cids = new Set<string | undefined>()
  for (const line of lines) {
    const form =
      /^HOLDFAST_KEY ([0-9a-f]{16}) 0 (?:chacha20-poly1305|aes-256-gcm) [0-9a-f]{64} [0-9a-f]{8}$/
    cids.add(line.match(form)?.[1])
  }
  assert.is(cids.size, 2)
  assert.not(cids.has(undefined))
})

test.run()
