// bench/control.ts — how long does a small request wait on a link that bulk has filled?
import { end, forkChild, heard } from './children.ts'
import { EmulatedLink } from './emulated-link.ts'
import type { ControlWord } from './rivals/control-child.ts'
import { beside, type Goal, table } from './table.ts'

const CHILD = new URL('./rivals/control-child.ts', import.meta.url).pathname
const RTT_MS = 10
const SETTLING_MS = 3_000
const MEASURED_MS = 10_000
/** Two round trips and what timers cost. */
const GOAL: Goal = { atMost: 2 * RTT_MS + 3 }
const RATES_MBIT = [100, 1_000] as const

export interface ControlRow {
  readonly rateMbit: number
  readonly bulkMbit: number
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export async function benchControl({ quick = false } = {}): Promise<ControlRow[]> {
  const rows: ControlRow[] = []
  for (const rateMbit of RATES_MBIT) rows.push(await measure(rateMbit, quick ? 0.3 : 1))
  return rows
}

/** Request and bulk are streams of one session, of the highest and of a low urgency. */
async function measure(rateMbit: number, scale: number): Promise<ControlRow> {
  const link = await EmulatedLink.open(`rate=${rateMbit},delay=${RTT_MS / 2}`)
  const server = forkChild(CHILD, ['serve', '0.0.0.0'], { namespace: link.namespace(2) })
  try {
    const { port } = await heard<ControlWord, 'ready'>(server, 'ready')
    const times = [SETTLING_MS, MEASURED_MS].map((ms) => String(ms * scale))
    const words = ['ask', link.address(2), String(port), ...times]
    const client = forkChild(CHILD, words, { namespace: link.namespace(1) })
    const asked = await heard<ControlWord, 'asked'>(client, 'asked')
    await end(client)
    const { requests, p50Ms, p99Ms } = asked.requests
    return { rateMbit, bulkMbit: asked.bulkBitsPerSecond / 1e6, requests, p50Ms, p99Ms }
  } finally {
    await end(server)
    await link.close()
  }
}

export function formatControl(rows: readonly ControlRow[]): string {
  const head = ['a request beside bulk, 10 ms RTT', 'bulk Mbit/s', 'requests', 'p50 ms', 'p99 ms']
  const lines = rows.map((row) => [
    `${row.rateMbit} Mbit/s`,
    row.bulkMbit.toFixed(1),
    String(row.requests),
    row.p50Ms.toFixed(1),
    beside(row.p99Ms, GOAL),
  ])
  return table([head, ...lines])
}
