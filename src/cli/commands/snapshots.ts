// src/cli/commands/snapshots.ts — what is stored, and which files are in it?
import { displayPath, type ListedFile, type SnapshotInfo } from '../../client/index.ts'
import { formatBytes, formatMode, formatTime, plural } from '../format.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'
import { withClient } from './with-client.ts'

const SHORT_ID = 8

export async function runSnapshots(settings: Settings, output: Output): Promise<number> {
  const signal = interruptSignal()
  const snapshots = await withClient(settings, { signal }, (client) =>
    client.listSnapshots({ signal }),
  )
  for (const info of snapshots) output.result(snapshotObject(info), describeSnapshot(info))
  return 0
}

const snapshotObject = (info: SnapshotInfo): Record<string, unknown> => ({
  snapshot: info.snapshot,
  time: new Date(info.timeMs).toISOString(),
  client: info.clientName,
  host: info.host,
  paths: info.paths.map((path) => displayPath(path)),
  tags: info.tags,
  files: info.files,
  bytes: info.bytes,
  parent: info.parent,
  ...(info.problem !== null && { problem: info.problem }),
})

function describeSnapshot(info: SnapshotInfo): string {
  const paths = info.paths.map((path) => displayPath(path)).join(' ')
  const size = `${plural(info.files, 'file')} ${formatBytes(info.bytes)}`
  const tags = info.tags.length > 0 ? ` [${info.tags.join(', ')}]` : ''
  const id = info.snapshot.slice(0, SHORT_ID)
  const about = info.problem === null ? `${size}  ${paths}${tags}` : `unreadable: ${info.problem}`
  return `${id}  ${formatTime(info.timeMs)}  ${info.clientName}  ${about}`
}

export async function runLs(settings: Settings, output: Output, snapshot: string): Promise<number> {
  const signal = interruptSignal()
  await withClient(settings, { signal }, async (client) => {
    for await (const file of client.listFiles({ snapshot, signal })) {
      output.result(fileObject(file), describeFile(file))
    }
  })
  return 0
}

const fileObject = (file: ListedFile): Record<string, unknown> => ({
  path: displayPath(file.path),
  type: file.type,
  mode: file.mode.toString(8).padStart(4, '0'),
  uid: file.uid,
  gid: file.gid,
  user: displayPath(file.user),
  group: displayPath(file.group),
  mtime: new Date(Number(file.mtimeNs / 1_000_000n)).toISOString(),
  mtimeNs: file.mtimeNs.toString(),
  size: file.size,
  ...(file.target && { target: displayPath(file.target) }),
})

const LETTERS: Record<ListedFile['type'], string> = {
  file: '-',
  dir: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  chardev: 'c',
  blockdev: 'b',
}

function describeFile(file: ListedFile): string {
  const time = formatTime(Number(file.mtimeNs / 1_000_000n))
  const owner = `${file.uid}:${file.gid}`.padEnd(11)
  const target = file.target ? ` -> ${displayPath(file.target)}` : ''
  const size = String(file.size).padStart(12)
  return `${LETTERS[file.type]}${formatMode(file.mode)} ${owner} ${size} ${time} ${displayPath(file.path)}${target}`
}
