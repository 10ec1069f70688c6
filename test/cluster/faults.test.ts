// test/cluster/faults.test.ts — what does a user see when servers die, bits flip, or two store at once?
import { randomInt } from 'node:crypto'
import { cp, mkdir, open, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Cluster, type Outcome } from '../support/cluster.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { writeRandomTree } from '../support/random-tree.ts'

const seed = Number(process.env.SEED ?? randomInt(2 ** 32))
/** A server that is silent for so long is dead: short, so that a test can wait for it. */
const TIMING = { heartbeatMs: 300, suspectAfterMissed: 3, deadMs: 3_000 }

const test = suite(`cluster: faults, replay with SEED=${seed}`)

const summaryOf = (outcome: Outcome): Record<string, unknown> => {
  assert.is(outcome.exitCode, 0, outcome.stderr)
  const summary = outcome.objects.find((object) => object.type === 'summary')
  assert.ok(summary, outcome.stdout)
  return summary
}

const within = async (use: (cluster: Cluster) => Promise<void>): Promise<void> => {
  const cluster = await Cluster.start({ timing: TIMING })
  try {
    await use(cluster)
  } finally {
    await cluster.stop()
  }
}

test('two clients that store the same at the same moment keep two copies, not four', () =>
  within(async (cluster) => {
    const source = join(cluster.folder, 'source')
    await writeRandomTree(source, { seed, count: 12, meanBytes: 2_000_000 })
    const [one, two] = await Promise.all([
      cluster.run(['backup', source, '--json', '--client', '1']),
      cluster.run(['backup', source, '--json', '--client', '2']),
    ])
    const bytes = Number(summaryOf(one).bytes)
    summaryOf(two)
    const status = await cluster.waitUntil('all replicated', (s) => s.blobs.underReplicated === 0)
    const used = status.servers.reduce((sum, server) => sum + server.usedBytes, 0)
    assert.ok(used < 2.2 * bytes, `${used} bytes rest on the servers for ${bytes} of files`)
    assert.ok(used > 1.9 * bytes, `${used} bytes rest on the servers for ${bytes} of files`)
  }))

test('after a server is gone for good, an unchanged backup makes two copies of everything', () =>
  within(async (cluster) => {
    const source = join(cluster.folder, 'source')
    await writeRandomTree(source, { seed, count: 30, meanBytes: 600_000 })
    summaryOf(await cluster.run(['backup', source, '--json']))
    await cluster.kill('server-2')
    const thin = await cluster.waitUntil(
      'its copies no longer count',
      (status) => status.servers[1]?.state === 'dead' && status.blobs.underReplicated > 0,
    )
    const again = summaryOf(await cluster.run(['backup', source, '--json']))
    const whole = await cluster.status()
    assert.is(whole?.blobs.underReplicated, 0, `${thin.blobs.underReplicated} were thin before`)
    assert.is(whole?.blobs.lost, 0)
    const target = join(cluster.folder, 'restored')
    const words = ['restore', String(again.snapshot), '--target', target, '--json']
    summaryOf(await cluster.run(words))
    assert.equal(await compareTrees(source, join(target, source)), [])
  }))

test('with one server up a backup is refused, and nothing is called stored', () =>
  within(async (cluster) => {
    for (const number of [2, 3, 4] as const) await cluster.kill(`server-${number}`)
    await cluster.waitUntil(
      'three are known to be away',
      (status) => status.servers.filter((server) => server.state === 'up').length === 1,
    )
    const outcome = await cluster.run(['backup', join(cluster.folder, 'files'), '--json'])
    assert.is(outcome.exitCode, 1)
    assert.match(outcome.stderr, /"code":"NOT_ENOUGH_SERVERS"/)
    assert.is(outcome.stdout, '')
    const snapshots = await cluster.run(['snapshots', '--json'])
    assert.is(snapshots.stdout, '')
    assert.is(snapshots.exitCode, 0)
  }))

test('a flipped byte on one disk: the other copy comes back, and the bad server is named', () =>
  within(async (cluster) => {
    const source = join(cluster.folder, 'source')
    await writeRandomTree(source, { seed, count: 8, meanBytes: 900_000 })
    const { snapshot } = summaryOf(await cluster.run(['backup', source, '--json']))
    const bad = (await cluster.status())?.servers.find(({ blobs }) => blobs > 0)
    assert.ok(bad)
    // Every blob that this server holds; each has its other copy elsewhere.
    const paths = await blobFiles(join(cluster.data, `server-${bad.number}`, 'blobs'))
    assert.ok(paths.length > 0, 'it holds something')
    for (const path of paths) await flipByte(path)
    const target = join(cluster.folder, 'restored')
    const words = ['restore', String(snapshot), '--target', target, '--json']
    const outcome = await cluster.run(words)
    const summary = summaryOf(outcome)
    assert.equal(await compareTrees(source, join(target, source)), [])
    // Reads are spread, so some of them met the bad copies; whichever did must say whose they are.
    const met = summary.badReplicas as { server: { number: number } }[]
    assert.ok(met.length > 0, 'no read met a bad copy')
    assert.ok(
      met.every(({ server }) => server.number === bad.number),
      JSON.stringify(met),
    )
    assert.match(outcome.stderr, new RegExp(bad.name))
  }))

test('odd names, links, modes and times come back through real processes', () =>
  within(async (cluster) => {
    const source = join(cluster.folder, 'odd')
    await mkdir(join(source, 'empty'), { recursive: true })
    await writeFile(join(source, '-rf'), 'a name like an option')
    await writeFile(
      Buffer.concat([Buffer.from(`${source}/not-utf8-`), Buffer.from([0xff, 0xfe])]),
      'x',
    )
    await writeFile(join(source, 'new\nline'), 'y', { mode: 0o600 })
    await symlink('/nowhere/at/all', join(source, 'dangling'))
    const { snapshot } = summaryOf(await cluster.run(['backup', source, '--json']))
    const target = join(cluster.folder, 'restored')
    summaryOf(await cluster.run(['restore', String(snapshot), '--target', target, '--json']))
    assert.equal(await compareTrees(source, join(target, source)), [])
  }))

test('a client without the key of the repository ends with exit code 10', () =>
  within(async (cluster) => {
    summaryOf(await cluster.run(['backup', join(cluster.folder, 'files'), '--json']))
    await cp(join(cluster.data, 'repository.key'), join(cluster.folder, 'kept.key'))
    await rm(join(cluster.data, 'repository.key'))
    const outcome = await cluster.run(['backup', join(cluster.folder, 'files'), '--json'])
    assert.is(outcome.exitCode, 10, outcome.stderr)
    assert.match(outcome.stderr, /key import/)
    const imported = await cluster.run(['key', 'import', join(cluster.folder, 'kept.key')])
    assert.is(imported.exitCode, 0, imported.stderr)
    summaryOf(await cluster.run(['backup', join(cluster.folder, 'files'), '--json']))
  }))

async function blobFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true })
  return names.filter((name) => /[0-9a-f]{64}$/.test(name)).map((name) => join(folder, name))
}

async function flipByte(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    const at = Math.min(Math.floor(size / 3), size - 1)
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte[0] = (byte[0] ?? 0) ^ 0x10
    await file.write(byte, 0, 1, at)
  } finally {
    await file.close()
  }
}

test.run()
