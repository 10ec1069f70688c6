// src/client-tui/present/lines.ts — how does the model look? Models in, plain lines out.
//
// A line is a list of pieces with a style each; the view turns them into what blessed understands,
// so that a file name can never be taken for markup.
import { basename } from 'node:path'
import type { Activity, FileChoice, Model, SavedRow } from '../model.ts'

export type Style = 'plain' | 'dim' | 'bold' | 'good' | 'bad' | 'marked'
export interface Piece {
  readonly text: string
  readonly style: Style
}
export type Line = readonly Piece[]

const piece = (text: string, style: Style = 'plain'): Piece => ({ text, style })

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** What can't be shown becomes `?`; too long loses its beginning, where paths tell least. */
export function fit(text: string, columns: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those must not reach the terminal
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
  if (clean.length <= columns) return clean
  return columns <= 1 ? '…' : `…${clean.slice(clean.length - columns + 1)}`
}

export function presentFiles(model: Model, columns: number): Line[] {
  return model.files.map((file, index) => {
    const isPicked = model.focus === 'files' && index === model.picked
    return [
      piece(isPicked ? '▸ ' : '  ', 'good'),
      piece(
        fileLine(file, columns - 2),
        isPicked ? 'marked' : file.sizeBytes === null ? 'bad' : 'plain',
      ),
    ]
  })
}

function fileLine(file: FileChoice, columns: number): string {
  const key = file.key.padEnd(2)
  const label = (file.label || 'typed').padEnd(7)
  const size = (file.sizeBytes === null ? 'not there' : formatSize(file.sizeBytes)).padStart(10)
  const name = fit(file.label ? basename(file.path) : file.path, Math.max(8, columns - 24))
  return `${key} ${label} ${name.padEnd(Math.max(8, columns - 24))} ${size}`
}

export function presentActivity(activity: Activity | null, columns: number): Line[] {
  if (!activity) return [[piece('Nothing under way.', 'dim')]]
  const verb = activity.kind === 'backup' ? 'storing' : 'restoring'
  const what = fit(activity.what, Math.max(10, columns - 14))
  if (activity.outcome === 'failed') {
    return [[piece(`${verb} ${what} failed`, 'bad')], [piece(fit(activity.result, columns))]]
  }
  const barColumns = Math.max(10, columns - 34)
  const lines: Line[] = [
    [piece(`${verb} `), piece(what, 'bold'), piece(bytesLine(activity), 'dim')],
  ]
  if (activity.kind === 'backup') {
    lines.push(serverLine('to', activity.primary, activity.primaryRatio, barColumns))
    lines.push(serverLine('and', activity.backupServer, activity.backupRatio, barColumns))
  } else if (activity.totalBytes) {
    const ratio = Math.min(1, activity.doneBytes / activity.totalBytes)
    lines.push([piece(bar(activity.outcome === 'done' ? 1 : ratio, barColumns), 'good')])
  }
  if (activity.outcome === 'done') lines.push([piece(activity.result, 'good')])
  return lines
}

const bytesLine = (activity: Activity): string =>
  activity.doneBytes > 0 && activity.outcome === 'running'
    ? `  ${formatSize(activity.doneBytes)}`
    : ''

function serverLine(word: string, name: string | null, ratio: number, columns: number): Line {
  const server = name ?? (word === 'to' ? 'asking the manager' : 'backup server')
  const percent = `${Math.floor(ratio * 100)} %`.padStart(6)
  return [
    piece(`  ${word.padEnd(3)} ${fit(server, 18).padEnd(18)} `),
    piece(bar(ratio, columns), ratio >= 1 ? 'good' : 'plain'),
    piece(percent, 'dim'),
  ]
}

export function bar(ratio: number, columns: number): string {
  const full = Math.round(Math.max(0, Math.min(1, ratio)) * columns)
  return '█'.repeat(full) + '░'.repeat(columns - full)
}

export function presentSaved(model: Model, columns: number, rows: number): Line[] {
  if (model.saved.length === 0) return [[piece('Nothing is stored yet.', 'dim')]]
  // The marked line stays in sight.
  const first = Math.max(0, Math.min(model.savedIndex - rows + 1, model.saved.length - rows))
  return model.saved.slice(first, first + rows).map((row, at) => {
    const isMarked = model.focus === 'saved' && first + at === model.savedIndex
    return [
      piece(isMarked ? '▸ ' : '  ', 'good'),
      piece(savedLine(row, columns - 2), isMarked ? 'marked' : 'plain'),
    ]
  })
}

function savedLine(row: SavedRow, columns: number): string {
  const at = new Date(row.timeMs)
  const two = (value: number): string => String(value).padStart(2, '0')
  const day = `${two(at.getMonth() + 1)}-${two(at.getDate())}`
  const time = `${day} ${two(at.getHours())}:${two(at.getMinutes())}`
  const servers = row.servers === null ? '…' : row.servers.join(' + ')
  const names = row.paths.map((path) => basename(path) || path).join(' ')
  const head = `${row.snapshot.slice(0, 8)} ${time} ${formatSize(row.bytes).padStart(9)}`
  const tail = `on ${fit(servers, 34)}`
  const room = Math.max(6, columns - head.length - tail.length - 2)
  return `${head} ${fit(names, room).padEnd(room)} ${tail}`
}

export function presentServers(model: Model, columns: number): Line[] {
  if (model.statusProblem) return [[piece(fit(model.statusProblem, columns), 'bad')]]
  if (!model.status) return [[piece('asking the manager …', 'dim')]]
  const { servers } = model.status
  const full = serverPieces(servers, true)
  const columnsWanted = full.reduce((sum, { text }) => sum + text.length, 0)
  const pieces = columnsWanted <= columns ? full : serverPieces(servers, false)
  const { underReplicated, total } = model.status.blobs
  const health = model.status.safeMode
    ? piece('safe mode: waiting for the servers', 'bold')
    : underReplicated > 0
      ? piece(`${underReplicated} of ${total} blobs lack a second copy: store again`, 'bad')
      : piece('everything stored is on two servers', 'dim')
  return [pieces, [health]]
}

function serverPieces(
  servers: NonNullable<Model['status']>['servers'],
  withBytes: boolean,
): Piece[] {
  return servers.flatMap(({ name, state, usedBytes }) => [
    piece(`${name} `),
    piece(state, state === 'up' ? 'good' : state === 'suspect' ? 'bold' : 'bad'),
    piece(withBytes ? ` ${formatSize(usedBytes)}  ` : '   ', 'dim'),
  ])
}

export function presentMessage(model: Model, columns: number): Line {
  if (model.typing) {
    const ask = model.typing.purpose === 'path' ? 'Path to store: ' : 'Restore to folder: '
    return [piece(ask, 'bold'), piece(`${fit(model.typing.text, columns - ask.length - 2)}▏`)]
  }
  const style = model.message.kind === 'info' ? 'plain' : model.message.kind
  return [piece(fit(model.message.text, columns), style)]
}
