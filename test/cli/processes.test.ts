// test/cli/processes.test.ts — do commands, as real processes, keep what the README promises?
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Cluster, type Running } from '../support/cluster.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { writeRandomTree } from '../support/random-tree.ts'
import { testUnless } from '../support/skip.ts'

const TIMING = { heartbeatMs: 300, suspectAfterMissed: 3, deadMs: 60_000 }
const WAIT_MS_MAX = 60_000
const SEED = 7

interface Shared {
  cluster: Cluster
  running: Running
  pids: Record<string, number>
}

/** These share one cluster, in this order; the last one breaks it. */
const test = suite<Shared>('cli: commands')

test.before(async (context) => {
  context.cluster = await Cluster.prepare({ timing: TIMING })
  Object.assign(context, await up(context.cluster))
})
test.after(({ cluster }) => cluster.stop())

test('up prints one line that begins with ready and has the pids', ({ running, pids }) => {
  assert.is(running.lines.length, 1)
  assert.equal(Object.keys(pids), ['manager', 'server-1', 'server-2', 'server-3', 'server-4'])
  for (const [name, pid] of Object.entries(pids)) {
    assert.ok(isAlive(pid), `${name} runs`)
    assert.match(running.lines[0] ?? '', `${name} ${pid}`)
  }
})

test('before the first backup there are no snapshots, and that is no error', async (context) => {
  const none = await context.cluster.run(['snapshots'])
  assert.equal([none.exitCode, none.stdout, none.stderr], [0, '', ''])
})

test('an interrupted backup exits 130 and says nothing of stored', async ({ cluster }) => {
  const source = join(cluster.folder, 'large')
  await writeRandomTree(source, { seed: SEED, count: 40, meanBytes: 2_000_000 })
  const backup = cluster.begin(['backup', source, '--json', '--verbose'])
  await until('data moves', () => backup.errorLines.some((line) => line.includes('"blob"')))
  backup.child.kill('SIGINT')
  const outcome = await backup.done
  assert.is(outcome.exitCode, 130, outcome.stderr)
  assert.is(outcome.stdout, '')
  assert.is(errorOf(outcome.stderr).code, 'CANCELLED')
  assert.is((await cluster.run(['snapshots'])).stdout, '')
})

test('a path that is not there is told, and the exit code is 3', async ({ cluster }) => {
  const gone = join(cluster.folder, 'gone')
  const backup = await cluster.run(['backup', join(cluster.folder, 'files'), gone, '--json'])
  assert.is(backup.exitCode, 3)
  const said = backup.stderr.split('\n').find((line) => line.includes('"problem"')) ?? ''
  const problem = JSON.parse(said) as { code: string; path: string; message: string }
  assert.equal([problem.code, problem.path], ['ENOENT', gone])
  assert.is(problem.message.split(gone).length, 2, 'the path is named once')
})

test('a second up on the same data names the folder and leaves the first alone', async (context) => {
  const { cluster, pids } = context
  const second = await cluster.run(['up', '--json'])
  assert.is(second.exitCode, 11)
  assert.is(errorOf(second.stderr).code, 'DATA_FOLDER_LOCKED')
  assert.ok(Object.values(pids).every(isAlive))
  assert.ok(existsSync(join(cluster.data, 'pids.json')))
})

test('backup, kill -9 of a server, restore: every byte comes back', async (context) => {
  const { cluster, running, pids } = context
  const source = join(cluster.folder, 'source')
  await writeRandomTree(source, { seed: SEED, count: 300, meanBytes: 20_000 })
  const backup = await cluster.run(['--json', 'backup', source, '--tag', 'first'])
  assert.is(backup.exitCode, 0, backup.stderr)
  assert.is(backup.objects.length, 1, 'one object: the summary')
  const summary = backup.objects[0] ?? {}
  assert.is(summary.type, 'summary')
  for (const field of ['files', 'bytes', 'newBytes', 'storedBytes', 'seconds'] as const) {
    assert.type(summary[field], 'number', field)
  }
  const info = (await cluster.run(['snapshots', '--json'])).objects.at(-1)
  assert.equal([info?.snapshot, info?.tags], [summary.snapshot, ['first']])
  const status = await cluster.status()
  assert.equal(status?.blobs.underReplicated, 0)
  assert.equal(
    status?.servers.map(({ number, name, state }) => `${number} ${name} ${state}`),
    [1, 2, 3, 4].map((number) => `${number} server-${number} up`),
  )
  const listed = await cluster.run(['ls', 'latest', '--json'])
  assert.is(listed.objects.filter(({ type }) => type === 'file').length, summary.files)

  process.kill(pids['server-2'] ?? 0, 'SIGKILL')
  await until('the loss is told', () =>
    running.errorLines.some((line) => /server-2 ended \(SIGKILL\).*server-2\.log/.test(line)),
  )
  const target = join(cluster.folder, 'target')
  const restore = await cluster.run(['restore', 'latest', '--target', target])
  assert.is(restore.exitCode, 0, restore.stderr)
  assert.equal(await compareTrees(source, join(target, source)), [])
})

test('a reader that has seen enough is no error', async ({ cluster }) => {
  const ls = cluster.begin(['ls', 'latest', '--json'])
  ls.child.stdout?.once('data', () => ls.child.stdout?.destroy())
  const outcome = await ls.done
  assert.equal([outcome.exitCode, outcome.stderr], [0, ''])
})

test('Ctrl-C ends up and every node', async ({ cluster, running, pids }) => {
  running.child.kill('SIGINT')
  assert.is((await running.done).exitCode, 0)
  for (const [name, pid] of Object.entries(pids)) assert.not.ok(isAlive(pid), `${name} runs on`)
  assert.not.ok(existsSync(join(cluster.data, 'pids.json')))
})

test.run()

const alone = suite<{ cluster: Cluster }>('cli: up alone')

alone.before.each(async (context) => {
  context.cluster = await Cluster.prepare({ servers: 2, timing: TIMING })
})
alone.after.each(({ cluster }) => cluster.stop())

alone('errors are objects on standard error with --json, words without', async ({ cluster }) => {
  const object = await cluster.run(['status', '--json'])
  assert.is(object.exitCode, 1)
  assert.is(object.stdout, '')
  const { code, exitCode, message } = errorOf(object.stderr)
  assert.equal([code, exitCode], ['NOT_ENROLLED', 1])
  const words = await cluster.run(['status'])
  assert.is(words.stderr, `holdfast: ${message} [NOT_ENROLLED]\n`)
  const wrong = await cluster.run(['bogus', '--json'])
  assert.is(errorOf(wrong.stderr).code, 'BAD_USAGE')
  const screen = await cluster.run(['client'])
  assert.is(screen.exitCode, 1)
  assert.match(screen.stderr, 'needs a terminal')
})

alone('a port in use names port and config field, exits 1, leaves no node', async ({ cluster }) => {
  const config = JSON.parse(await readFile(cluster.config, 'utf8'))
  const { port } = config.servers[1]
  const socket = createSocket('udp4')
  await new Promise<void>((settle) => socket.bind(port, '127.0.0.1', settle))
  try {
    const outcome = await cluster.run(['up', '--json'])
    assert.is(outcome.exitCode, 1)
    const { code, message } = errorOf(outcome.stderr)
    assert.is(code, 'PORT_IN_USE')
    assert.match(String(message), `port ${port}`)
    assert.match(String(message), 'servers[1].port')
    assert.is(outcome.stdout, '')
  } finally {
    socket.close()
  }
})

alone('nodes end with the up that was killed, so that the next can start', async ({ cluster }) => {
  const first = await up(cluster)
  first.running.child.kill('SIGKILL')
  await first.running.done
  await until('all nodes ended', () => !Object.values(first.pids).some(isAlive))
  const second = await up(cluster)
  second.running.child.kill('SIGTERM')
  assert.is((await second.running.done).exitCode, 0)
})

const oldNode = findOldNode()
testUnless(alone, oldNode ? null : 'no Node older than 24 on the PATH')(
  'on an older Node the launcher passes signals and exit codes on, and takes its child along',
  async ({ cluster }) => {
    const begin = (words: string[]): Running => cluster.begin(words, {}, oldNode ?? '')
    assert.is((await begin(['bogus']).done).exitCode, 1)
    const { running, pids } = await up(cluster, begin)
    running.child.kill('SIGINT')
    assert.is((await running.done).exitCode, 0)
    assert.not.ok(Object.values(pids).some(isAlive))
    const again = await up(cluster, begin)
    again.running.child.kill('SIGKILL')
    await until('all nodes ended', () => !Object.values(again.pids).some(isAlive))
  },
)

/** As on the machine of somebody who has just cloned this; the pinned Node is left out. */
function findOldNode(): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, 'node')
    if (folder.includes('node_modules') || !existsSync(path)) continue
    const [, major] =
      /^v(\d+)\./.exec(execFileSync(path, ['--version'], { encoding: 'utf8' })) ?? []
    if (Number(major) >= 20 && Number(major) < 24) return path
  }
  return null
}

alone.run()

async function until(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not within ${WAIT_MS_MAX} ms: ${what}`)
    await new Promise((wake) => setTimeout(wake, 50))
  }
}

async function up(
  cluster: Cluster,
  begin = (words: string[]): Running => cluster.begin(words),
): Promise<{ running: Running; pids: Record<string, number> }> {
  const running = begin(['up'])
  const ready = () => running.lines.some((line) => line.startsWith('ready'))
  await until('up is ready', () => ready() || running.child.exitCode !== null)
  assert.ok(ready(), running.errorLines.join('\n'))
  const pids = JSON.parse(await readFile(join(cluster.data, 'pids.json'), 'utf8'))
  return { running, pids }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function errorOf(stderr: string): Record<string, unknown> {
  const line = stderr.split('\n').find((text) => text.includes('"type":"error"'))
  assert.ok(line, `no error object in: ${stderr}`)
  return JSON.parse(line)
}
