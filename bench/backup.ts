// bench/backup.ts — how long do backup and restore take, beside `cp -a` and `sync` on the same disk?
//
//   node bench/backup.ts [--rounds 3] [--quick] [--json] [--dir FOLDER]
//
// Every round has fresh folders and a fresh cluster, the order turns, and nothing is deleted before
// the end: ext4 is slow at making files where many were just removed. Starting the nodes is not
// measured; starting the command is. A backup writes everything twice and syncs it; a restore is
// followed by `sync`, as the copy is.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { allReady, startNodes, stopNodes } from '../src/cli/nodes.ts'
import { ownCluster } from '../src/cli/own-cluster.ts'
import { compareTrees } from '../test/support/compare-trees.ts'
import { median } from './median.ts'

const LAUNCHER = resolve(import.meta.dirname, '../bin/holdfast.js')
const ROUNDS_DEFAULT = 3
const READY_MS_MAX = 30_000
const MIB = 2 ** 20
/** A copy, two replicas and a restored tree. */
const COPIES = 4

type Step = 'cp -a + sync' | 'backup' | 'restore + sync'
type Workload = {
  readonly name: string
  readonly bytes: number
  readonly files: number
  readonly make: (folder: string) => Promise<void>
}

export interface BackupRow {
  readonly workload: string
  readonly step: Step
  readonly files: number
  readonly bytes: number
  /** Medians over the rounds. */
  readonly seconds: number
  readonly secondsMin: number
  readonly secondsMax: number
  readonly megabytesPerSecond: number
  readonly filesPerSecond: number
  /** Time over that of the copy in the same run; 1 is as fast as cp. */
  readonly ratioToCopy: number
}

const workloads = (quick: boolean): Workload[] => {
  const [fileBytes, files] = quick ? [128 * MIB, 2_000] : [1024 * MIB, 20_000]
  return [
    {
      name: `one file of ${fileBytes / MIB} MiB`,
      bytes: fileBytes,
      files: 1,
      make: (folder) => makeLargeFile(folder, fileBytes),
    },
    {
      name: `${files} files of 1–8 KiB`,
      bytes: smallFiles(files).reduce((sum, { bytes }) => sum + bytes, 0),
      files,
      make: (folder) => makeSmallFiles(folder, files),
    },
  ]
}

export async function benchBackup({
  rounds,
  quick = false,
  dir = tmpdir(),
}: {
  rounds?: number | undefined
  quick?: boolean
  dir?: string
} = {}): Promise<BackupRow[]> {
  const count = rounds ?? (quick ? 1 : ROUNDS_DEFAULT)
  const home = await mkdtemp(join(dir, 'holdfast-bench-'))
  try {
    const rows: BackupRow[] = []
    for (const workload of workloads(quick)) {
      await mustFit(home, workload.bytes * (1 + COPIES * count))
      const folder = join(home, `source-${rows.length}`)
      await mkdir(folder)
      await workload.make(folder)
      const seconds = new Map<Step, number[]>()
      for (let round = 0; round < count; round += 1) {
        await measureRound(folder, join(home, `round-${rows.length}-${round}`), round, seconds)
      }
      rows.push(...toRows(workload, seconds))
    }
    return rows
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

async function measureRound(
  source: string,
  folder: string,
  round: number,
  seconds: Map<Step, number[]>,
): Promise<void> {
  await mkdir(folder)
  const note = (step: Step, value: number): void => {
    seconds.set(step, [...(seconds.get(step) ?? []), value])
  }
  const copy = async (): Promise<void> => {
    await run('sync', [])
    const copied = await timed(async () => {
      await run('cp', ['-a', source, join(folder, 'copy')])
      await run('sync', [])
    })
    note('cp -a + sync', copied)
  }
  const rival = async (): Promise<void> => {
    const { backup, restore } = await measureHoldfast(source, join(folder, 'holdfast'))
    note('backup', backup)
    note('restore + sync', restore)
  }
  for (const step of round % 2 === 0 ? [copy, rival] : [rival, copy]) await step()
}

async function measureHoldfast(
  source: string,
  folder: string,
): Promise<{ backup: number; restore: number }> {
  const dataDir = join(folder, 'data')
  const target = join(folder, 'target')
  await mkdir(dataDir, { recursive: true })
  const settings = await ownCluster(dataDir)
  const where = ['--data', dataDir, '--config', settings.configPath ?? '']
  const holdfast = (...words: string[]): Promise<void> =>
    run(process.execPath, [LAUNCHER, ...words, ...where])
  const nodes = await startNodes(settings)
  try {
    await allReady(nodes, { signal: new AbortController().signal, withinMs: READY_MS_MAX })
    await run('sync', [])
    const backup = await timed(() => holdfast('backup', source))
    await run('sync', [])
    const restore = await timed(async () => {
      await holdfast('restore', 'latest', '--target', target)
      await run('sync', [])
    })
    const wrong = await compareTrees(source, join(target, source))
    if (wrong.length > 0) throw new Error(`restored something else: ${wrong.join('\n')}`)
    return { backup, restore }
  } finally {
    await stopNodes(nodes)
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return (performance.now() - startMs) / 1_000
}

function run(command: string, words: string[]): Promise<void> {
  return new Promise((settle, fail) => {
    const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.once('error', fail)
    child.once('close', (code, signal) => {
      if (code === 0) settle()
      else fail(new Error(`${command} ${words.join(' ')} ended with ${signal ?? code}: ${said}`))
    })
  })
}

async function mustFit(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize > bytes * 1.1) return
  throw new Error(`needs ${Math.ceil(bytes / 1e9)} GB free in ${folder}; see --dir and --quick`)
}

/** Nothing to compress, nothing twice. */
export async function makeLargeFile(folder: string, bytes: number): Promise<void> {
  const file = await open(join(folder, 'large.bin'), 'wx')
  for (let at = 0; at < bytes; at += MIB) await file.write(randomBytes(MIB))
  await file.close()
}

interface SmallFile {
  readonly name: string
  readonly bytes: number
}

/** The same names and sizes every time. */
function smallFiles(count: number): SmallFile[] {
  let state = 1
  return Array.from({ length: count }, (_, index) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    const bytes = 1_024 + Math.floor((state / 2 ** 32) * 7 * 1_024)
    return { name: join(`folder-${index % 100}`, `file-${index}`), bytes }
  })
}

/** Half text, half noise. */
export async function makeSmallFiles(folder: string, count: number): Promise<void> {
  for (let index = 0; index < 100; index += 1) await mkdir(join(folder, `folder-${index}`))
  for (const [index, { name, bytes }] of smallFiles(count).entries()) {
    const content = index % 2 === 0 ? randomBytes(bytes) : textOf(index, bytes)
    await writeFile(join(folder, name), content)
  }
}

function textOf(index: number, bytes: number): Buffer {
  const line = `entry ${index} of a diary: nothing of note happened, and that was fine.\n`
  return Buffer.alloc(bytes, line)
}

function toRows(workload: Workload, seconds: ReadonlyMap<Step, number[]>): BackupRow[] {
  const { name, files, bytes } = workload
  const copySeconds = median(seconds.get('cp -a + sync') ?? [])
  return [...seconds].map(([step, values]) => {
    const typical = median(values)
    return {
      workload: name,
      step,
      files,
      bytes,
      seconds: typical,
      secondsMin: Math.min(...values),
      secondsMax: Math.max(...values),
      megabytesPerSecond: bytes / 1e6 / typical,
      filesPerSecond: files / typical,
      ratioToCopy: typical / copySeconds,
    }
  })
}

export function formatBackup(rows: readonly BackupRow[]): string {
  const line = (cells: readonly string[]): string =>
    [(cells[0] ?? '').padEnd(26), (cells[1] ?? '').padEnd(15)]
      .concat(cells.slice(2).map((cell, at) => cell.padStart([8, 13, 8, 9, 7][at] ?? 8)))
      .join(' ')
  const head = ['backup, one machine', '', 'seconds', 'min–max', 'MB/s', 'files/s', '× cp']
  const body = rows.map((row) => [
    row.workload,
    row.step,
    row.seconds.toFixed(2),
    `${row.secondsMin.toFixed(2)}–${row.secondsMax.toFixed(2)}`,
    row.megabytesPerSecond.toFixed(0),
    row.files === 1 ? '' : row.filesPerSecond.toFixed(0),
    row.ratioToCopy.toFixed(2),
  ])
  return [head, ...body].map(line).join('\n')
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      dir: { type: 'string', default: tmpdir() },
    },
  })
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds)
  const rows = await benchBackup({ rounds, quick: values.quick, dir: values.dir })
  if (values.json) for (const row of rows) console.log(JSON.stringify(row))
  else console.log(formatBackup(rows))
}
