// bench/fairness.ts — what does a flow leave to others on the same link?
//
// Two transfers from one host to another, through one queue of a bandwidth-delay product. Shares are
// of what arrived after the first seconds.
import { setTimeout as sleep } from 'node:timers/promises'
import { EmulatedLink } from './emulated-link.ts'
import { Pair, type Place } from './rivals/pair.ts'
import type { RivalSpec } from './rivals/rival.ts'
import { table } from './table.ts'

const SETTINGS = 'rate=100,delay=25'
const SETTLING_MS = 5_000
const MEASURED_MS = 15_000
/** More than the link can carry. */
const BYTES = 2 ** 40
/** Nobody below this. */
export const SHARE_MIN = 0.15

const BESIDE: readonly { name: string; spec: RivalSpec }[] = [
  { name: 'another holdfast', spec: { kind: 'holdfast' } },
  { name: 'TCP CUBIC', spec: { kind: 'tcp', congestion: 'cubic' } },
  { name: 'TCP BBR', spec: { kind: 'tcp', congestion: 'bbr' } },
]

export interface FairnessRow {
  readonly beside: string
  readonly holdfastMbit: number
  readonly otherMbit: number
  /** Of both together, 0 to 1. */
  readonly holdfastShare: number
  readonly isFair: boolean
}

export interface FairnessOptions {
  readonly quick?: boolean
  readonly congestion?: string | undefined
}

export async function benchFairness(options: FairnessOptions = {}): Promise<FairnessRow[]> {
  const rows: FairnessRow[] = []
  for (const { name, spec } of BESIDE) rows.push(await measure(name, spec, options))
  return rows
}

async function measure(
  name: string,
  other: RivalSpec,
  { quick = false, congestion }: FairnessOptions,
): Promise<FairnessRow> {
  const own: RivalSpec = { kind: 'holdfast', ...(congestion && { congestion }) }
  const link = await EmulatedLink.open(SETTINGS)
  const pairs: Pair[] = []
  try {
    const place: Place = {
      host: link.address(2),
      receiver: link.namespace(2),
      sender: link.namespace(1),
    }
    for (const spec of [own, other.kind === 'holdfast' ? own : other]) {
      pairs.push(await Pair.open('send', spec, place))
    }
    for (const pair of pairs) {
      pair.order(pair.receiver, { kind: 'take', warmUpBytes: 0 })
      pair.order(pair.sender, { kind: 'send', bytes: BYTES, warmUpBytes: 0 })
    }
    const report = () => Promise.all(pairs.map((pair) => pair.report()))
    await sleep(quick ? SETTLING_MS / 5 : SETTLING_MS)
    const before = await report()
    await sleep(quick ? MEASURED_MS / 5 : MEASURED_MS)
    const after = await report()
    const [holdfastMbit = 0, otherMbit = 0] = after.map(({ bytes, now }, index) => {
      const start = before[index]!
      return ((bytes - start.bytes) * 8e3) / (now.atNs - start.now.atNs)
    })
    const holdfastShare = holdfastMbit / (holdfastMbit + otherMbit)
    const isFair = Math.min(holdfastShare, 1 - holdfastShare) >= SHARE_MIN
    return { beside: name, holdfastMbit, otherMbit, holdfastShare, isFair }
  } finally {
    await Promise.all(pairs.map((pair) => pair.close()))
    await link.close()
  }
}

export function formatFairness(rows: readonly FairnessRow[]): string {
  const head = ['100 Mbit/s, 50 ms, shared with', 'holdfast', 'the other', 'share of holdfast', '']
  const lines = rows.map((row) => [
    row.beside,
    row.holdfastMbit.toFixed(1),
    row.otherMbit.toFixed(1),
    `${(100 * row.holdfastShare).toFixed(0)} %`,
    row.isFair ? 'met' : `MISSED (nobody below ${100 * SHARE_MIN} %)`,
  ])
  return table([head, ...lines])
}
