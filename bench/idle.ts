// bench/idle.ts — what do a thousand connections cost that say nothing?
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { end, forkChild, heard } from './children.ts'
import type { IdleOrder, IdleUse, IdleWord } from './rivals/idle-child.ts'
import { beside, table } from './table.ts'

const CHILD = new URL('./rivals/idle-child.ts', import.meta.url).pathname
const HOST = '127.0.0.1'
const CONNECTIONS = 1_000
/** Code is compiled and pools are filled by these. */
const WARM_UP_CONNECTIONS = 50
/** What was said before has been acknowledged and forgotten by then. */
const SETTLING_MS = 3_000
/** Clients keep their connections alive every 15 s. */
const MEASURED_MS = 32_000
const CPU_GOAL = { atMost: 1 }
const MEMORY_GOAL = { atMost: 32 }

export interface IdleRow {
  readonly end: 'accepting' | 'dialling'
  readonly connections: number
  /** Of one core. */
  readonly cpuPercent: number
  readonly kibibytesEach: number
}

export async function benchIdle({ quick = false } = {}): Promise<IdleRow[]> {
  const options = { execArgv: ['--expose-gc'] }
  const server = forkChild(CHILD, ['serve', HOST], options)
  const { port } = await heard<IdleWord, 'ready'>(server, 'ready')
  const client = forkChild(CHILD, ['dial', HOST, String(port)], options)
  const both = [server, client] as const
  try {
    await heard<IdleWord, 'ready'>(client, 'ready')
    await dial(client, WARM_UP_CONNECTIONS)
    await sleep(SETTLING_MS)
    const without = await Promise.all(both.map(use))
    await dial(client, CONNECTIONS)
    await sleep(SETTLING_MS)
    const before = await Promise.all(both.map(use))
    const startMs = performance.now()
    await sleep(quick ? MEASURED_MS / 2 : MEASURED_MS)
    const seconds = (performance.now() - startMs) / 1_000
    const after = await Promise.all(both.map(use))
    return (['accepting', 'dialling'] as const).map((name, index) => {
      const bytes = before[index]!.rssBytes - without[index]!.rssBytes
      const cpuSeconds = after[index]!.cpuSeconds[0] - before[index]!.cpuSeconds[1]
      return {
        end: name,
        connections: CONNECTIONS,
        cpuPercent: (100 * cpuSeconds) / seconds,
        kibibytesEach: bytes / 1_024 / CONNECTIONS,
      }
    })
  } finally {
    await end(client, server)
  }
}

async function dial(client: ChildProcess, count: number): Promise<void> {
  const done = heard<IdleWord, 'dialled'>(client, 'dialled')
  client.send({ kind: 'dial', count } satisfies IdleOrder)
  await done
}

function use(child: ChildProcess): Promise<IdleUse> {
  const used = heard<IdleWord, 'used'>(child, 'used')
  child.send({ kind: 'use' } satisfies IdleOrder)
  return used
}

export function formatIdle(rows: readonly IdleRow[]): string {
  const head = [`${CONNECTIONS} idle connections`, '% of a core', 'KiB each']
  const lines = rows.map((row) => [
    `the ${row.end} process`,
    beside(row.cpuPercent, CPU_GOAL),
    beside(row.kibibytesEach, MEMORY_GOAL),
  ])
  return table([head, ...lines])
}
