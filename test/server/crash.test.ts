// test/server/crash.test.ts — what is on disk after kill -9, and was anything promised that is gone?
import { spawn } from 'node:child_process'
import { createHash, randomInt } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FAILPOINTS } from '../../src/server/failpoints.ts'
import { DiskStore } from '../../src/server/store/disk-store.ts'
import { makeMemoryFolder } from '../support/memory-folder.ts'

const CHILD = resolve(import.meta.dirname, 'support/crash-child.ts')
const BLOBS = 12
const seed = Number(process.env.SEED ?? randomInt(2 ** 31))
const test = suite<{ folder: string }>(`server: killed, replay with SEED=${seed}`)

test.before(async (context) => {
  context.folder = await makeMemoryFolder('holdfast-crash-')
})
test.after(({ folder }) => rm(folder, { recursive: true, force: true }))

for (const [place, failpoint] of FAILPOINTS.entries()) {
  test(`killed ${failpoint}: what was called stored is on both disks, whole`, async (context) => {
    const { folder } = context
    const nth = String(1 + ((seed + place * 7) % (BLOBS - 2)))
    const run = await runChild(folder, [String(seed + place), String(BLOBS), failpoint, nth])
    assert.is(run.signal, 'SIGKILL', `${failpoint} ${nth} was reached`)
    await checkDisks(folder, run.stored)
    const again = await runChild(folder, [String(seed + place), String(BLOBS)])
    assert.is(again.stored.length, BLOBS, 'the same command finishes after a restart')
    await checkDisks(folder, again.stored)
  })
}

test('killed at any moment: what was called stored is on both disks, whole', async (context) => {
  const { folder } = context
  for (let round = 0; round < 4; round += 1) {
    const roundSeed = seed + 100 + round
    const killAfterStored = 1 + ((seed + round * 5) % 9)
    const args = [String(roundSeed), String(BLOBS * 3)]
    const run = await runChild(folder, args, { killAfterStored, killDelayMs: round * 3 })
    assert.is(run.signal, 'SIGKILL')
    assert.ok(run.stored.length >= killAfterStored)
    await checkDisks(folder, run.stored)
  }
})

/** Opens both stores as a start does, and reads every byte. */
async function checkDisks(folder: string, stored: string[]): Promise<void> {
  for (const number of [1, 2]) {
    const root = join(folder, `server-${number}`)
    const { store, problems } = await DiskStore.open({
      folder: root,
      reserveBytes: 0,
      nowMs: () => performance.now(),
    })
    assert.equal(problems, [])
    assert.equal(await readdir(join(root, 'tmp')), [])
    for (const { blobId } of store.list()) {
      const bytes = await readFile(join(root, 'blobs', blobId.slice(0, 3), blobId))
      assert.is(createHash('sha256').update(bytes).digest('hex'), blobId)
    }
    for (const blobId of stored) assert.ok(store.sizeBytes(blobId), `${blobId} on ${number}`)
  }
}

interface Run {
  signal: NodeJS.Signals | null
  stored: string[]
}

function runChild(
  folder: string,
  args: string[],
  kill: { killAfterStored: number; killDelayMs: number } | null = null,
): Promise<Run> {
  const child = spawn(process.execPath, [CHILD, folder, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  const stored = (): string[] =>
    out
      .split('\n')
      .slice(0, -1)
      .filter((line) => line.startsWith('stored '))
      .map((line) => line.slice('stored '.length))
  let killing = false
  child.stdout.on('data', (bytes: Buffer) => {
    out += bytes.toString('utf8')
    if (!kill || killing || stored().length < kill.killAfterStored) return
    killing = true
    setTimeout(() => child.kill('SIGKILL'), kill.killDelayMs)
  })
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (_code, signal) => done({ signal, stored: stored() }))
  })
}

test.run()
