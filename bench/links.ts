// bench/links.ts — how much of a bad link is used, beside kernel TCP (BBR, CUBIC) and udx?
//
// Each cell is two processes in namespaces of their own with the emulator between them, from before
// the connect to the last byte, every byte compared. Limit: rate × (1 − loss) × 94.6 %, the
// payload's share of 1500-byte packets.
import { EmulatedLink } from './emulated-link.ts'
import { median } from './median.ts'
import { type Place, type Transfer, transfer } from './rivals/pair.ts'
import type { RivalSpec } from './rivals/rival.ts'
import { beside, type Goal, isMet, table } from './table.ts'

const MIB = 2 ** 20
const PAYLOAD_SHARE = 0.946
const QUICK_DIVISOR = 4

interface LinkCase {
  readonly name: string
  /** linkemu's, the same both ways. */
  readonly settings: string
  readonly rateMbit: number
  readonly lossRatio?: number
  readonly bytes: number
  /** Ratios to rivals are of so many: what the goals' figures of the rivals were measured with. */
  readonly ratioBytes: number
  readonly secondsMax: number
  /** Of the limit; over the best of all rivals, of TCP, over BBR and over CUBIC. */
  readonly goals: {
    readonly limit?: Goal
    readonly best?: Goal
    readonly bestTcp?: Goal
    readonly bbr?: Goal
    readonly cubic?: Goal
    /** IP bytes per byte delivered, there and back. */
    readonly wire?: Goal
    readonly back?: Goal
  }
}

/** So many bytes that a full link takes some ten seconds. */
export const LINKS: readonly LinkCase[] = [
  {
    name: '1000 Mbit/s, 10 ms',
    settings: 'rate=1000,delay=5',
    rateMbit: 1_000,
    bytes: 512 * MIB,
    ratioBytes: 256 * MIB,
    secondsMax: 12,
    goals: { bestTcp: { atLeast: 0.95 } },
  },
  {
    name: '100 Mbit/s, 50 ms',
    settings: 'rate=100,delay=25',
    rateMbit: 100,
    bytes: 128 * MIB,
    ratioBytes: 32 * MIB,
    secondsMax: 14,
    goals: {
      limit: { atLeast: 0.97 },
      bestTcp: { atLeast: 1.05 },
      wire: { atMost: 1.06 },
      back: { atMost: 0.02 },
    },
  },
  {
    name: '100 Mbit/s, 50 ms, 1 % loss',
    settings: 'rate=100,delay=25,loss=1',
    rateMbit: 100,
    lossRatio: 0.01,
    bytes: 128 * MIB,
    ratioBytes: 32 * MIB,
    secondsMax: 14,
    goals: { limit: { atLeast: 0.95 }, bbr: { atLeast: 1.1 }, cubic: { atLeast: 20 } },
  },
  {
    name: '1000 Mbit/s, 50 ms, 1 % loss',
    settings: 'rate=1000,delay=25,loss=1',
    rateMbit: 1_000,
    lossRatio: 0.01,
    bytes: 768 * MIB,
    ratioBytes: 768 * MIB,
    secondsMax: 14,
    goals: { limit: { atLeast: 0.9 } },
  },
  {
    name: '100 Mbit/s, 100 ms, 5 % loss',
    settings: 'rate=100,delay=50,loss=5',
    rateMbit: 100,
    lossRatio: 0.05,
    bytes: 128 * MIB,
    ratioBytes: 32 * MIB,
    secondsMax: 18,
    goals: { limit: { atLeast: 0.8 }, best: { atLeast: 1.25 } },
  },
  {
    name: '20 Mbit/s, 150 ms, jitter 10, reorder 2 %, loss 2 %',
    settings: 'rate=20,delay=75,jitter=10,reorder=2,loss=2',
    rateMbit: 20,
    lossRatio: 0.02,
    bytes: 24 * MIB,
    ratioBytes: 8 * MIB,
    secondsMax: 16,
    goals: { limit: { atLeast: 0.75 }, best: { atLeast: 5 } },
  },
  {
    name: '100 Mbit/s, 50 ms, 0.5 % corrupted',
    settings: 'rate=100,delay=25,corrupt=0.5',
    rateMbit: 100,
    bytes: 128 * MIB,
    ratioBytes: 32 * MIB,
    secondsMax: 14,
    goals: { limit: { atLeast: 0.95 } },
  },
  {
    name: '50 Mbit/s, 300 ms, 1 % loss in bursts of 8',
    settings: 'rate=50,delay=150,loss=1,burst=8',
    rateMbit: 50,
    lossRatio: 0.01,
    bytes: 64 * MIB,
    ratioBytes: 64 * MIB,
    secondsMax: 28,
    goals: { limit: { atLeast: 0.75 }, best: { atLeast: 1.5 } },
  },
  {
    name: '100 Mbit/s, 50 ms, queue of 64 KB',
    settings: 'rate=100,delay=25,queue=64',
    rateMbit: 100,
    bytes: 128 * MIB,
    ratioBytes: 32 * MIB,
    secondsMax: 14,
    goals: { bbr: { atLeast: 1 } },
  },
]

const RIVALS = ['holdfast', 'bbr', 'cubic', 'udx'] as const
type RivalName = (typeof RIVALS)[number]

const SPECS: Readonly<Record<RivalName, RivalSpec>> = {
  holdfast: { kind: 'holdfast' },
  bbr: { kind: 'tcp', congestion: 'bbr' },
  cubic: { kind: 'tcp', congestion: 'cubic' },
  udx: { kind: 'udx' },
}

export interface LinkCell {
  readonly megabitsPerSecond: number
  /** Of the first bytes, see `ratioBytes`. */
  readonly firstMegabitsPerSecond: number
  readonly limitRatio: number
  /** IP bytes sent there, and back, per byte delivered. */
  readonly wireRatio: number
  readonly backRatio: number
  /** False: the time was over before all bytes came. */
  readonly isWhole: boolean
  readonly hasWrongBytes: boolean
}

export interface LinkRow {
  readonly name: string
  readonly limitMbit: number
  /** Medians over the rounds. */
  readonly cells: Readonly<Partial<Record<RivalName, LinkCell>>>
  readonly goals: readonly { readonly what: string; readonly value: number; readonly goal: Goal }[]
  readonly isMet: boolean
}

export interface LinkOptions {
  /** Only links with this in their name. */
  readonly only?: string | undefined
  readonly quick?: boolean
  readonly rounds?: number | undefined
  /** Only holdfast. */
  readonly alone?: boolean
  readonly congestion?: string | undefined
  readonly onRow?: (row: LinkRow) => void
}

/** Fails for what no link has in its name. */
export async function benchLinks(options: LinkOptions): Promise<LinkRow[]> {
  const { only, rounds = 1, alone = false, onRow } = options
  const cases = LINKS.filter(({ name }) => only === undefined || name.includes(only))
  if (cases.length === 0) {
    throw new Error(`no link has '${only}' in its name: ${LINKS.map((l) => l.name).join('; ')}`)
  }
  const rivals = alone ? (['holdfast'] as const) : RIVALS
  const rows: LinkRow[] = []
  for (const [index, link] of cases.entries()) {
    const cells = new Map<RivalName, LinkCell[]>(rivals.map((rival) => [rival, []]))
    for (let round = 0; round < rounds; round += 1) {
      const turn = (index + round) % rivals.length
      for (const rival of [...rivals.slice(turn), ...rivals.slice(0, turn)]) {
        cells.get(rival)!.push(await measure(link, rival, { ...options, seed: round + 1 }))
      }
    }
    const row = toRow(link, cells)
    onRow?.(row)
    rows.push(row)
  }
  return rows
}

async function measure(
  link: LinkCase,
  rival: RivalName,
  { quick, congestion, seed }: LinkOptions & { seed: number },
): Promise<LinkCell> {
  const emulated = await EmulatedLink.open(link.settings, { seed })
  try {
    const place: Place = {
      host: emulated.address(2),
      receiver: emulated.namespace(2),
      sender: emulated.namespace(1),
    }
    const spec = SPECS[rival]
    const set = rival === 'holdfast' && congestion ? { ...spec, congestion } : spec
    const divisor = quick ? QUICK_DIVISOR : 1
    const what = {
      bytes: link.bytes / divisor,
      markBytes: link.ratioBytes / divisor,
      secondsMax: link.secondsMax / divisor,
    }
    const done = await transfer(set, place, what)
    const [there, back] = await emulated.sent()
    return toCell(link, done, { there: there?.bytes ?? 0, back: back?.bytes ?? 0 })
  } finally {
    await emulated.close()
  }
}

const limitOf = ({ rateMbit, lossRatio = 0 }: LinkCase): number =>
  rateMbit * (1 - lossRatio) * PAYLOAD_SHARE

function toCell(link: LinkCase, done: Transfer, wire: { there: number; back: number }): LinkCell {
  const megabitsPerSecond = done.bitsPerSecond / 1e6
  return {
    megabitsPerSecond,
    firstMegabitsPerSecond: done.bitsPerSecondToMark / 1e6,
    limitRatio: megabitsPerSecond / limitOf(link),
    wireRatio: wire.there / done.bytes,
    backRatio: wire.back / done.bytes,
    isWhole: done.isWhole,
    hasWrongBytes: done.wrongAt !== null,
  }
}

function toRow(link: LinkCase, samples: ReadonlyMap<RivalName, readonly LinkCell[]>): LinkRow {
  const cells = Object.fromEntries(
    [...samples].map(([rival, all]) => [rival, typical(all)]),
  ) as LinkRow['cells']
  const { name } = link
  const goals = goalsOf(link, cells)
  const isRight = !cells.holdfast?.hasWrongBytes
  const limitMbit = limitOf(link)
  return {
    name,
    limitMbit,
    cells,
    goals,
    isMet: isRight && goals.every(({ value, goal }) => isMet(value, goal)),
  }
}

function typical(all: readonly LinkCell[]): LinkCell {
  const of = (pick: (cell: LinkCell) => number): number => median(all.map(pick))
  return {
    megabitsPerSecond: of((cell) => cell.megabitsPerSecond),
    firstMegabitsPerSecond: of((cell) => cell.firstMegabitsPerSecond),
    limitRatio: of((cell) => cell.limitRatio),
    wireRatio: of((cell) => cell.wireRatio),
    backRatio: of((cell) => cell.backRatio),
    isWhole: all.every((cell) => cell.isWhole),
    hasWrongBytes: all.some((cell) => cell.hasWrongBytes),
  }
}

function goalsOf({ goals }: LinkCase, cells: LinkRow['cells']): LinkRow['goals'] {
  const { holdfast, bbr, cubic, udx } = cells
  const over = (...rivals: (LinkCell | undefined)[]): number => ratio('first', holdfast, rivals)
  const all = [
    ['limit', holdfast?.limitRatio ?? Number.NaN, goals.limit],
    ['best peer', over(bbr, cubic, udx), goals.best],
    ['best TCP', over(bbr, cubic), goals.bestTcp],
    ['BBR', over(bbr), goals.bbr],
    ['CUBIC', over(cubic), goals.cubic],
    ['wire', holdfast?.wireRatio ?? Number.NaN, goals.wire],
    ['back', holdfast?.backRatio ?? Number.NaN, goals.back],
  ] as const
  return all.flatMap(([what, value, goal]) =>
    goal && !Number.isNaN(value) ? [{ what, value, goal }] : [],
  )
}

/** Holdfast's goodput over that of the best of these; NaN where one is not measured. */
function ratio(
  of: 'first' | 'all',
  holdfast: LinkCell | undefined,
  rivals: readonly (LinkCell | undefined)[],
): number {
  const goodput = (cell: LinkCell | undefined): number =>
    (of === 'first' ? cell?.firstMegabitsPerSecond : cell?.megabitsPerSecond) ?? Number.NaN
  return goodput(holdfast) / Math.max(...rivals.map(goodput))
}

const NOTE = [
  'Mbit/s of the whole transfer; * the time was over first, and what had come by then counts',
  '× best: over the best rival, of the first bytes (those that goals beside rivals are of) and of all',
  'wire: IP bytes there and back per byte delivered, of holdfast',
].join('\n')

export function formatLinks(rows: readonly LinkRow[]): string {
  const head = [
    'link',
    'limit',
    'holdfast',
    'share',
    'TCP BBR',
    'CUBIC',
    'udx',
    '× best: first',
    'all',
  ]
  const lines = rows.map(({ name, limitMbit, cells, goals, isMet: isRowMet }) => {
    const { holdfast, bbr, cubic, udx } = cells
    const best = (of: 'first' | 'all'): string => ratioText(ratio(of, holdfast, [bbr, cubic, udx]))
    const figures = [holdfast?.limitRatio.toFixed(2) ?? '–', ...[bbr, cubic, udx].map(cellText)]
    const verdict = goals.length === 0 ? '' : isRowMet ? 'met' : 'MISSED'
    const texts = goals.map(({ what, value, goal }) => `${what} ${beside(value, goal)}`)
    return [
      ...[name, limitMbit.toFixed(1), cellText(holdfast), ...figures, best('first'), best('all')],
      ...[wireText(holdfast), verdict, texts.join(', ')],
    ]
  })
  return `${table([[...head, 'wire', '', 'goals'], ...lines], { note: true })}\n${NOTE}`
}

const ratioText = (value: number): string => (Number.isFinite(value) ? value.toFixed(2) : '–')

function cellText(cell: LinkCell | undefined): string {
  if (!cell) return '–'
  const { megabitsPerSecond } = cell
  const digits = megabitsPerSecond < 10 ? 2 : 1
  const wrong = cell.hasWrongBytes ? ' WRONG BYTES' : ''
  return `${megabitsPerSecond.toFixed(digits)}${cell.isWhole ? '' : '*'}${wrong}`
}

const wireText = (cell: LinkCell | undefined): string =>
  cell ? `${cell.wireRatio.toFixed(3)} / ${cell.backRatio.toFixed(3)}` : '–'
