// bench/flood-cluster.ts — how much memory can strangers cost a whole cluster? (Linux, root)
//
// Two hosts in network namespaces: five nodes as `holdfast up` runs them, and the strangers. What
// counts is the resident memory of the five processes over that after their first backup.
import type { ChildProcess } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeCertificate } from '../src/identity/index.ts'
import { ask, heard, pause, tableOf, type Words } from './flood-cast.ts'
import type { Order } from './flood-cluster-child.ts'
import { lackOfNamespaces, Namespaces } from './namespaces.ts'

const LAUNCHER = resolve(import.meta.dirname, '../bin/holdfast.js')
const CHILD = fileURLToPath(new URL('./flood-cluster-child.ts', import.meta.url))
const CLUSTER = '10.204.0.1'
const STRANGERS = { address: '10.204.0.2', sources: '10.205' }
const PORT = 7_400
const SERVERS = 4
const BACKUP_BYTES = 64 * 2 ** 20
const READY_MS_MAX = 30_000
const SAMPLE_MS = 200
const SETTLE_MS = 2_000
const FLOOD_MS = 6_000
/** Longer than a stranger may stay. */
const STRANGERS_MS = 18_000
const QUIET_MS = 6_000
const LIMIT_MB = 200

const ORDERS: readonly (Required<Order> & { readonly ms: number })[] = [
  { kind: 'noise', perSecond: 5_000, ms: FLOOD_MS },
  { kind: 'rubbish', perSecond: 5_000, ms: FLOOD_MS },
  { kind: 'wrong-key', perSecond: 5_000, ms: FLOOD_MS },
  { kind: 'hello', perSecond: 5_000, ms: FLOOD_MS },
  { kind: 'unknown-connection', perSecond: 5_000, ms: FLOOD_MS },
  { kind: 'drip', perSecond: 0, ms: STRANGERS_MS },
  { kind: 'stop-short', perSecond: 0, ms: STRANGERS_MS },
  { kind: 'gap', perSecond: 0, ms: STRANGERS_MS },
  { kind: 'none', perSecond: 0, ms: QUIET_MS },
]

export interface MemoryRow {
  readonly kind: NonNullable<Order['kind']>
  /** Datagrams a second in all, that were really sent. */
  readonly sentPerSecond: number
  /** Handshakes that strangers completed, a second, in all. */
  readonly sessionsPerSecond: number
  /** Megabytes (10^6) of resident memory more than after the warm-up, at most, by node: the manager
   * first. */
  readonly peakMB: readonly number[]
  /** … of all five at one moment, at most. */
  readonly sumPeakMB: number
  /** … of all five, when it was over. */
  readonly sumAfterMB: number
}

/** Throws when this machine cannot make hosts, and when a backup fails before or after. */
export async function benchFloodMemory(): Promise<MemoryRow[]> {
  const lack = lackOfNamespaces()
  if (lack) throw new Error(lack)
  const hosts = new Namespaces()
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-flood-'))
  const children: ChildProcess[] = []
  try {
    layOut(hosts)
    await writeCluster(folder)
    const up = hosts.fork('s', LAUNCHER, ['up', '--json', ...whereOf(folder)], true)
    children.push(up)
    const pids = await readyPids(folder)
    await backUp(hosts, folder)
    const places = JSON.stringify(await placesIn(folder))
    const strangers = hosts.fork('a', CHILD, [STRANGERS.sources, places])
    children.push(strangers)
    await heard(strangers)
    const rows = await measureAll(strangers, pids)
    await backUp(hosts, folder) // they still work
    return rows
  } finally {
    for (const child of children.reverse()) await end(child)
    hosts.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function layOut(hosts: Namespaces): void {
  for (const host of ['s', 'a']) hosts.add(host)
  hosts.link(
    { host: 's', address: `${CLUSTER}/24` },
    { host: 'a', address: `${STRANGERS.address}/24` },
  )
  hosts.ip('s', 'route', 'add', `${STRANGERS.sources}.0.0/16`, 'via', STRANGERS.address)
  hosts.ip('a', 'route', 'add', 'local', `${STRANGERS.sources}.0.0/16`, 'dev', 'lo')
}

const dataIn = (folder: string): string => join(folder, 'data')
const configIn = (folder: string): string => join(folder, 'config.json')
const sourceIn = (folder: string): string => join(folder, 'source')
const whereOf = (folder: string): string[] => [
  ...['--config', configIn(folder)],
  ...['--data', dataIn(folder)],
]

async function writeCluster(folder: string): Promise<void> {
  const node = (name: string, index: number) => ({ name, host: CLUSTER, port: PORT + index })
  const source = sourceIn(folder)
  const config = {
    manager: node('manager', 0),
    servers: Array.from({ length: SERVERS }, (_, index) => node(`server-${index + 1}`, index + 1)),
    clients: [{ name: 'client-1', FILE_1: source, FILE_2: source, FILE_3: source }],
  }
  await writeFile(configIn(folder), JSON.stringify(config))
}

/** In the order of the config, as soon as all serve. */
async function readyPids(folder: string): Promise<number[]> {
  const endMs = performance.now() + READY_MS_MAX
  for (;;) {
    const text = await readFile(join(dataIn(folder), 'pids.json'), 'utf8').catch(() => '')
    if (text.endsWith('}\n')) return Object.values(JSON.parse(text) as Record<string, number>)
    if (performance.now() > endMs) throw new Error('the cluster did not start')
    await pause(SAMPLE_MS)
  }
}

/** Fresh content each time. */
async function backUp(hosts: Namespaces, folder: string): Promise<void> {
  await writeFile(sourceIn(folder), randomFillSync(Buffer.alloc(BACKUP_BYTES)))
  const words = ['backup', sourceIn(folder), ...whereOf(folder)]
  const child = hosts.fork('s', LAUNCHER, words, true)
  const exitCode = await new Promise((settle) => child.once('exit', settle))
  if (exitCode !== 0) throw new Error(`a backup ended with ${exitCode}`)
}

/** Strangers know every public key: that is the worst case. */
async function placesIn(folder: string): Promise<object[]> {
  const config = JSON.parse(await readFile(configIn(folder), 'utf8'))
  const text = await readFile(join(dataIn(folder), 'cluster', 'cluster.json'), 'utf8')
  const { managerKey } = JSON.parse(text) as { managerKey: string }
  const servers = config.servers as { host: string; port: number }[]
  const keys = await Promise.all(
    servers.map((_, index) => publicKeyIn(join(dataIn(folder), `server-${index + 1}`))),
  )
  return [
    { ...config.manager, publicKey: managerKey },
    ...servers.map((server, index) => ({ ...server, publicKey: keys[index] })),
  ]
}

async function publicKeyIn(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'server.cert'), 'utf8')
  const decoded = decodeCertificate(Buffer.from(text, 'base64'))
  if (!decoded.ok) throw new Error(decoded.defect)
  return decoded.certificate.publicKey
}

async function measureAll(strangers: ChildProcess, pids: readonly number[]): Promise<MemoryRow[]> {
  await pause(SETTLE_MS)
  const before = await residentMB(pids)
  const rows: MemoryRow[] = []
  for (const { ms, ...order } of ORDERS) {
    await ask(strangers, order)
    const samples: number[][] = []
    const timer = setInterval(async () => samples.push(await residentMB(pids)), SAMPLE_MS)
    await pause(ms)
    const words = await ask(strangers, { kind: 'none' })
    await pause(SETTLE_MS)
    clearInterval(timer)
    rows.push(rowOf({ order, before, samples, after: await residentMB(pids), words, ms }))
  }
  return rows
}

function rowOf(parts: {
  order: Required<Order>
  before: readonly number[]
  samples: readonly (readonly number[])[]
  after: readonly number[]
  words: Words
  ms: number
}): MemoryRow {
  const { order, before, samples, after, words, ms } = parts
  const growthOf = (sample: readonly number[]) => sample.map((mb, i) => mb - (before[i] ?? 0))
  const growths = samples.map(growthOf)
  return {
    kind: order.kind,
    sentPerSecond: ((words.sent ?? 0) * 1_000) / ms,
    sessionsPerSecond: ((words.sessions ?? 0) * 1_000) / ms,
    peakMB: before.map((_, i) => Math.max(...growths.map((growth) => growth[i] ?? 0))),
    sumPeakMB: Math.max(...growths.map(sum)),
    sumAfterMB: sum(growthOf(after)),
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0)

async function residentMB(pids: readonly number[]): Promise<number[]> {
  return await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/status`, 'utf8')
      return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) * 1_024) / 1e6
    }),
  )
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((settle) => child.once('exit', settle))
  child.kill('SIGTERM')
  await gone
}

export function formatFloodMemory(rows: readonly MemoryRow[]): string {
  const names = ['manager', ...Array.from({ length: SERVERS }, (_, i) => `server-${i + 1}`)]
  const head = ['flood', 'sent/s', 'sessions/s', ...names, 'sum', 'limit', 'sum after']
  const mb = (value: number): string => value.toFixed(0)
  const cells = rows.map((row) => [
    row.kind,
    mb(row.sentPerSecond),
    mb(row.sessionsPerSecond),
    ...row.peakMB.map(mb),
    mb(row.sumPeakMB),
    String(LIMIT_MB),
    mb(row.sumAfterMB),
  ])
  const about = 'MB of resident memory more than after the first backup, at most, of five nodes'
  return [about, '', ...tableOf(head, cells)].join('\n')
}
