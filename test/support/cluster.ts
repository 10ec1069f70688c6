// test/support/cluster.ts — how does a test run a whole cluster of real processes, and kill parts?
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/holdfast.js')
const EXIT_GRACE_MS = 10_000

export type NodeName = 'manager' | `server-${number}`

export interface Outcome {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** One object per line of standard output, when all lines are JSON. */
  readonly objects: Record<string, unknown>[]
}

export interface ServerStatus {
  readonly number: number
  readonly name: string
  readonly state: string
  readonly usedBytes: number
  readonly freeBytes: number
  readonly blobs: number
}

export interface ClusterStatus {
  readonly servers: ServerStatus[]
  readonly blobs: { total: number; underReplicated: number; lost: number }
  readonly safeMode: boolean
}

interface Options {
  readonly servers?: number
  readonly timing?: Record<string, number>
  readonly limits?: Record<string, number>
}

/** A command under way; `lines` grows while it runs. */
export interface Running {
  readonly child: ChildProcess
  readonly lines: string[]
  readonly errorLines: string[]
  readonly done: Promise<Outcome>
}

/** Manager and servers as processes of their own, in a folder and on ports of their own. Only
 * processes started here are ever signalled, each by its pid. */
export class Cluster {
  readonly folder: string
  readonly config: string
  readonly data: string
  readonly serverCount: number
  #nodes = new Map<NodeName, ChildProcess>()
  #commands = new Set<ChildProcess>()

  private constructor(folder: string, serverCount: number) {
    this.folder = folder
    this.config = join(folder, 'config.json')
    this.data = join(folder, 'data')
    this.serverCount = serverCount
  }

  /** Writes the config and starts nothing yet. */
  static async prepare(options: Options = {}): Promise<Cluster> {
    const serverCount = options.servers ?? 4
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cluster-'))
    const cluster = new Cluster(folder, serverCount)
    const ports = await freeUdpPorts(serverCount + 1)
    const files = ['one', 'two', 'three'].map((name) => join(folder, 'files', name))
    await mkdir(join(folder, 'files'))
    for (const file of files) await writeFile(file, `demonstration file ${file}\n`)
    const [FILE_1, FILE_2, FILE_3] = files
    const node = (name: string, port: number | undefined) => ({ name, host: '127.0.0.1', port })
    const config = {
      manager: node('manager', ports[0]),
      servers: ports.slice(1).map((port, index) => node(`server-${index + 1}`, port)),
      clients: ['client-1', 'client-2'].map((name) => ({ name, FILE_1, FILE_2, FILE_3 })),
      timing: options.timing ?? {},
      limits: options.limits ?? {},
    }
    await writeFile(cluster.config, JSON.stringify(config, null, 2))
    return cluster
  }

  static async start(options: Options = {}): Promise<Cluster> {
    const cluster = await Cluster.prepare(options)
    await cluster.startAll()
    return cluster
  }

  get nodeNames(): NodeName[] {
    const servers = Array.from({ length: this.serverCount }, (_, i) => `server-${i + 1}` as const)
    return ['manager', ...servers]
  }

  async startAll(): Promise<void> {
    for (const name of this.nodeNames) this.startNode(name)
    await this.waitUntil(
      'all servers up',
      (status) =>
        status.servers.length === this.serverCount &&
        status.servers.every((s) => s.state === 'up') &&
        !status.safeMode,
    )
  }

  /** Starts one node; its log goes to `<folder>/<name>.log`. */
  startNode(name: NodeName): void {
    const words = name === 'manager' ? ['manager'] : ['server', name.slice('server-'.length)]
    const log = openSync(join(this.folder, `${name}.log`), 'a')
    const child = spawn(process.execPath, [LAUNCHER, ...words, ...this.#where], {
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#nodes.set(name, child)
  }

  pidOf(name: NodeName): number {
    const pid = this.#nodes.get(name)?.pid
    if (pid === undefined) throw new Error(`${name} does not run`)
    return pid
  }

  /** SIGKILL, as a power cut would; resolves when the process is gone. */
  async kill(name: NodeName, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#nodes.get(name)
    if (!child) throw new Error(`${name} does not run`)
    this.#nodes.delete(name)
    await end(child, signal)
  }

  /** Begins a holdfast command with this cluster's config and data. */
  begin(
    words: string[],
    environment: Record<string, string> = {},
    node = process.execPath,
  ): Running {
    return this.#spawn([...words, ...this.#where], environment, node)
  }

  /** As if on another machine: the same config, with a data folder of its own. */
  beginAt(data: string, words: string[], environment: Record<string, string> = {}): Running {
    return this.#spawn([...words, '--config', this.config, '--data', data], environment)
  }

  #spawn(
    words: readonly string[],
    environment: Record<string, string>,
    node = process.execPath,
  ): Running {
    const child = spawn(node, [LAUNCHER, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    this.#commands.add(child)
    const lines: string[] = []
    const errorLines: string[] = []
    const stdout = collect(child.stdout, lines)
    const stderr = collect(child.stderr, errorLines)
    const done = new Promise<Outcome>((settle) => {
      child.once('close', (exitCode, signal) => {
        this.#commands.delete(child)
        const objects = lines.flatMap((line) => parse(line))
        settle({ exitCode, signal, stdout: stdout(), stderr: stderr(), objects })
      })
    })
    return { child, lines, errorLines, done }
  }

  run(words: string[], environment: Record<string, string> = {}): Promise<Outcome> {
    return this.begin(words, environment).done
  }

  async status(): Promise<ClusterStatus | null> {
    const { exitCode, objects } = await this.run(['status', '--json'])
    return exitCode === 0 ? ((objects[0] as unknown as ClusterStatus) ?? null) : null
  }

  async waitUntil(
    what: string,
    holds: (status: ClusterStatus) => boolean,
    timeoutMs = 60_000,
  ): Promise<ClusterStatus> {
    const endMs = performance.now() + timeoutMs
    for (;;) {
      const status = await this.status()
      if (status && holds(status)) return status
      if (performance.now() > endMs) {
        throw new Error(
          `not within ${timeoutMs} ms: ${what}; last status ${JSON.stringify(status)}`,
        )
      }
      await new Promise((wake) => setTimeout(wake, 200))
    }
  }

  log(name: NodeName): Promise<string> {
    return readFile(join(this.folder, `${name}.log`), 'utf8').catch(() => '')
  }

  /** Ends everything that was started here and removes the folder. */
  async stop({ keepFolder = false } = {}): Promise<void> {
    const running = [...this.#commands, ...this.#nodes.values()]
    this.#nodes.clear()
    await Promise.all(running.map((child) => end(child, 'SIGTERM')))
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true })
  }

  get #where(): string[] {
    return ['--config', this.config, '--data', this.data]
  }
}

/** Signals one process of ours and waits; SIGKILL follows when it does not end in time. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((settle) => child.once('exit', () => settle()))
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_GRACE_MS)
  await gone
  clearTimeout(timer)
}

function collect(stream: NodeJS.ReadableStream | null, lines: string[]): () => string {
  let text = ''
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (piece: string) => {
    text += piece
    const parts = (rest + piece).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
  })
  return () => text
}

function parse(line: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(line) as Record<string, unknown>]
  } catch {
    return []
  }
}

/** UDP ports of the loopback that were free a moment ago. */
export async function freeUdpPorts(count: number): Promise<number[]> {
  const sockets = await Promise.all(
    Array.from({ length: count }, () => {
      const socket = createSocket('udp4')
      return new Promise<typeof socket>((settle, fail) => {
        socket.once('error', fail)
        socket.bind(0, '127.0.0.1', () => settle(socket))
      })
    }),
  )
  const ports = sockets.map((socket) => socket.address().port)
  await Promise.all(sockets.map((s) => new Promise<void>((settle) => s.close(() => settle()))))
  return ports
}
