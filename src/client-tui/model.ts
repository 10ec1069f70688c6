// src/client-tui/model.ts — what does the screen know, and how does news change it? Pure.
import type { BackupSummary, ClientEvent, ClusterStatus, RestoreSummary } from '../client/index.ts'

export interface FileChoice {
  /** The key that picks it. */
  readonly key: string
  /** FILE_1 … of the config, or empty for a path that was typed. */
  readonly label: string
  readonly path: string
  /** Null: it is not there. */
  readonly sizeBytes: number | null
  readonly isFolder?: boolean
}

/** A backup or a restore under way, or the last one. */
export interface Activity {
  readonly kind: 'backup' | 'restore'
  readonly what: string
  /** Null: not known yet. */
  readonly totalBytes: number | null
  /** Of the total, read or written. */
  readonly doneBytes: number
  /** On two servers, compressed. */
  readonly storedBytes: number
  /** What must not scroll by: where the key is, what was left out. */
  readonly notices: readonly string[]
  /** Bytes at the primary and at the backup server, of the blob that moved last. */
  readonly primary: string | null
  readonly backupServer: string | null
  readonly primaryRatio: number
  readonly backupRatio: number
  /** Names of all servers that something went to. */
  readonly servers: readonly string[]
  readonly outcome: 'running' | 'done' | 'failed'
  readonly result: string
}

export interface SavedRow {
  readonly snapshot: string
  readonly timeMs: number
  readonly clientName: string
  readonly paths: readonly string[]
  readonly bytes: number
  /** Names of the servers that hold it; null: not known yet. */
  readonly servers: readonly string[] | null
}

export interface Message {
  readonly kind: 'info' | 'good' | 'bad'
  readonly text: string
}

/** A line that is being typed: a path to send, or a folder to restore to. */
export interface Typing {
  readonly purpose: 'path' | 'target'
  readonly text: string
}

export interface Model {
  readonly clientName: string
  readonly files: readonly FileChoice[]
  readonly picked: number
  readonly focus: 'files' | 'saved'
  readonly typing: Typing | null
  readonly activity: Activity | null
  readonly saved: readonly SavedRow[]
  readonly savedIndex: number
  readonly status: ClusterStatus | null
  readonly statusProblem: string | null
  readonly message: Message
  readonly showsHelp: boolean
  readonly restoreFolder: string
}

export function initialModel(given: {
  clientName: string
  files: readonly FileChoice[]
  restoreFolder: string
}): Model {
  return {
    ...given,
    picked: 0,
    focus: 'files',
    typing: null,
    activity: null,
    saved: [],
    savedIndex: 0,
    status: null,
    statusProblem: null,
    message: { kind: 'info', text: 'Pick a file with 1, 2 or 3 and press Enter to store it.' },
    showsHelp: false,
  }
}

export const isBusy = (model: Model): boolean => model.activity?.outcome === 'running'

export function begin(
  model: Model,
  kind: Activity['kind'],
  what: string,
  totalBytes: number | null,
): Model {
  const activity: Activity = {
    kind,
    what,
    totalBytes,
    doneBytes: 0,
    storedBytes: 0,
    notices: [],
    primary: null,
    backupServer: null,
    primaryRatio: 0,
    backupRatio: 0,
    servers: [],
    outcome: 'running',
    result: '',
  }
  const verb = kind === 'backup' ? 'Storing' : 'Restoring'
  return { ...model, activity, typing: null, message: { kind: 'info', text: `${verb} ${what} …` } }
}

/** What the engine tells while it works. */
export function handleEvent(model: Model, event: ClientEvent): Model {
  const { activity } = model
  if (!activity) return model
  switch (event.type) {
    case 'progress': {
      const { bytes: doneBytes, storedBytes } = event
      return { ...model, activity: { ...activity, doneBytes, storedBytes } }
    }
    case 'total':
      return event.final ? { ...model, activity: { ...activity, totalBytes: event.bytes } } : model
    case 'blob':
      return { ...model, activity: { ...activity, ...blobProgress(model, activity, event) } }
    case 'notice': {
      const notices = [...activity.notices, event.message]
      const message = { kind: 'info', text: event.message } as const
      return { ...model, activity: { ...activity, notices }, message }
    }
    case 'bad-replica':
      return { ...model, message: { kind: 'info', text: event.message } }
    case 'waiting':
      return { ...model, message: { kind: 'bad', text: `Waiting: ${event.message}` } }
    case 'problem':
      return { ...model, message: { kind: 'bad', text: event.problem.message } }
    default:
      return model
  }
}

type BlobEvent = Extract<ClientEvent, { type: 'blob' }>

function blobProgress(model: Model, activity: Activity, event: BlobEvent): Partial<Activity> {
  const name = (server: BlobEvent['primary']): string | null =>
    server && (server.name || serverName(model, server.number))
  const ratio = (bytes: number): number => Math.min(1, bytes / Math.max(1, event.sizeBytes))
  const [primary, backupServer] = [name(event.primary), name(event.backupServer)]
  const reached = event.state === 'replicated' ? [primary, backupServer] : []
  const servers = [...activity.servers, ...reached.filter((server) => server !== null)]
  return {
    primary,
    backupServer,
    servers: [...new Set(servers)].sort(),
    primaryRatio: ratio(event.storedBytes),
    backupRatio: ratio(event.forwardedBytes),
  }
}

/** The engine tells numbers at first; the status has the names. */
export function serverName({ status }: Model, number: number): string {
  const server = status?.servers.find((known) => known.number === number)
  return server?.name ?? `server ${number}`
}

export function handleStored(model: Model, summary: BackupSummary): Model {
  const { activity } = model
  if (!activity) return model
  const id = summary.snapshot.slice(0, 8)
  const { servers } = activity
  const on = servers.length === 2 ? servers.join(' and ') : 'two servers each'
  const which = servers.length > 2 ? ` of ${servers.join(', ')}` : ''
  const result =
    summary.newBytes === 0 ? 'stored already, on two servers' : `stored on ${on}${which}`
  const problems = summary.warnings > 0 ? `; ${summary.warnings} problems, see above` : ''
  const stored = `${activity.what} is ${result}; snapshot ${id}${problems}`
  // The result is to be seen in two more places, a notice only here.
  const text = [...activity.notices, ...(activity.notices.length > 0 ? [] : [stored])].join('; ')
  return {
    ...model,
    activity: { ...activity, outcome: 'done', result, primaryRatio: 1, backupRatio: 1 },
    message: { kind: activity.notices.length > 0 ? 'info' : 'good', text },
  }
}

export function handleRestored(model: Model, summary: RestoreSummary, target: string): Model {
  const { activity } = model
  if (!activity) return model
  const result = `restored to ${target}`
  const problems = summary.warnings > 0 ? `; ${summary.warnings} entries could not be restored` : ''
  const bad = summary.badReplicas[0]
  const note = bad ? `; ${bad.server.name || `server ${bad.server.number}`} has a bad copy` : ''
  return {
    ...model,
    activity: { ...activity, outcome: 'done', result },
    message: {
      kind: summary.warnings > 0 ? 'bad' : 'good',
      text: `${activity.what} is ${result}${problems}${note}`,
    },
  }
}

export function handleFailure(model: Model, detail: string): Model {
  const activity = model.activity && {
    ...model.activity,
    outcome: 'failed' as const,
    result: detail,
  }
  return { ...model, activity, message: { kind: 'bad', text: detail } }
}

export function handleSaved(model: Model, saved: readonly SavedRow[]): Model {
  const known = new Map(model.saved.map((row) => [row.snapshot, row.servers]))
  const rows = saved.map((row) => ({
    ...row,
    servers: row.servers ?? known.get(row.snapshot) ?? null,
  }))
  return { ...model, saved: rows, savedIndex: clamp(model.savedIndex, rows.length) }
}

export const handleWhere = (model: Model, snapshot: string, servers: readonly string[]): Model => ({
  ...model,
  saved: model.saved.map((row) => (row.snapshot === snapshot ? { ...row, servers } : row)),
})

export const handleStatus = (model: Model, status: ClusterStatus): Model => ({
  ...model,
  status,
  statusProblem: null,
})

/** Up and down, in the list that has the focus. */
export function move(model: Model, by: number): Model {
  if (model.focus === 'files')
    return { ...model, picked: clamp(model.picked + by, model.files.length) }
  return { ...model, savedIndex: clamp(model.savedIndex + by, model.saved.length) }
}

/** The typed path becomes the last line of the files. */
export function withTypedPath(model: Model, file: FileChoice): Model {
  const files = [...model.files.filter((known) => known.label !== ''), file]
  return { ...model, files, picked: files.length - 1, focus: 'files', typing: null }
}

const clamp = (index: number, count: number): number => Math.max(0, Math.min(count - 1, index))
