// test/client-tui/screen.test.ts — does a person at the screen get what the keys promise?
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClientEvent } from '../../src/client/index.ts'
import { HoldfastError } from '../../src/errors.ts'
import { clusterStatus, FakeClient, restored, Stage, snapshot, stored } from './support/stage.ts'

const test = suite<{ stage: Stage }>('client-tui: screen')

test.before.each(async (context) => {
  context.stage = await Stage.open()
})
test.after.each(({ stage }) => stage.close())

const blob = (change: Partial<Extract<ClientEvent, { type: 'blob' }>>): ClientEvent => ({
  type: 'blob',
  state: 'sending',
  blobId: 'b'.repeat(64),
  sizeBytes: 1_000,
  primary: { number: 2, name: 'server-2' },
  backupServer: { number: 3, name: 'server-3' },
  storedBytes: 500,
  forwardedBytes: 250,
  message: '',
  ...change,
})

test('the first screen lists the three files with key, label, base name and size', async (context) => {
  const text = await context.stage.shows('server-4')
  assert.match(text, /1 {2}FILE_1 {2}file-1\.txt +1000 B/)
  assert.match(text, /2 {2}FILE_2 {2}file-2\.txt +2\.0 KiB/)
  assert.match(text, /3 {2}FILE_3 {2}file-3\.txt +2\.9 KiB/)
  assert.match(text, 'server-1 up')
  assert.match(text, 'q quit')
})

test('a number and Enter send that file, once, with no further question', async ({ stage }) => {
  stage.press('2')
  await stage.shows('FILE_2 file-2.txt: press Enter')
  stage.press('\r')
  await stage.shows('storing file-2.txt')
  assert.equal(
    stage.client.backups.map(({ paths }) => paths),
    [[join(stage.folder, 'file-2.txt')]],
  )
  stage.press('\n')
  await stage.shows('Wait until this is done')
  assert.is(stage.client.backups.length, 1)
})

test('progress shows the server, its backup server, and how far each is', async ({ stage }) => {
  stage.press('1\r')
  await stage.shows('storing file-1.txt')
  const onEvent = stage.client.backups[0]?.onEvent
  onEvent?.(blob({}))
  const text = await stage.shows(/to +server-2 .* 50 %/)
  assert.match(text, /and +server-3 .* 25 %/)
})

test('stored is said when the engine says so, and the list has it with its servers', async (context) => {
  const { stage } = context
  stage.client.answer = async (request) => {
    request.onEvent?.(blob({ storedBytes: 1_000, forwardedBytes: 1_000, state: 'replicated' }))
    stage.client.snapshots = [snapshot('file-1.txt')]
    return stored({})
  }
  stage.press('1\r')
  await stage.shows('file-1.txt is stored on server-2 and server-3; snapshot abcdef12')
  await stage.shows(/abcdef12 .* 2\.0 KiB file-1\.txt +on server-2, 3/)
})

test('a failure says what to do, and nothing says stored', async ({ stage }) => {
  stage.client.answer = () =>
    Promise.reject(new HoldfastError('NOT_ENOUGH_SERVERS', 'one server is up: start another'))
  stage.press('3\r')
  const text = await stage.shows('storing file-3.txt failed')
  assert.match(text, 'one server is up: start another [NOT_ENOUGH_SERVERS]')
  assert.not.match(text, /is stored on/)
})

test('a typed path is sent, with spaces; Escape gives up, Backspace corrects', async (context) => {
  const { stage } = context
  stage.press('t')
  await stage.shows('Path to store:')
  stage.press('/gone')
  await stage.shows('Path to store: /gone')
  stage.press('\u001b')
  await stage.shows('Pick a file')
  assert.is(stage.client.backups.length, 0)
  stage.press('t')
  await stage.shows('Path to store:')
  stage.press('/a file1\u007f')
  await stage.shows(/Path to store: \/a file▏/)
  stage.press('\r')
  await stage.shows('storing a file')
  assert.equal(
    stage.client.backups.map(({ paths }) => paths),
    [['/a file']],
  )
})

test('marked snapshots are restored where the person says', async ({ stage }) => {
  stage.client.snapshots = [snapshot('file-1.txt')]
  const again = await Stage.open({ client: stage.client })
  try {
    await again.shows('abcdef12')
    again.press('\t\r')
    await again.shows('Restore to folder:')
    assert.is(stage.client.restores.length, 0, 'one Enter asks, it does not answer')
    again.press('\u0015/tmp/elsewhere\r')
    await again.shows('file-1.txt is restored to /tmp/elsewhere')
    assert.equal(
      stage.client.restores.map(({ target }) => target),
      ['/tmp/elsewhere'],
    )
  } finally {
    await again.close()
  }
})

test('a bad copy is named after a restore', async ({ stage }) => {
  stage.client.snapshots = [snapshot('file-1.txt')]
  const server = { number: 3, name: 'server-3' }
  stage.client.restoreAnswer = async () =>
    restored({ badReplicas: [{ server, blobId: 'b'.repeat(64) }] })
  const again = await Stage.open({ client: stage.client })
  try {
    await again.shows('abcdef12')
    again.press('r')
    await again.shows('Restore to folder:')
    again.press('\r')
    await again.shows('server-3 has a bad copy')
  } finally {
    await again.close()
  }
})

test('file names are text: neither markup nor control bytes reach the terminal', async (context) => {
  const { stage } = context
  stage.client.snapshots = [snapshot('{red-fg}x{bold}\u001b[2J')]
  const again = await Stage.open({ client: stage.client })
  try {
    await again.shows('{red-fg}x{bold}\\x1b[2J')
    assert.not.match(again.app.screenshot(), '\u001b[2J')
  } finally {
    await again.close()
  }
})

test('dead servers, thin data and a manager that is away are told', async ({ stage }) => {
  const client = new FakeClient()
  const [one, ...others] = clusterStatus({}).servers
  client.statusAnswer = async () =>
    clusterStatus({
      servers: one ? [{ ...one, state: 'dead' }, ...others] : [],
      blobs: { total: 9, underReplicated: 3, lost: 0 },
    })
  const thin = await Stage.open({ client })
  try {
    await thin.shows('server-1 dead')
    await thin.shows('3 of 9 blobs lack a second copy: store again')
    client.statusAnswer = () =>
      Promise.reject(new HoldfastError('UNREACHABLE', 'nobody answers at 127.0.0.1:7400'))
    await thin.shows('nobody answers at 127.0.0.1:7400')
  } finally {
    await thin.close()
  }
  assert.ok(stage)
})

test('help shows every key; q and Ctrl-C leave', async ({ stage }) => {
  stage.press('?')
  const text = await stage.shows('pick the second file')
  assert.match(text, 'leave (Ctrl-C too)')
  stage.press('?')
  stage.press('q')
  await stage.app.done
  const other = await Stage.open()
  other.press('\u0003')
  await other.app.done
  await other.close()
})

for (const [columns, rows] of [
  [60, 22],
  [132, 50],
] as const) {
  test(`from 80 × 24 to ${columns} × ${rows} everything finds its place`, async ({ stage }) => {
    await stage.shows('server-4')
    stage.resize(columns, rows)
    const text = await stage.shows(new RegExp(`^┌─ holdfast .{${columns - 13}}┐$`, 'm'))
    for (const words of ['FILE_1', 'FILE_2', 'FILE_3', 'Pick a file', '1-3 pick', ' stored ─']) {
      assert.match(text, words)
    }
    assert.is(stage.lines.length, rows)
  })
}

test('on a screen of 40 × 12 a file can be stored and restored, in sight', async ({ stage }) => {
  stage.client.snapshots = [snapshot('file-2.txt')]
  stage.resize(40, 12)
  stage.press('3')
  const text = await stage.shows('3  FILE_3')
  assert.match(text, '? help  q quit')
  assert.is(stage.lines.length, 12)
  stage.press('\r')
  await stage.shows('storing file-3.txt')
  const onEvent = stage.client.backups[0]?.onEvent
  onEvent?.({ type: 'total', files: 1, bytes: 4_000_000, final: true })
  onEvent?.({ type: 'progress', files: 0, bytes: 1_000_000, newBytes: 0, storedBytes: 2 ** 20 })
  onEvent?.(blob({}))
  await stage.shows(/storing \S+ {2}25 %, 1\.0 MiB/)
  await stage.shows(/to +server-2 .* 50 %/)
  stage.client.answer = async () => stored({})
  const done = await Stage.open({ client: stage.client, columns: 40, rows: 12 })
  try {
    done.press('\t')
    await done.shows(/▸ abcdef12 \S+ +on server-2, 3/)
  } finally {
    await done.close()
  }
})

test('where the new key lies stays on the screen when all is stored', async ({ stage }) => {
  stage.client.answer = async (request) => {
    const message = 'made the repository key /k; keep a copy elsewhere'
    request.onEvent?.({ type: 'notice', code: 'KEY_CREATED', message })
    return stored({})
  }
  stage.press('1\r')
  const text = await stage.shows(/stored file-1\.txt/)
  assert.match(text, 'made the repository key /k; keep a copy elsewhere')
})

test('what another client has stored comes into the list by itself', async ({ stage }) => {
  await stage.shows('server-4 up')
  stage.client.snapshots = [snapshot('from-elsewhere.txt')]
  stage.client.statusAnswer = async () => clusterStatus({ snapshots: 7 })
  await stage.shows('from-elsewhere.txt')
})

test('a terminal of eight colours, such as tmux, shows nothing in black', async ({ stage }) => {
  const { TERM } = process.env
  process.env.TERM = 'tmux-256color'
  const inTmux = await Stage.open({ client: stage.client })
  try {
    await inTmux.shows('Nothing under way.')
    assert.not.match(inTmux.app.screenshot(), '\u001b[30m')
  } finally {
    if (TERM === undefined) delete process.env.TERM
    else process.env.TERM = TERM
    await inTmux.close()
  }
})

test.run()
