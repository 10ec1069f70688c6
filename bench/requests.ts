// bench/requests.ts — how long does a small answer take, beside TCP, TLS and udx?
//
// 1 KiB there and 100 B back, over one connection that stays open: one at a time, then 64 in
// flight. Every request and every answer is one write(), of any transport.
import { heard } from './children.ts'
import { median } from './median.ts'
import type { Word } from './rivals/child.ts'
import { LOOPBACK, Pair } from './rivals/pair.ts'
import type { RivalSpec } from './rivals/rival.ts'
import { beside, type Goal, table } from './table.ts'

const ROUNDS_DEFAULT = 3
const ASKED_MS = 2_000
const ASKED_MS_QUICK = 500
const P50_GOAL: Goal = { atMost: 1.25 }
const RATE_GOAL: Goal = { atLeast: 0.8 }

const ENTRIES: readonly { name: string; spec: RivalSpec }[] = [
  { name: 'Node TCP', spec: { kind: 'tcp' } },
  { name: 'Node TLS 1.3', spec: { kind: 'tls' } },
  { name: 'udx-native', spec: { kind: 'udx' } },
  { name: 'holdfast', spec: { kind: 'holdfast' } },
]

/** Medians over the rounds. */
export interface RequestRow {
  readonly name: string
  readonly p50Us: number
  readonly p99Us: number
  readonly perSecondAt64: number
  readonly p99UsAt64: number
  readonly p50RatioToTcp: number
  readonly rateRatioToTcp: number
}

type Asked = Extract<Word, { kind: 'asked' }>

export async function benchRequests({
  rounds,
  quick = false,
}: {
  rounds?: number | undefined
  quick?: boolean
} = {}): Promise<RequestRow[]> {
  const count = rounds ?? (quick ? 1 : ROUNDS_DEFAULT)
  const samples = new Map<string, Asked[]>(ENTRIES.map(({ name }) => [name, []]))
  for (let round = 0; round < count; round += 1) {
    const turn = round % ENTRIES.length
    for (const { name, spec } of [...ENTRIES.slice(turn), ...ENTRIES.slice(0, turn)]) {
      samples.get(name)!.push(await ask(spec, quick ? ASKED_MS_QUICK : ASKED_MS))
    }
  }
  return toRows(samples)
}

async function ask(spec: RivalSpec, forMs: number): Promise<Asked> {
  const pair = await Pair.open('ask', spec, LOOPBACK)
  try {
    pair.order(pair.receiver, { kind: 'answer' })
    pair.order(pair.sender, { kind: 'ask', forMs })
    return await heard<Word, 'asked'>(pair.sender, 'asked')
  } finally {
    await pair.close()
  }
}

function toRows(samples: ReadonlyMap<string, readonly Asked[]>): RequestRow[] {
  const typical = (name: string, of: (asked: Asked) => number): number =>
    median((samples.get(name) ?? []).map(of))
  const p50Us = (name: string): number => typical(name, ({ one }) => one.p50Ms * 1_000)
  const rate = (name: string): number => typical(name, ({ many }) => many.perSecond)
  return ENTRIES.map(({ name }) => ({
    name,
    p50Us: p50Us(name),
    p99Us: typical(name, ({ one }) => one.p99Ms * 1_000),
    perSecondAt64: rate(name),
    p99UsAt64: typical(name, ({ many }) => many.p99Ms * 1_000),
    p50RatioToTcp: p50Us(name) / p50Us('Node TCP'),
    rateRatioToTcp: rate(name) / rate('Node TCP'),
  }))
}

export function formatRequests(rows: readonly RequestRow[]): string {
  const head = ['requests, 1 KiB → 100 B', 'p50 µs', 'p99 µs', 'p50 × TCP']
  const more = ['64 in flight: per s', 'p99 µs', 'rate × TCP']
  const lines = rows.map((row) => {
    const isOurs = row.name === 'holdfast'
    return [
      row.name,
      row.p50Us.toFixed(0),
      row.p99Us.toFixed(0),
      beside(row.p50RatioToTcp, isOurs ? P50_GOAL : undefined),
      row.perSecondAt64.toFixed(0),
      row.p99UsAt64.toFixed(0),
      beside(row.rateRatioToTcp, isOurs ? RATE_GOAL : undefined),
    ]
  })
  return table([[...head, ...more], ...lines])
}
