// test/sim/links.ts — how much of a link does the transport use, from the first HELLO to the last
// byte, and what does it leave to others?
//
//   node test/sim/links.ts [--cc NAME] [--seeds N] [--only TEXT] [--defaults]
//   node test/sim/links.ts --fair [--cc NAME] [--seeds N]
//
// --defaults: buffers and windows as they are for everybody; else so large that they limit nothing.
// Shares are of rate × (1 − loss) × 94.6 %, what a path of 1500-byte packets can carry of payload.
import { parseArgs } from 'node:util'
import type { CongestionName } from '../../protocol/congestion/controller.ts'
import type { LinkOptions } from './link.ts'
import { World } from './world.ts'

const PAYLOAD_SHARE = 0.946
const LONGEST_MS = 60_000
const MIB = 1024 * 1024

export interface Row {
  readonly name: string
  readonly link: Partial<LinkOptions> & { rateMbit: number; delayMs: number }
  readonly totalBytes: number
  /** Share of the limit that is to be reached. */
  readonly goal: number
}

/** Buffers and windows that limit nothing: congestion control alone is looked at. */
export const WIDE = {
  sendBufferBytes: 128 * MIB,
  streamWindowBytes: 64 * MIB,
  streamWindowBytesMax: 64 * MIB,
  connectionWindowBytes: 128 * MIB,
  connectionWindowBytesMax: 128 * MIB,
}

/** A queue of one round trip's worth. */
const link = (rateMbit: number, rttMs: number, rest: Partial<LinkOptions> = {}): Row['link'] => ({
  rateMbit,
  delayMs: rttMs / 2,
  queueBytes: Math.max(rateMbit * 125 * rttMs, 30_000),
  ...rest,
})

export const ROWS: readonly Row[] = [
  { name: '1000 Mbit/s 10 ms', link: link(1000, 10), totalBytes: 256 * MIB, goal: 0.93 },
  { name: '100 Mbit/s 50 ms', link: link(100, 50), totalBytes: 100 * MIB, goal: 0.97 },
  {
    name: '100 Mbit/s 50 ms, 1 % loss',
    link: link(100, 50, { lossRatio: 0.01 }),
    totalBytes: 100 * MIB,
    goal: 0.95,
  },
  {
    name: '1000 Mbit/s 50 ms, 1 % loss',
    link: link(1000, 50, { lossRatio: 0.01 }),
    totalBytes: 600 * MIB,
    goal: 0.9,
  },
  {
    name: '100 Mbit/s 100 ms, 5 % loss',
    link: link(100, 100, { lossRatio: 0.05 }),
    totalBytes: 100 * MIB,
    goal: 0.8,
  },
  {
    name: '20 Mbit/s 150 ms, jitter 10, reorder 2 %, 2 % loss',
    link: link(20, 150, { lossRatio: 0.02, jitterMs: 10, reorderRatio: 0.02, reorderMs: -75 }),
    totalBytes: 24 * MIB,
    goal: 0.75,
  },
  {
    name: '100 Mbit/s 50 ms, 0.5 % corrupted',
    link: link(100, 50, { corruptRatio: 0.005 }),
    totalBytes: 100 * MIB,
    goal: 0.95,
  },
  {
    name: '50 Mbit/s 300 ms, 1 % in bursts of 8',
    link: link(50, 300, { lossRatio: 0.01, burstPackets: 8 }),
    totalBytes: 64 * MIB,
    goal: 0.75,
  },
  {
    name: '100 Mbit/s 50 ms, queue 64 KB',
    link: link(100, 50, { queueBytes: 65_536 }),
    totalBytes: 100 * MIB,
    goal: 0.9,
  },
]

export interface Outcome {
  readonly share: number
  readonly retransmitted: number
  readonly overflowed: number
  readonly queueMs: number
  readonly seconds: number
}

export function play(
  row: Row,
  seed: number,
  congestion: CongestionName,
  usesDefaults = false,
): Outcome {
  const world = new World(seed, row.link)
  const limits = { handshakeTimeoutMs: 60_000, ...(usesDefaults ? {} : WIDE) }
  const client = world.addParty('client', { endpoint: { congestion, limits } })
  const server = world.addParty('server', { endpoint: { congestion, limits } })
  const connection = client.connect(server)
  if (!world.runUntil(() => connection.state === 'open', 60_000)) throw new Error('no session')
  client.send(connection, { totalBytes: row.totalBytes, direction: 'uni' })
  const isDone = (): boolean => (server.intakes[0]?.finishedMs ?? null) !== null
  // Who crawls is not waited for: what came within a minute counts.
  world.runUntil(isDone, LONGEST_MS)
  const ms = server.intakes[0]!.finishedMs ?? world.nowMs
  const bytes = server.receivedBytes
  const loss = (row.link.lossRatio ?? 0) + (row.link.corruptRatio ?? 0)
  const limit = row.link.rateMbit * 125 * (1 - loss) * PAYLOAD_SHARE
  const { counts } = world.linkBetween(client, server)
  return {
    share: bytes / ms / limit,
    retransmitted: connection.stats().bytesRetransmitted / bytes,
    overflowed: counts.overflowed / counts.sent,
    queueMs: counts.queueBytesMax / (row.link.rateMbit * 125),
    seconds: ms / 1000,
  }
}

const percent = (ratio: number): string => (100 * ratio).toFixed(1).padStart(5)

interface Sharing {
  readonly name: string
  readonly link: Row['link']
  /** `ours`: what is asked for with --cc. Flows begin 0.2 s apart, or `joinS` seconds. */
  readonly flows: readonly ('ours' | CongestionName)[]
  readonly joinS?: number
}

const shared = (rateMbit: number, rttMs: number, bdps: number): Row['link'] =>
  link(rateMbit, rttMs, { queueBytes: bdps * rateMbit * 125 * rttMs })

const SHARINGS: readonly Sharing[] = [
  ...[0.1, 0.5, 1, 4].map((bdps) => ({
    name: `beside CUBIC, queue ${bdps} BDP`,
    link: shared(40, 40, bdps),
    flows: ['ours', 'cubic'] as const,
  })),
  ...[0.1, 0.5, 1, 4].map((bdps) => ({
    name: `two of us, queue ${bdps} BDP`,
    link: shared(40, 40, bdps),
    flows: ['ours', 'ours'] as const,
  })),
  {
    name: 'one of us joins after 8 s',
    link: shared(40, 40, 1),
    flows: ['ours', 'ours'],
    joinS: 8,
  },
  ...[0.1, 1].map((bdps) => ({
    name: `six of us, queue ${bdps} BDP`,
    link: shared(40, 40, bdps),
    flows: Array.from({ length: 6 }, () => 'ours' as const),
  })),
  {
    name: 'one of us beside three CUBIC',
    link: shared(40, 40, 1),
    flows: ['ours', 'cubic', 'cubic', 'cubic'],
  },
]

/** Shares of what was delivered in the second half of 30 s, and what the queue dropped of it. */
export function share(
  sharing: Sharing,
  seed: number,
  ours: CongestionName,
): { shares: number[]; used: number; lost: number } {
  const { link, flows, joinS = 0.2 } = sharing
  const world = new World(seed, link)
  const server = world.addParty('server', { endpoint: { limits: WIDE } })
  const clients = flows.map((flow, i) => {
    const congestion = flow === 'ours' ? ours : flow
    return world.addParty(`client ${i}`, { endpoint: { congestion, limits: WIDE } })
  })
  const queue = world.linkBetween(clients[0]!, server)
  for (const client of clients.slice(1)) world.share(queue, client, server)
  const sent = clients.map(() => 0)
  for (const [i, client] of clients.entries()) {
    world.run(i === 0 ? 0 : 1_000 * joinS)
    const connection = client.connect(server)
    if (!world.runUntil(() => connection.state === 'open', 60_000)) throw new Error('no session')
    client.send(connection, { totalBytes: 2 ** 40, direction: 'uni' })
  }
  const acked = (): number[] =>
    clients.map(({ connections }) => {
      const { bytesSent, inFlightBytes } = connections[0]!.stats()
      return bytesSent - inFlightBytes
    })
  world.run(15_000)
  const before = acked()
  const { sent: sentBefore, overflowed } = queue.counts
  world.run(15_000)
  for (const [i, bytes] of acked().entries()) sent[i] = bytes - before[i]!
  const total = sent.reduce((sum, bytes) => sum + bytes, 0)
  return {
    shares: sent.map((bytes) => bytes / total),
    used: total / (link.rateMbit * 125 * 15_000),
    lost: (queue.counts.overflowed - overflowed) / (queue.counts.sent - sentBefore),
  }
}

function printShares(ours: CongestionName, seeds: number): void {
  console.log('shares | sent of what the link takes | overflowed | flows')
  for (const sharing of SHARINGS) {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { shares, used, lost } = share(sharing, seed, ours)
      const parts = shares.map((ratio) => (100 * ratio).toFixed(0)).join(' / ')
      console.log([parts.padEnd(29), percent(used), percent(lost), sharing.name].join(' | '))
    }
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      cc: { type: 'string', default: 'bbr' },
      seeds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      defaults: { type: 'boolean', default: false },
      fair: { type: 'boolean', default: false },
    },
  })
  if (values.fair) {
    printShares(values.cc as CongestionName, Number(values.seeds))
    return
  }
  console.log(
    'share of the limit (min … max) | goal | sent again | overflowed | longest queue | link',
  )
  for (const row of ROWS) {
    if (!row.name.includes(values.only)) continue
    const outcomes = Array.from({ length: Number(values.seeds) }, (_, i) =>
      play(row, i + 1, values.cc as CongestionName, values.defaults),
    ).sort((a, b) => a.share - b.share)
    const median = outcomes[outcomes.length >> 1]!
    const cells = [
      `${percent(median.share)} (${percent(outcomes[0]!.share)} …${percent(outcomes.at(-1)!.share)})`,
      `${percent(row.goal)}${outcomes[0]!.share < row.goal ? ' !' : '  '}`,
      percent(median.retransmitted),
      percent(median.overflowed),
      `${median.queueMs.toFixed(0)} ms`.padStart(7),
      row.name,
    ]
    console.log(cells.join(' | '))
  }
}

if (import.meta.main) main()
