// bench/backup-link.ts — how long do backup and restore take over a bad link, beside restic?
//
// Three hosts: the client; manager and a server; another server. Every pair of them has the link
// between it, so what holdfast stores crosses it twice. restic writes one copy, to `rclone serve
// restic` on the second host, with the kernel's BBR and, as most machines have it, with CUBIC (which
// takes so long that only its backup is measured).
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { compareTrees } from '../test/support/compare-trees.ts'
import { makeLargeFile, makeSmallFiles } from './backup.ts'
import { adopt, atExit, end } from './children.ts'
import { EmulatedLink } from './emulated-link.ts'
import { median } from './median.ts'
import { beside, table } from './table.ts'

const LAUNCHER = resolve(import.meta.dirname, '../bin/holdfast.js')
const SETTINGS = 'rate=100,delay=25,loss=1'
const MIB = 2 ** 20
const READY_MS_MAX = 30_000
/** A step that takes longer is given up, and counted with this time. */
const STEP_SECONDS_MAX = 60
const PASSWORD = 'benchmark'
const PORT = 8_080
const GOAL = { atLeast: 2 }
const [CLIENT, FIRST, SECOND] = [1, 2, 3] as const

type Rival = 'holdfast' | 'restic, BBR' | 'restic, CUBIC'
const RIVALS: readonly Rival[] = ['holdfast', 'restic, BBR', 'restic, CUBIC']

interface Workload {
  readonly name: string
  readonly bytes: number
  readonly make: (folder: string) => Promise<void>
}

const workloads = (quick: boolean): Workload[] => {
  const [largeBytes, files] = quick ? [16 * MIB, 500] : [32 * MIB, 2_000]
  return [
    {
      name: `one file of ${largeBytes / MIB} MiB`,
      bytes: largeBytes,
      make: (folder) => makeLargeFile(folder, largeBytes),
    },
    {
      name: `${files} files of 1–8 KiB`,
      bytes: files * 4.5 * 1_024,
      make: (folder) => makeSmallFiles(folder, files),
    },
  ]
}

export interface BackupLinkRow {
  readonly workload: string
  readonly rival: Rival
  /** Medians. */
  readonly backupSeconds: number
  readonly restoreSeconds: number
  readonly backupMegabitsPerSecond: number
  /** Time of this rival over that of holdfast. */
  readonly backupRatio: number
  readonly restoreRatio: number
}

/** Null where it can run, else what is missing. */
export function lackOfRestic(): string | null {
  for (const [program, word] of [
    ['restic', 'version'],
    ['rclone', 'version'],
  ] as const) {
    try {
      execFileSync(program, [word], { stdio: 'ignore' })
    } catch {
      return `the program '${program}' is missing (Debian has a package of that name)`
    }
  }
  return null
}

/** Without restic and rclone: holdfast alone. */
export async function benchBackupLink({
  rounds = 1,
  quick = false,
  dir = tmpdir(),
  onStep = () => undefined,
}: {
  rounds?: number | undefined
  quick?: boolean
  dir?: string
  onStep?: (text: string) => void
} = {}): Promise<BackupLinkRow[]> {
  const rivals = RIVALS.slice(0, lackOfRestic() === null ? (quick ? 2 : 3) : 1)
  const home = await mkdtemp(join(dir, 'holdfast-bench-'))
  const forget = atExit(() => rmSync(home, { recursive: true, force: true }))
  try {
    const rows: BackupLinkRow[] = []
    for (const [number, workload] of workloads(quick).entries()) {
      const source = join(home, `source-${number}`)
      await mkdir(source)
      await workload.make(source)
      const took = new Map<Rival, Steps[]>(rivals.map((rival) => [rival, []]))
      for (let round = 0; round < rounds; round += 1) {
        const turn = (round + number) % rivals.length
        for (const rival of [...rivals.slice(turn), ...rivals.slice(0, turn)]) {
          const folder = join(home, `${number}-${round}-${rivals.indexOf(rival)}`)
          await mkdir(folder)
          const steps = await measure(rival, source, { folder, seed: round + 1 })
          onStep(`${workload.name}, ${rival}: ${steps.backup.toFixed(1)} s`)
          took.get(rival)!.push(steps)
        }
      }
      rows.push(...toRows(workload, took))
    }
    return rows
  } finally {
    await rm(home, { recursive: true, force: true })
    forget()
  }
}

/** Seconds. */
interface Steps {
  readonly backup: number
  /** NaN: not measured. */
  readonly restore: number
}

async function measure(
  rival: Rival,
  source: string,
  { folder, seed }: { folder: string; seed: number },
): Promise<Steps> {
  const link = await EmulatedLink.open(SETTINGS, { hosts: 3, seed })
  const hosts = new Hosts(link)
  try {
    const target = join(folder, 'target')
    const steps =
      rival === 'holdfast'
        ? await measureHoldfast(hosts, { source, target, folder })
        : await measureRestic(hosts, { source, target, folder, rival })
    if (!(steps.restore < STEP_SECONDS_MAX)) return steps
    const wrong = await compareTrees(source, join(target, source))
    if (wrong.length > 0) {
      throw new Error(`${rival} restored something else: ${wrong.slice(0, 3).join('\n')}`)
    }
    return steps
  } finally {
    await hosts.close()
    await link.close()
  }
}

interface Folders {
  readonly source: string
  readonly target: string
  readonly folder: string
}

/** The data folder is at hand everywhere, so that nodes let themselves in; all else goes by link. */
async function measureHoldfast(hosts: Hosts, { source, target, folder }: Folders): Promise<Steps> {
  const configPath = join(folder, 'config.json')
  const config = {
    manager: { name: 'manager', host: hosts.link.address(FIRST), port: 7400 },
    servers: [FIRST, SECOND].map((host, index) => ({
      name: `server-${index + 1}`,
      host: hosts.link.address(host),
      port: 7401 + index,
    })),
    clients: [{ name: 'client-1', FILE_1: 'a', FILE_2: 'b', FILE_3: 'c' }],
  }
  await writeFile(configPath, JSON.stringify(config))
  const where = ['--data', join(folder, 'data'), '--config', configPath]
  const holdfast = (...words: string[]): string[] => [LAUNCHER, ...words, ...where]
  hosts.start(FIRST, process.execPath, holdfast('manager'))
  hosts.start(FIRST, process.execPath, holdfast('server', '1'))
  hosts.start(SECOND, process.execPath, holdfast('server', '2'))
  await hosts.until(async () => {
    const { text } = await hosts.run(CLIENT, process.execPath, holdfast('status', '--json'))
    return (text.match(/"state":"up"/g) ?? []).length === 2
  })
  const run = (...words: string[]): Promise<number> =>
    hosts.timed(CLIENT, process.execPath, holdfast(...words))
  const backup = await run('backup', source)
  return { backup, restore: await run('restore', 'latest', '--target', target) }
}

async function measureRestic(
  hosts: Hosts,
  { source, target, folder, rival }: Folders & { rival: Rival },
): Promise<Steps> {
  if (rival === 'restic, CUBIC') hosts.useCubic()
  const address = `${hosts.link.address(FIRST)}:${PORT}`
  const store = join(folder, 'store')
  hosts.start(FIRST, 'rclone', ['serve', 'restic', store, '--addr', address])
  const restic = (...words: string[]): [string, string[]] => [
    'restic',
    ['-r', `rest:http://${address}/`, '--cache-dir', join(folder, 'cache'), ...words],
  ]
  await hosts.until(async () => (await hosts.run(CLIENT, ...restic('init'))).isDone)
  const backup = await hosts.timed(CLIENT, ...restic('backup', source))
  if (rival === 'restic, CUBIC') return { backup, restore: Number.NaN }
  const restore = await hosts.timed(CLIENT, ...restic('restore', 'latest', '--target', target))
  return { backup, restore }
}

class Hosts {
  readonly link: EmulatedLink
  readonly #children: ChildProcess[] = []

  constructor(link: EmulatedLink) {
    this.link = link
  }

  /** Of all TCP connections on these hosts, by a property of their routes. */
  useCubic(): void {
    for (const host of [CLIENT, FIRST]) {
      const route = ['route', 'change', '10.77.0.0/24', 'dev', `hf${host}`, 'congctl', 'cubic']
      execFileSync('ip', ['-n', this.link.namespace(host), ...route])
    }
  }

  /** A program that runs until close(). */
  start(host: number, program: string, words: readonly string[]): void {
    this.#spawn(host, program, words)
  }

  async run(
    host: number,
    program: string,
    words: readonly string[],
  ): Promise<{ isDone: boolean; text: string; said: string }> {
    const child = this.#spawn(host, program, words)
    let [text, said] = ['', '']
    child.stdout?.on('data', (part: Buffer) => {
      text += part.toString()
    })
    child.stderr?.on('data', (part: Buffer) => {
      said += part.toString()
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), STEP_SECONDS_MAX * 1_000)
    const code = await new Promise((settle) => child.once('close', settle))
    clearTimeout(timer)
    return { isDone: code === 0, text, said }
  }

  /** Seconds; STEP_SECONDS_MAX when it was given up. */
  async timed(host: number, program: string, words: readonly string[]): Promise<number> {
    const startMs = performance.now()
    const { isDone, said } = await this.run(host, program, words)
    const seconds = (performance.now() - startMs) / 1_000
    if (isDone) return seconds
    if (seconds >= STEP_SECONDS_MAX) return STEP_SECONDS_MAX
    throw new Error(`${program} ${words.join(' ')}: ${said}`)
  }

  async until(holds: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + READY_MS_MAX
    while (!(await holds())) {
      if (performance.now() > endMs) throw new Error('the nodes or the store did not start')
      await sleep(300)
    }
  }

  close(): Promise<void> {
    return end(...this.#children)
  }

  #spawn(host: number, program: string, words: readonly string[]): ChildProcess {
    const inside = ['netns', 'exec', this.link.namespace(host), program, ...words]
    const child = spawn('ip', inside, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, RESTIC_PASSWORD: PASSWORD },
    })
    child.stdout.resume()
    child.stderr.resume()
    this.#children.push(adopt(child))
    return child
  }
}

function toRows(
  { name, bytes }: Workload,
  took: ReadonlyMap<Rival, readonly Steps[]>,
): BackupLinkRow[] {
  const typical = (rival: Rival, step: keyof Steps): number =>
    median((took.get(rival) ?? []).map((steps) => steps[step]))
  return [...took.keys()].map((rival) => {
    const backupSeconds = typical(rival, 'backup')
    const restoreSeconds = typical(rival, 'restore')
    return {
      workload: name,
      rival,
      backupSeconds,
      restoreSeconds,
      backupMegabitsPerSecond: (bytes * 8) / 1e6 / backupSeconds,
      backupRatio: backupSeconds / typical('holdfast', 'backup'),
      restoreRatio: restoreSeconds / typical('holdfast', 'restore'),
    }
  })
}

export function formatBackupLink(rows: readonly BackupLinkRow[]): string {
  const head = ['backup at 100 Mbit/s, 50 ms, 1 % loss', 'with', 'backup s', 'Mbit/s', '× holdfast']
  const lines = rows.map((row) => [
    row.workload,
    row.rival,
    `${row.backupSeconds.toFixed(1)}${row.backupSeconds >= STEP_SECONDS_MAX ? ' (given up)' : ''}`,
    row.backupMegabitsPerSecond.toFixed(1),
    beside(row.backupRatio, row.rival === 'holdfast' ? undefined : GOAL),
    ...[row.restoreSeconds, row.restoreRatio].map((value) =>
      Number.isNaN(value) ? '–' : value.toFixed(2),
    ),
  ])
  const lack = lackOfRestic()
  const note = lack === null ? '' : `\nnot beside restic: ${lack}`
  return `${table([[...head, 'restore s', '× holdfast'], ...lines])}${note}`
}
