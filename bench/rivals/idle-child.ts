// bench/rivals/idle-child.ts — one end of many connections that say nothing
//
//   idle-child.ts serve HOST
//   idle-child.ts dial HOST PORT          dials as many as it is told to
import { openEndpoint, SERVER } from './holdfast.ts'

export interface IdleUse {
  /** Before and after its garbage was collected. */
  readonly cpuSeconds: readonly [before: number, after: number]
  readonly rssBytes: number
}

export type IdleOrder = { kind: 'dial'; count: number } | { kind: 'use' }
export type IdleWord =
  | { kind: 'ready'; port: number }
  | { kind: 'dialled' }
  | ({ kind: 'used' } & IdleUse)

/** So many handshakes at once. */
const AT_ONCE = 8

const say = (word: IdleWord): void => void process.send?.(word)

process.once('disconnect', () => process.exit(0)) // the parent is gone

const [role, host = '', port = ''] = process.argv.slice(2)
const endpoint = await openEndpoint(
  { kind: 'holdfast' },
  host,
  role === 'serve' ? 'server' : 'client',
)
endpoint.onSession((session) => session.onStream((stream) => stream.resume().end()))
say({ kind: 'ready', port: endpoint.local.port })

process.on('message', async (order: IdleOrder) => {
  if (order.kind === 'dial') {
    await dial(order.count)
    say({ kind: 'dialled' })
  } else {
    const before = cpuSeconds()
    // What is only waiting to be collected is nobody's cost.
    for (let time = 0; time < 3; time += 1) globalThis.gc?.()
    const rssBytes = process.memoryUsage.rss()
    say({ kind: 'used', cpuSeconds: [before, cpuSeconds()], rssBytes })
  }
})

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** They have shaken hands, and said nothing since. */
async function dial(count: number): Promise<void> {
  let left = count
  const to = { host, port: Number(port), publicKey: SERVER.publicKey }
  const some = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await endpoint.connect(to)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, some))
}
