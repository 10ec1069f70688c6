// bench/flood.ts — what do fifty real clients notice of a flood with spoofed senders? (Linux, root)
//
// Three hosts in network namespaces: the server, the clients, the flood. The flood's senders are
// 200 addresses that are not its own, and what is answered to them comes back to be counted.
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ask, heard, pause, tableOf } from './flood-cast.ts'
import type { Kind } from './flood-child.ts'
import { lackOfNamespaces, Namespaces } from './namespaces.ts'

const CHILD = fileURLToPath(new URL('./flood-child.ts', import.meta.url))
const SERVER = { clients: '10.201.0.1', flood: '10.202.0.1' }
const SPOOFED = '10.203'
const PORT = 7_400
const KINDS: readonly Kind[] = ['hello', 'hello-unknown-key', 'unknown-connection', 'noise']
const RATES = [1_000, 5_000, 10_000, 20_000, 40_000]
const SECONDS = 4
const SETTLE_MS = 1_000

export interface FloodRow {
  readonly kind: Kind | 'none'
  /** Datagrams a second that the flood really sent. */
  readonly sentPerSecond: number
  /** Megabytes (10^6) a second that the server read from the real clients. */
  readonly goodputMBs: number
  /** Over that of the quiet seconds around it. */
  readonly ratioToQuiet: number
  /** One client that connects again and again, once in 20 ms and a round trip. */
  readonly handshakesPerSecond: number
  readonly handshakeMs: number
  /** CPU seconds of the server, a second. */
  readonly serverCpu: number
  /** … more than in quiet, over the datagrams of the flood. */
  readonly cpuUsPerDatagram: number
  /** Bytes that the owners of the spoofed addresses received, over those sent in their name. */
  readonly reflected: number
  readonly serverRssMB: number
}

interface Cast {
  readonly server: ChildProcess
  readonly clients: ChildProcess
  readonly flood: ChildProcess
}

/** Throws when this machine cannot make hosts; says why. */
export async function benchFlood(seconds = SECONDS): Promise<FloodRow[]> {
  const lack = lackOfNamespaces()
  if (lack) throw new Error(lack)
  const hosts = new Namespaces()
  const children: ChildProcess[] = []
  try {
    layOut(hosts)
    const start = async (host: string, words: string[]): Promise<ChildProcess> => {
      const child = hosts.fork(host, CHILD, words)
      children.push(child)
      await heard(child)
      return child
    }
    const server = await start('s', ['server', String(PORT)])
    const clients = await start('c', ['clients', String(PORT), SERVER.clients])
    const flood = await start('a', ['flood', String(PORT), SERVER.flood, SPOOFED])
    return await measureAll({ server, clients, flood }, seconds)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    hosts.close()
  }
}

function layOut(hosts: Namespaces): void {
  for (const host of ['s', 'c', 'a']) hosts.add(host)
  hosts.link(
    { host: 's', address: `${SERVER.clients}/24` },
    { host: 'c', address: '10.201.0.2/24' },
  )
  hosts.link({ host: 's', address: `${SERVER.flood}/24` }, { host: 'a', address: '10.202.0.2/24' })
  hosts.ip('s', 'route', 'add', `${SPOOFED}.0.0/16`, 'via', '10.202.0.2')
  // The flood may use, and hears, all of these addresses.
  hosts.ip('a', 'route', 'add', 'local', `${SPOOFED}.0.0/16`, 'dev', 'lo')
}

async function measureAll(cast: Cast, seconds: number): Promise<FloodRow[]> {
  const rows: FloodRow[] = []
  let quiet = await measure(cast, { kind: 'none', perSecond: 0 }, seconds, null)
  rows.push(quiet)
  for (const kind of KINDS) {
    for (const perSecond of RATES) {
      rows.push(await measure(cast, { kind, perSecond }, seconds, quiet))
    }
    quiet = await measure(cast, { kind: 'none', perSecond: 0 }, seconds, null)
    rows.push(quiet)
  }
  return rows
}

async function measure(
  cast: Cast,
  order: { kind: Kind | 'none'; perSecond: number },
  seconds: number,
  quiet: FloodRow | null,
): Promise<FloodRow> {
  const { kind, perSecond } = order
  const begin = kind === 'none' ? { perSecond: 0 } : { perSecond, kind }
  await ask(cast.flood, begin)
  await pause(SETTLE_MS)
  await Promise.all([ask(cast.server), ask(cast.clients), ask(cast.flood)])
  await pause(seconds * 1_000)
  const [server, clients, flood] = await Promise.all([
    ask(cast.server),
    ask(cast.clients),
    ask(cast.flood),
  ])
  const goodputMBs = (server.readBytes ?? 0) / 1e6 / seconds
  const serverCpu = (server.cpuUs ?? 0) / 1e6 / seconds
  const sentPerSecond = (flood.sent ?? 0) / seconds
  const moreCpu = Math.max(0, serverCpu - (quiet?.serverCpu ?? serverCpu))
  return {
    kind,
    sentPerSecond,
    goodputMBs,
    ratioToQuiet: quiet ? goodputMBs / quiet.goodputMBs : 1,
    handshakesPerSecond: (clients.handshakes ?? 0) / seconds,
    handshakeMs: clients.handshakeMs ?? 0,
    serverCpu,
    cpuUsPerDatagram: sentPerSecond > 0 ? (moreCpu * 1e6) / sentPerSecond : 0,
    reflected: (flood.backBytes ?? 0) / Math.max(1, flood.sentBytes ?? 0),
    serverRssMB: (server.rssBytes ?? 0) / 1e6,
  }
}

export function formatFlood(rows: readonly FloodRow[]): string {
  const cells = rows.map((row) => [
    row.kind,
    row.sentPerSecond.toFixed(0),
    row.goodputMBs.toFixed(2),
    row.ratioToQuiet.toFixed(3),
    row.handshakesPerSecond.toFixed(1),
    row.handshakeMs.toFixed(1),
    row.serverCpu.toFixed(2),
    row.cpuUsPerDatagram.toFixed(1),
    row.reflected.toFixed(3),
    row.serverRssMB.toFixed(0),
  ])
  const head = [
    'flood',
    'sent/s',
    'goodput MB/s',
    '× quiet',
    'handshakes/s',
    'ms each',
    'server CPU',
    'µs/datagram',
    'reflected',
    'RSS MB',
  ]
  return [
    `UDP port ${PORT}, 50 clients that offer 12.5 MB/s together`,
    '',
    ...tableOf(head, cells),
  ].join('\n')
}
