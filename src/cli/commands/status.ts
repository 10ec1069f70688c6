// src/cli/commands/status.ts — how is the cluster?
import type { ClusterStatus } from '../../client/index.ts'
import { canEnrolHere } from '../../identity/index.ts'
import { formatBytes, plural } from '../format.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'
import { withClient } from './with-client.ts'

const ENROL_WAIT_MS = 1_000
const DEADLINE_MS_MAX = 3_000
const DEADLINE_MS_MIN = 1_000
/** From the start of the process; what is left of the 5 s is for closing. */
const ANSWER_MS = 4_000

/** Answers or fails within 5 s. */
export async function runStatus(settings: Settings, output: Output): Promise<number> {
  // Where the manager's data folder is at hand, whoever asks need not be a client of the config.
  const asOperator = await canEnrolHere(settings.dataDir)
  const options = { signal: interruptSignal(), enrolWaitMs: ENROL_WAIT_MS, asOperator }
  const status = await withClient(settings, options, (client) =>
    client.status({ deadlineMs: deadlineMs() }),
  )
  output.result({ type: 'status', ...status }, describeStatus(status))
  return 0
}

/** On a busy machine the start alone takes a second or two. */
const deadlineMs = (): number => {
  const leftMs = Math.round(ANSWER_MS - performance.now())
  return Math.max(DEADLINE_MS_MIN, Math.min(DEADLINE_MS_MAX, leftMs))
}

/** One line per server, then what is stored. */
export function describeStatus(status: ClusterStatus): string[] {
  const width = Math.max(...status.servers.map((server) => server.name.length), 6)
  const rows = status.servers.map((server) => {
    const name = server.name.padEnd(width)
    const used = formatBytes(server.usedBytes).padStart(10)
    const free = formatBytes(server.freeBytes).padStart(10)
    const state = server.state.padEnd(8)
    const full = server.readOnly ? '  takes nothing new: its disk is full or failing' : ''
    return `${name}  ${state} ${used} used ${free} free  ${plural(server.blobs, 'blob')}${full}`
  })
  const { total, underReplicated, lost } = status.blobs
  const health =
    underReplicated === 0
      ? `${total === 1 ? 'it is' : 'all of them are'} on two servers`
      : `${underReplicated} lack a second copy (back up again to mend), ${lost} have none`
  const stored = total === 0 ? 'nothing is stored yet' : `${plural(total, 'blob')}, ${health}`
  const safe = status.safeMode ? ['safe mode: the manager waits for its servers to report'] : []
  return [
    ...(rows.length > 0 ? rows : ['no server has ever registered']),
    `${stored}; ${plural(status.snapshots, 'snapshot')}`,
    ...safe,
  ]
}
