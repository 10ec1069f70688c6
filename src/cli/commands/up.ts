// src/cli/commands/up.ts — how do the manager and all servers run from one terminal?
//
// Each node is a process of its own, so that one can be killed or crash alone. Their words go to
// DATA/logs/NAME.log; their process numbers to DATA/pids.json.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { HoldfastError } from '../../errors.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'

const ENTRY = resolve(import.meta.dirname, '../main.ts')
const GRACE_MS = 10_000

interface NodeProcess {
  readonly name: string
  readonly child: ChildProcess
  readonly logPath: string
  readonly ready: Promise<void>
  readonly ended: Promise<string>
}

/** Resolves with the exit code when all nodes have ended. */
export async function runUp(settings: Settings, output: Output): Promise<number> {
  const signal = interruptSignal()
  const nodes = await startNodes(settings)
  await writePids(settings, nodes)
  let failed = false
  for (const node of nodes) {
    void node.ended.then((how) => {
      if (signal.aborted) return
      failed = true
      output.say(`${node.name} ended (${how}); the others go on. Its log: ${node.logPath}`)
      const last = lastError(node.logPath)
      if (last) output.say(`  ${last}`)
    })
  }
  const allReady = Promise.all(nodes.map((node) => Promise.race([node.ready, failure(node)])))
  const allEnded = Promise.all(nodes.map((node) => node.ended))
  try {
    await Promise.race([allReady, aborted(signal)])
    if (!signal.aborted) sayReady(nodes, settings, output)
    await Promise.race([aborted(signal), allEnded])
  } finally {
    await stopNodes(nodes)
  }
  return failed && !signal.aborted ? 1 : 0
}

/** Starts every node of the config; none of them is waited for. */
export async function startNodes(settings: Settings): Promise<NodeProcess[]> {
  const logs = join(settings.dataDir, 'logs')
  await mkdir(logs, { recursive: true, mode: 0o700 })
  const { manager, servers } = settings.config
  return [
    startNode(manager.name, ['manager'], settings, logs),
    ...servers.map(({ name }, index) =>
      startNode(name, ['server', String(index + 1)], settings, logs),
    ),
  ]
}

function startNode(name: string, words: string[], settings: Settings, logs: string): NodeProcess {
  const logPath = join(logs, `${name.replaceAll(/[^\w.-]/g, '_')}.log`)
  const log = openSync(logPath, 'a', 0o600)
  const where = ['--data', settings.dataDir]
  if (settings.configPath) where.push('--config', settings.configPath)
  const child = spawn(process.execPath, [ENTRY, ...words, ...where, '--json'], {
    stdio: ['ignore', 'pipe', log],
    env: { ...process.env, UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? '8' },
  })
  closeSync(log)
  const ended = new Promise<string>((settle) => {
    child.once('error', (error) => settle(error.message))
    child.once('exit', (code, signal) => settle(signal ?? `exit code ${code}`))
  })
  const ready = new Promise<void>((settle) => {
    if (!child.stdout) return
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"type":"ready"')) settle()
    })
  })
  return { name, child, logPath, ready, ended }
}

async function failure(node: NodeProcess): Promise<never> {
  const how = await node.ended
  const reason = lastError(node.logPath)
  const detail = `${node.name} did not start (${how})${reason ? `: ${reason}` : ''}; its log: ${node.logPath}`
  throw new HoldfastError(codeIn(reason), detail)
}

const codeIn = (reason: string | null): 'PORT_IN_USE' | 'DATA_FOLDER_LOCKED' | 'UNREACHABLE' =>
  reason?.includes('PORT_IN_USE')
    ? 'PORT_IN_USE'
    : reason?.includes('DATA_FOLDER_LOCKED')
      ? 'DATA_FOLDER_LOCKED'
      : 'UNREACHABLE'

/** The last error object that the node wrote. */
function lastError(logPath: string): string | null {
  try {
    const line = readFileSync(logPath, 'utf8')
      .split('\n')
      .findLast((text) => text.startsWith('{"type":"error"'))
    if (!line) return null
    const { code, message } = JSON.parse(line) as { code: string; message: string }
    return `${message} [${code}]`
  } catch {
    return null
  }
}

function sayReady(nodes: readonly NodeProcess[], settings: Settings, output: Output): void {
  const pids = nodes.map(({ name, child }) => `${name} ${child.pid}`).join(', ')
  const object = {
    type: 'ready',
    nodes: nodes.map(({ name, child }) => ({ name, pid: child.pid })),
    data: settings.dataDir,
  }
  output.result(object, `ready: ${nodes.length} nodes serve (pids: ${pids}); stop with Ctrl-C`)
}

async function writePids(settings: Settings, nodes: readonly NodeProcess[]): Promise<void> {
  const pids = Object.fromEntries(nodes.map(({ name, child }) => [name, child.pid]))
  await writeFile(join(settings.dataDir, 'pids.json'), `${JSON.stringify(pids, null, 2)}\n`)
}

/** SIGTERM to each, SIGKILL to what is left after a while. */
export async function stopNodes(nodes: readonly NodeProcess[]): Promise<void> {
  for (const { child } of nodes) child.kill('SIGTERM')
  const timer = setTimeout(() => {
    for (const { child } of nodes) child.kill('SIGKILL')
  }, GRACE_MS)
  await Promise.all(nodes.map((node) => node.ended))
  clearTimeout(timer)
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((settle) => {
    if (signal.aborted) settle()
    else signal.addEventListener('abort', () => settle(), { once: true })
  })
