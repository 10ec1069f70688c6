// src/cli/progress.ts — what does a command tell while it runs?
import { type ClientEvent, displayPath, type ServerRef } from '../client/index.ts'
import { formatBytes } from './format.ts'
import type { Output } from './output.ts'

const STATUS_MS = 100
const begun = performance.now()
let totals = { files: 0, bytes: 0, isFinal: false }
let shownMs = 0

/** Problems and notices always, what happens to each blob with --verbose, a line that changes on
 * a terminal. */
export function sayEvent(output: Output, event: ClientEvent): void {
  switch (event.type) {
    case 'total':
      totals = { files: event.files, bytes: event.bytes, isFinal: event.final }
      break
    case 'progress':
      sayProgress(output, event)
      break
    case 'problem': {
      const { path, code, message } = event.problem
      const where = path && displayPath(path)
      // Most messages name the path themselves.
      const words = where === null || message.includes(where) ? message : `${where}: ${message}`
      output.say(words, { type: 'problem', code, path: where })
      break
    }
    case 'notice':
      output.say(event.message, { type: 'notice', code: event.code })
      break
    case 'waiting':
      output.say(`waiting: ${event.message}`, { type: 'waiting', code: event.code })
      break
    case 'resumed':
      output.say('going on', { type: 'resumed' })
      break
    case 'bad-replica':
      output.say(event.message, { type: 'bad-replica', server: event.server })
      break
    case 'blob': {
      const { state, blobId, primary, backupServer } = event
      const ways = [primary, backupServer].flatMap((server) => (server ? [nameOf(server)] : []))
      const message = `blob ${blobId.slice(0, 8)} ${state}: ${ways.join(', ')} ${event.message}`
      output.detail(message.trim(), { ...event })
      break
    }
  }
}

const nameOf = (server: ServerRef): string => server.name || `server ${server.number}`

function sayProgress(
  output: Output,
  event: { files: number; bytes: number; storedBytes: number },
): void {
  const nowMs = performance.now()
  if (!output.isTerminal || nowMs - shownMs < STATUS_MS) return
  shownMs = nowMs
  const seconds = Math.floor((nowMs - begun) / 1000)
  const share = totals.isFinal && totals.bytes > 0 ? event.bytes / totals.bytes : null
  const percent = share === null ? '' : ` ${(100 * Math.min(1, share)).toFixed(1)}%`
  const left = share && share > 0.01 ? ` ETA ${Math.ceil((seconds * (1 - share)) / share)} s` : ''
  output.status(
    `[${seconds} s]${percent}  ${event.files} files ${formatBytes(event.bytes)}, ` +
      `${formatBytes(event.storedBytes)} on servers${left}`,
  )
}
