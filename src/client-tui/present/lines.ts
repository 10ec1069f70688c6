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

/** Below it there is room for the least only. */
const NARROW_COLUMNS = 60

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
  const clean = printable(text)
  if (columnsOf(clean) <= columns) return clean
  const kept: string[] = []
  let left = columns - 1
  for (const character of [...clean].reverse()) {
    left -= columnsOf(character)
    if (left < 0) break
    kept.unshift(character)
  }
  return `…${kept.join('')}`
}

const fill = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(0, columns - columnsOf(text)))

const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those must not reach the terminal
  text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, '?')

// Unicode Standard Annex 11: the wide and full-width ranges that file names meet; marks take none.
const WIDE = new RegExp(
  '[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf' +
    '\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6' +
    '\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]',
  'u',
)

/** Columns on a terminal. */
export function columnsOf(text: string): number {
  let columns = 0
  for (const character of text)
    columns += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return columns
}

/** Words on lines; what does not fit in `rows` lines is cut with an ellipsis. */
export function wrap(text: string, columns: number, rows: number): string[] {
  const lines: string[] = ['']
  for (const word of printable(text.replaceAll('\n', ' ')).split(/ +/)) {
    const line = lines.at(-1) ?? ''
    const longer = line === '' ? word : `${line} ${word}`
    if (columnsOf(longer) <= columns || line === '') lines[lines.length - 1] = longer
    else lines.push(word)
  }
  const shown = lines
    .slice(0, rows)
    .map((line) => (columnsOf(line) > columns ? fit(line, columns) : line))
  if (lines.length > rows) shown.push(`${[...(shown.pop() ?? '')].slice(0, columns - 1).join('')}…`)
  return shown
}

export function presentFiles(model: Model, columns: number, rows: number): Line[] {
  const first = firstShown(model.picked, rows, model.files.length)
  return model.files.slice(first, first + rows).map((file, at) => {
    const index = first + at
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

/** The marked line stays in sight. */
const firstShown = (marked: number, rows: number, count: number): number =>
  Math.max(0, Math.min(marked - rows + 1, count - rows))

function fileLine(file: FileChoice, columns: number): string {
  const key = file.key.padEnd(2)
  const label = (file.label || 'typed').padEnd(7)
  const size = sizeOf(file).padStart(10)
  const name = fit(file.label ? basename(file.path) : file.path, Math.max(8, columns - 24))
  return `${key} ${label} ${fill(name, Math.max(8, columns - 24))} ${size}`
}

const sizeOf = ({ sizeBytes, isFolder }: FileChoice): string =>
  sizeBytes === null ? 'not there' : isFolder ? 'folder' : formatSize(sizeBytes)

export function presentActivity(activity: Activity | null, columns: number): Line[] {
  if (!activity) return [[piece('Nothing under way.', 'dim')]]
  const [doing, did] =
    activity.kind === 'backup' ? ['storing', 'stored'] : ['restoring', 'restored']
  const verb = activity.outcome === 'done' ? did : doing
  const far = progressOf(activity)
  const what = fit(activity.what, Math.max(8, columns - verb.length - 1 - far.length))
  if (activity.outcome === 'failed') {
    const why = wrap(activity.result, columns, 3).map((text): Line => [piece(text)])
    return [[piece(`${verb} ${what} failed`, 'bad')], ...why]
  }
  const lines: Line[] = [[piece(`${verb} `), piece(what, 'bold'), piece(far)]]
  if (activity.kind === 'backup') {
    lines.push(serverLine('to', activity.primary, activity.primaryRatio, columns))
    lines.push(serverLine('and', activity.backupServer, activity.backupRatio, columns))
  } else if (activity.totalBytes) {
    const done = activity.outcome === 'done' ? activity.totalBytes : activity.doneBytes
    lines.push(barLine('', Math.min(1, done / activity.totalBytes), columns))
  }
  if (activity.outcome === 'done') lines.push([piece(fit(activity.result, columns), 'good')])
  return lines
}

/** "  33 %, 12.0 MiB on two servers". */
function progressOf({ kind, doneBytes, storedBytes, totalBytes, outcome }: Activity): string {
  if (doneBytes === 0 || outcome !== 'running') return ''
  const ratio = totalBytes ? Math.min(1, doneBytes / totalBytes) : null
  const share = ratio === null ? '' : `${Math.floor(100 * ratio)} %, `
  const bytes = formatSize(kind === 'backup' ? storedBytes : doneBytes)
  return `  ${share}${bytes} ${kind === 'backup' ? 'on two servers' : 'done'}`
}

function serverLine(word: string, name: string | null, ratio: number, columns: number): Line {
  const server = name ?? (word === 'to' ? 'asking the manager' : 'backup server')
  const nameColumns = headColumns(columns) - 4
  return barLine(`${word.padEnd(3)} ${fit(server, nameColumns)}`, ratio, columns)
}

const headColumns = (columns: number): number => (columns < NARROW_COLUMNS ? 14 : 22)

const barLine = (head: string, ratio: number, columns: number): Line => [
  piece(`  ${fill(head, headColumns(columns))} `),
  piece(
    bar(ratio, Math.max(4, columns - headColumns(columns) - 12)),
    ratio >= 1 ? 'good' : 'plain',
  ),
  piece(`${Math.floor(ratio * 100)} %`.padStart(6), 'dim'),
]

export function bar(ratio: number, columns: number): string {
  const full = Math.round(Math.max(0, Math.min(1, ratio)) * columns)
  return '█'.repeat(full) + '░'.repeat(columns - full)
}

export function presentSaved(model: Model, columns: number, rows: number): Line[] {
  if (model.saved.length === 0) return [[piece('Nothing is stored yet.', 'dim')]]
  const first = firstShown(model.savedIndex, rows, model.saved.length)
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
  const servers = row.servers === null ? '…' : shortNames(row.servers)
  const names = row.paths.map((path) => basename(path) || path).join(' ')
  const isNarrow = columns < NARROW_COLUMNS
  const id = row.snapshot.slice(0, 8)
  const head = isNarrow ? id : `${id} ${time} ${formatSize(row.bytes).padStart(9)}`
  const tail = `on ${fit(servers, isNarrow ? 14 : 34)}`
  const room = Math.max(6, columns - head.length - tail.length - 2)
  return `${head} ${fill(fit(names, room), room)} ${tail}`
}

/** server-1, server-2 → "server-1, 2", so that there is room for the file's name. */
export function shortNames(names: readonly string[]): string {
  const parts = names.map((name) => /^(.*?)(\d+)$/.exec(name))
  const stem = parts[0]?.[1]
  const isSame = stem && parts.every((part) => part?.[1] === stem)
  return names.map((name, at) => (isSame && at > 0 ? name.slice(stem.length) : name)).join(', ')
}

export function presentServers(model: Model, columns: number): Line[] {
  if (model.statusProblem) {
    return wrap(model.statusProblem, columns, 2).map((text) => [piece(text, 'bad')])
  }
  if (!model.status) return [[piece('asking the manager …', 'dim')]]
  const { servers } = model.status
  const full = serverPieces(servers, true)
  const columnsWanted = full.reduce((sum, { text }) => sum + text.length, 0)
  const short = serverPieces(servers, false)
  const isShortFitting = short.reduce((sum, { text }) => sum + text.length, 0) <= columns
  const few = isShortFitting ? short : countPieces(servers, columns)
  const pieces = columnsWanted <= columns ? full : few
  const { underReplicated, total } = model.status.blobs
  const health = model.status.safeMode
    ? piece('safe mode: waiting for the servers', 'bold')
    : underReplicated > 0
      ? piece(`${underReplicated} of ${total} blobs lack a second copy: store again`, 'bad')
      : piece(total === 0 ? 'nothing is stored yet' : 'all that is stored is on two servers', 'dim')
  return [pieces, [health]]
}

/** "3 of 4 servers up; server-2 suspect": where not all names fit, those that matter. */
function countPieces(servers: NonNullable<Model['status']>['servers'], columns: number): Piece[] {
  const others = servers.filter(({ state }) => state !== 'up')
  const count = `${servers.length - others.length} of ${servers.length} servers up`
  if (others.length === 0) return [piece(count, 'good')]
  const names = others.map(({ name, state }) => `${name} ${state}`).join(', ')
  return [piece(`${count}; `), piece(fit(names, columns - count.length - 2), 'bad')]
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

export function presentMessage(model: Model, columns: number, rows: number): Line[] {
  if (model.typing) {
    const ask = model.typing.purpose === 'path' ? 'Path to store: ' : 'Restore to folder: '
    return [[piece(ask, 'bold'), piece(`${fit(model.typing.text, columns - ask.length - 2)}▏`)]]
  }
  const style = model.message.kind === 'info' ? 'plain' : model.message.kind
  return wrap(model.message.text, columns, rows).map((text) => [piece(text, style)])
}
