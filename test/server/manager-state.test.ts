// test/server/manager-state.test.ts — does a server remember the newest catalog over its restart?
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FileManagerState } from '../../src/server/manager-state.ts'
import { realFileSystem } from '../../src/server/store/file-system.ts'
import { codeOf } from './support/code-of.ts'

const test = suite<{ folder: string; nowMs: number }>('server: what it saw of the manager')
const clusterId = 'ab'.repeat(16)

test.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'holdfast-state-'))
  context.nowMs = 0
})
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }))

const open = (context: { folder: string; nowMs: number }): Promise<FileManagerState> =>
  FileManagerState.open({
    fs: realFileSystem,
    path: join(context.folder, 'state.json'),
    nowMs: () => context.nowMs,
  })

test('the highest position survives a restart', async (context) => {
  const state = await open(context)
  assert.is(state.highest, null)
  assert.is(await state.note({ clusterId, epoch: 2, operation: 9 }), null)
  assert.equal((await open(context)).highest, { clusterId, epoch: 2, operation: 9 })
})

test('a busy manager does not make the server write at every heartbeat', async (context) => {
  const state = await open(context)
  await state.note({ clusterId, epoch: 1, operation: 1 })
  await state.note({ clusterId, epoch: 1, operation: 2 })
  assert.is((await open(context)).highest?.operation, 1)
  context.nowMs = 6_000
  await state.note({ clusterId, epoch: 1, operation: 3 })
  assert.is((await open(context)).highest?.operation, 3)
  await state.note({ clusterId, epoch: 1, operation: 4 })
  await state.save()
  assert.is((await open(context)).highest?.operation, 4)
})

test('an older catalog is told, and never replaces the newer memory', async (context) => {
  const state = await open(context)
  await state.note({ clusterId, epoch: 2, operation: 5 })
  assert.match((await state.note({ clusterId, epoch: 2, operation: 4 })) ?? '', 'is older')
  assert.match((await state.note({ clusterId, epoch: 1, operation: 99 })) ?? '', 'is older')
  assert.is(await state.note({ clusterId, epoch: 3, operation: 0 }), null)
  assert.equal((await open(context)).highest, { clusterId, epoch: 3, operation: 0 })
})

test('a damaged state file stops the start rather than being forgotten', async (context) => {
  const path = join(context.folder, 'state.json')
  for (const text of ['', 'null', '{', '{"version":1}', '{"version":2,"clusterId":"x"}']) {
    await writeFile(path, text)
    assert.is(await codeOf(open(context)), 'BAD_FILE', text)
  }
})

test('a crash in the middle of a write leaves the old state', async (context) => {
  const state = await open(context)
  await state.note({ clusterId, epoch: 1, operation: 1 })
  await writeFile(join(context.folder, 'state.json.part'), '{"vers')
  const again = await open(context)
  assert.is(again.highest?.operation, 1)
  assert.is(await again.note({ clusterId, epoch: 2, operation: 2 }), null)
  assert.match(await readFile(join(context.folder, 'state.json'), 'utf8'), '"epoch":2')
})

test('a disk that is full does not end the membership', async (context) => {
  const fs = {
    ...realFileSystem,
    create: async (): Promise<never> => {
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
    },
  }
  const path = join(context.folder, 'state.json')
  const state = await FileManagerState.open({ fs, path, nowMs: () => 0 })
  assert.is(await state.note({ clusterId, epoch: 1, operation: 1 }), null)
  assert.is(state.highest?.operation, 1)
})

test.run()
