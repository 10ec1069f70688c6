// test/sim/links.ts — how much of a link does the transport use, from the first HELLO to the last
// byte? `node test/sim/links.ts [--cc NAME] [--seeds N] [--only TEXT] [--defaults]` prints a table.
// --defaults: buffers and windows as they are for everybody; else so large that they limit nothing.
//
// Shares are of rate × (1 − loss) × 94.6 %, what a path of 1500-byte packets can carry of payload.
import { parseArgs } from 'node:util'
import type { CongestionName } from '../../protocol/congestion/controller.ts'
import type { LinkOptions } from './link.ts'
import { World } from './world.ts'

const PAYLOAD_SHARE = 0.946
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
  if (!world.runUntil(isDone, 600_000)) throw new Error('not done')
  const ms = server.intakes[0]!.finishedMs!
  const loss = (row.link.lossRatio ?? 0) + (row.link.corruptRatio ?? 0)
  const limit = row.link.rateMbit * 125 * (1 - loss) * PAYLOAD_SHARE
  const { counts } = world.linkBetween(client, server)
  return {
    share: row.totalBytes / ms / limit,
    retransmitted: connection.stats().bytesRetransmitted / row.totalBytes,
    overflowed: counts.overflowed / counts.sent,
    queueMs: counts.queueBytesMax / (row.link.rateMbit * 125),
    seconds: ms / 1000,
  }
}

const percent = (ratio: number): string => (100 * ratio).toFixed(1).padStart(5)

function main(): void {
  const { values } = parseArgs({
    options: {
      cc: { type: 'string', default: 'bbr' },
      seeds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      defaults: { type: 'boolean', default: false },
    },
  })
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
