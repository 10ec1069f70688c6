// test/cluster/identity.test.ts — do real processes let in, follow and shut out as they should?
import { chmod, cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { signCertificate } from '../../src/identity/certificate.ts'
import { readClusterFile } from '../../src/identity/cluster-file.ts'
import { ClusterKeys } from '../../src/identity/cluster-keys.ts'
import { loadOrCreateKeyPair } from '../../src/identity/key-pair.ts'
import { createEndpoint } from '../../src/rpc/index.ts'
import { Cluster, type ClusterStatus, type Running } from '../support/cluster.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { writeRandomTree } from '../support/random-tree.ts'
import { differences, rolesOf, SENDERS } from '../support/role-table.ts'

const DAY_MS = 86_400_000
const test = suite<{ cluster: Cluster }>('cluster: identity')

test.before.each(async (context) => {
  context.cluster = await Cluster.prepare({ servers: 3 })
})
test.after.each(({ cluster }) => cluster.stop())

/** Another machine: the same config, a data folder of its own. */
const elsewhere = async (cluster: Cluster, name: string): Promise<string> => {
  const folder = join(cluster.folder, 'elsewhere', name)
  await mkdir(folder, { recursive: true })
  return folder
}

async function tokenFor(cluster: Cluster, ...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await cluster.run(['token', ...words])
  assert.is(exitCode, 0, stderr)
  return stdout.trimEnd().split('\n').at(-1) ?? ''
}

async function ready(running: Running): Promise<void> {
  const endMs = performance.now() + 30_000
  while (!running.lines.some((line) => line.startsWith('ready'))) {
    if (performance.now() > endMs || running.child.exitCode !== null) {
      throw new Error(`not ready: ${running.errorLines.join('\n')}`)
    }
    await new Promise((wake) => setTimeout(wake, 50))
  }
}

/** As if the machine's clock were wrong. */
const shifted = (ms: number): Record<string, string> => {
  const code = `const now = Date.now; Date.now = () => now() + ${ms}`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` }
}

/** The clock is ahead by what the file says, milliseconds. */
const jumping = (path: string): string => {
  const code =
    `import { readFileSync } from 'node:fs'; const now = Date.now; ` +
    `Date.now = () => now() + Number(readFileSync(${JSON.stringify(path)}, 'utf8'))`
  return `--import=data:text/javascript,${encodeURIComponent(code)}`
}

test('machines elsewhere join by token, back up, and are shut out within a minute', async (context) => {
  const { cluster } = context
  for (const name of ['manager', 'server-1', 'server-2'] as const) cluster.startNode(name)
  await cluster.waitUntil('two servers', upCount(2))
  const third = await elsewhere(cluster, 'server-3')
  const token = await tokenFor(cluster, 'server', '3')
  const server = cluster.beginAt(third, ['server', '3', '--join', token])
  await ready(server)
  await cluster.waitUntil('the third', upCount(3))

  const folder = await elsewhere(cluster, 'client-2')
  const used = await cluster.beginAt(folder, ['server', '3', '--join', token]).done
  assert.is(used.exitCode, 1)
  assert.match(used.stderr, /token was used already.*TOKEN_REFUSED/)
  const cut = await cluster.beginAt(folder, ['server', '3', '--join', token.slice(0, 50)]).done
  assert.is(cut.exitCode, 1)
  assert.match(cut.stderr, /token is damaged.*TOKEN_REFUSED/)

  const clientToken = await tokenFor(cluster, 'client', '2', '--role', 'backup,restore')
  const joined = await cluster.beginAt(folder, ['client', '2', '--join', clientToken]).done
  assert.is(joined.exitCode, 0, joined.stderr)
  const source = join(cluster.folder, 'source')
  await writeRandomTree(source, { seed: 5, count: 50, meanBytes: 5_000 })
  const backup = await cluster.beginAt(folder, ['backup', source, '--client', '2']).done
  assert.is(backup.exitCode, 0, backup.stderr)
  const target = join(cluster.folder, 'target')
  const words = ['restore', 'latest', '--target', target, '--client', '2']
  const restore = await cluster.beginAt(folder, words).done
  assert.is(restore.exitCode, 0, restore.stderr)
  assert.equal(await compareTrees(source, join(target, source)), [])
  for (const operation of [['token', 'server', '3'], ['revoke', 'server-1'], ['rotate-key']]) {
    const { exitCode, stderr } = await cluster.beginAt(folder, [...operation, '--client', '2']).done
    assert.is(exitCode, 11, stderr)
  }

  assert.is((await cluster.run(['revoke', 'client-2'])).exitCode, 0)
  const late = await cluster.beginAt(folder, ['backup', source, '--client', '2']).done
  assert.is(late.exitCode, 11)
  assert.match(late.stderr, 'REVOKED')
  assert.is((await cluster.run(['revoke', 'server-3'])).exitCode, 0)
  await cluster.waitUntil(
    'server 3 is retired',
    (status) => status.servers.some((s) => s.number === 3 && s.state === 'retired'),
    10_000,
  )
  await until('the other servers know it', async () => {
    const files = ['server-1', 'server-2'].map((n) => join(cluster.data, n, 'cluster.json'))
    const known = await Promise.all(files.map((path) => readClusterFile(path)))
    return known.every((file) => file?.trust.revokedKeys.size === 2)
  })
  assert.match(await cluster.log('manager'), 'ended the connection of a revoked node')
  server.child.kill('SIGTERM')
  await server.done
  const again = await cluster.beginAt(third, ['server', '3']).done
  assert.is(again.exitCode, 11)
  assert.match(again.stderr, 'REVOKED')
})

test('a wrong clock, another cluster and an open key file end a node at once, in words', async (context) => {
  const { cluster } = context
  for (const name of ['manager', 'server-1', 'server-2'] as const) cluster.startNode(name)
  await cluster.waitUntil('two servers', upCount(2))
  for (const [ms, word] of [
    [DAY_MS, 'ahead of'],
    [-DAY_MS, 'behind'],
  ] as const) {
    const server = await cluster.begin(['server', '3'], shifted(ms)).done
    assert.is(server.exitCode, 1)
    assert.match(server.stderr, new RegExp(`clock.*${word}.*CLOCK_WRONG`))
    const status = await cluster.begin(['status'], shifted(ms)).done
    assert.is(status.exitCode, 1)
    assert.match(status.stderr, new RegExp(`clock.*${word}.*CLOCK_WRONG`))
    const token = await tokenFor(cluster, 'server', '3')
    const folder = await elsewhere(cluster, `clock${ms}`)
    const joining = await cluster.beginAt(folder, ['server', '3', '--join', token], shifted(ms))
      .done
    assert.is(joining.exitCode, 1)
    assert.match(joining.stderr, 'CLOCK_WRONG')
  }

  assert.is((await cluster.run(['snapshots'])).exitCode, 0, 'there is a client 1')
  const { clusterId, directory } =
    (await readClusterFile(join(cluster.data, 'server-1', 'cluster.json')))?.trust ?? neverNull()
  const other = await Cluster.prepare({ servers: 2 })
  try {
    other.startNode('manager')
    const token = await tokenWhenUp(other)
    const folder = join(cluster.data, 'server-1')
    await cluster.kill('server-1', 'SIGTERM')
    const crossed = await cluster.run(['server', '1', '--join', token])
    assert.is(crossed.exitCode, 1)
    assert.match(crossed.stderr, /token is for cluster .* belongs to cluster .*WRONG_CLUSTER/)
    await cp(folder, join(other.data, 'server-1'), { recursive: true })
    const moved = await other.run(['server', '1'])
    assert.is(moved.exitCode, 1)
    assert.match(moved.stderr, /belongs to cluster .*WRONG_CLUSTER/)
    // Elsewhere there is no data folder to compare with, only the manager that answers.
    const lost = await elsewhere(other, 'lost')
    for (const name of ['server-1', 'client-1']) {
      await cp(join(cluster.data, name), join(lost, name), { recursive: true })
    }
    const nobody = await other.beginAt(lost, ['status', '--client', '2']).done
    assert.match(nobody.stderr, 'NOT_ENROLLED')
    for (const words of [['server', '1'], ['status'], ['snapshots']]) {
      const stray = await other.beginAt(lost, words).done
      assert.is(stray.exitCode, 1, words.join(' '))
      for (const part of [clusterId, directory.managerKey.slice(0, 8), '--data', 'WRONG_CLUSTER']) {
        assert.match(stray.stderr, part, words.join(' '))
      }
    }
  } finally {
    await other.stop()
  }

  await chmod(join(cluster.data, 'server-1', 'server.key'), 0o644)
  const open = await cluster.run(['server', '1'])
  assert.is(open.exitCode, 1)
  assert.match(open.stderr, /others can read .*server\.key.*chmod 600/)
})

test('the manager is lost: the recovery key brings back the cluster, and its nodes follow', async (context) => {
  const { cluster } = context
  for (const name of ['manager', 'server-1', 'server-2'] as const) cluster.startNode(name)
  await cluster.waitUntil('two servers', upCount(2))
  const third = await elsewhere(cluster, 'server-3')
  const server = cluster.beginAt(third, [
    'server',
    '3',
    '--join',
    await tokenFor(cluster, 'server', '3'),
  ])
  await ready(server)
  const source = join(cluster.folder, 'source')
  await writeRandomTree(source, { seed: 6, count: 20, meanBytes: 5_000 })
  assert.is((await cluster.run(['backup', source])).exitCode, 0)
  const recovery = join(cluster.folder, 'stick.key')
  await writeFile(recovery, await readFile(join(cluster.data, 'recovery.key')), { mode: 0o600 })
  assert.is((await stat(join(cluster.data, 'recovery.key'))).mode & 0o777, 0o600)

  await cluster.kill('manager')
  for (const name of ['manager', 'cluster', 'operator', 'recovery.key']) {
    await rm(join(cluster.data, name), { recursive: true })
  }
  const successor = cluster.begin(['manager', '--recovery-key', recovery])
  await ready(successor)
  await cluster.waitUntil('all three follow', upCount(3), 30_000)
  assert.is((await cluster.run(['backup', source])).exitCode, 0, 'and so does a client')
  const status = await cluster.status()
  assert.is(status?.blobs.underReplicated, 0)
  // Started again, without the key.
  successor.child.kill('SIGTERM')
  await successor.done
  cluster.startNode('manager')
  await cluster.waitUntil('all three are back', upCount(3), 30_000)
  server.child.kill('SIGTERM')
  await server.done
})

test('a rotation, days that pass and a month off change nothing for who belongs', async (context) => {
  const { cluster } = context
  const offsetPath = join(cluster.folder, 'offset')
  const travel = async (ms: number): Promise<void> => {
    await writeFile(`${offsetPath}.new`, String(ms))
    await rename(`${offsetPath}.new`, offsetPath)
    await new Promise((wake) => setTimeout(wake, 7_000)) // heartbeats, and the manager's own renewal
  }
  await writeFile(offsetPath, '0')
  const before = process.env.NODE_OPTIONS
  // Nodes and commands alike: their clocks agree, and jump when the file changes.
  process.env.NODE_OPTIONS = jumping(offsetPath)
  try {
    for (const name of ['manager', 'server-1', 'server-2', 'server-3'] as const) {
      cluster.startNode(name)
    }
    await cluster.waitUntil('three servers', upCount(3))
    const source = join(cluster.folder, 'source')
    await writeRandomTree(source, { seed: 7, count: 10, meanBytes: 3_000 })
    const backup = async (when: string): Promise<void> => {
      await writeFile(join(source, when), when)
      const { exitCode, stderr } = await cluster.run(['backup', source])
      assert.is(exitCode, 0, `${when}: ${stderr}`)
    }
    await backup('at first')
    assert.is((await cluster.run(['rotate-key'])).exitCode, 0)
    await backup('just rotated')
    await travel(2 * 60_000)
    await backup('the new key signs')
    await cluster.kill('server-3', 'SIGTERM')
    await travel(20 * 3_600_000)
    await backup('certificates renewed')
    await travel(40 * 3_600_000)
    await backup('the old key is listed no more')
    await travel(40 * DAY_MS)
    await cluster.waitUntil('all are up after a month', upCount(2))
    await backup('a month later')
    cluster.startNode('server-3')
    await cluster.waitUntil('the one that was off is back', upCount(3))
    const target = join(cluster.folder, 'target')
    const restore = await cluster.run(['restore', 'latest', '--target', target])
    assert.is(restore.exitCode, 0, restore.stderr)
    assert.equal(await compareTrees(source, join(target, source)), [])
    const file = await readClusterFile(join(cluster.data, 'server-3', 'cluster.json'))
    assert.is(file?.trust.directory.signingKeys.length, 1)
  } finally {
    if (before === undefined) delete process.env.NODE_OPTIONS
    else process.env.NODE_OPTIONS = before
  }
})

test('every message with every role, at a real manager and a real server', async (context) => {
  const { cluster } = context
  for (const name of ['manager', 'server-1', 'server-2'] as const) cluster.startNode(name)
  await cluster.waitUntil('two servers', upCount(2))
  const text = await readFile(join(cluster.data, 'manager', 'cluster.key'), 'utf8')
  const keys = ClusterKeys.parse(text, async () => undefined)
  const file = await readClusterFile(join(cluster.data, 'manager', 'cluster.json'))
  const serverKey = await loadOrCreateKeyPair(join(cluster.data, 'server-1', 'server.key'))
  const { manager, servers } = JSON.parse(await readFile(cluster.config, 'utf8'))
  assert.ok(keys && file)
  const places = {
    manager: { ...manager, publicKey: Buffer.from(file.trust.directory.managerKey, 'hex') },
    server: { ...servers[0], publicKey: serverKey.publicKey },
  }
  for (const sender of SENDERS) {
    const keyPair = await loadOrCreateKeyPair(join(cluster.folder, `${sender}.key`))
    const certificate =
      sender === 'nobody'
        ? new Uint8Array(0)
        : signCertificate(
            {
              version: 1,
              clusterId: file.trust.clusterId,
              publicKey: Buffer.from(keyPair.publicKey).toString('hex'),
              roles: rolesOf(sender),
              name: sender,
              number: 7,
              notBeforeMs: 0,
              notAfterMs: sender === 'ended' ? Date.now() - DAY_MS : Date.now() + DAY_MS,
              serial: '00'.repeat(16),
            },
            keys.established,
          )
    const bind = { host: '127.0.0.1', port: 0 }
    const endpoint = await createEndpoint({ bind, identity: { ...keyPair, certificate } })
    try {
      for (const side of ['manager', 'server'] as const) {
        const { host, port, publicKey } = places[side]
        const session = await endpoint.connect({ host, port, publicKey })
        assert.equal(await differences(session, sender, side), [])
      }
    } finally {
      await endpoint.close({ drainMs: 0 })
    }
  }
  for (const name of ['manager', 'server-1'] as const) {
    assert.match(await cluster.log(name), 'a request was refused', name)
  }
})

function neverNull(): never {
  throw new Error('the file is not there')
}

const upCount =
  (count: number) =>
  (status: ClusterStatus): boolean =>
    status.servers.filter((server) => server.state === 'up').length === count

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 60_000
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within a minute: ${what}`)
    await new Promise((wake) => setTimeout(wake, 100))
  }
}

async function tokenWhenUp(cluster: Cluster): Promise<string> {
  let token = ''
  await until('the manager makes a token', async () => {
    const { exitCode, stdout } = await cluster.run(['token', 'server', '1'])
    token = stdout.trimEnd().split('\n').at(-1) ?? ''
    return exitCode === 0
  })
  return token
}

test.run()
