// src/cli/nodes.ts — how do nodes start as processes of their own, become ready, fail and stop?
//
// One process each, so that one can be killed or crash alone. Their words go to DATA/logs/NAME.log.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { ERRORS, type ErrorCode, HoldfastError } from '../errors.ts'
import { makeFolder } from '../identity/index.ts'
import type { Settings } from './settings.ts'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/holdfast.js')
/** After SIGTERM; whoever is not done by then is killed. */
const GRACE_MS = 10_000
/** fsync runs in Node's thread pool; its default of 4 is what a server waits for. */
const THREADS = '8'

/** As the launcher does it where it starts a Node itself: garbage that may pile up before it is
 * looked at. Otherwise 64 MiB more per node under load, for good. */
const NODE_OPTIONS = ['--max-semi-space-size=8']

export interface NodeProcess {
  readonly name: string
  readonly child: ChildProcess
  readonly logPath: string
  /** Where the log of this run begins, bytes. */
  readonly logStart: number
  /** It serves. Never rejects. */
  readonly ready: Promise<void>
  /** How it ended: a signal's name, or an exit code in words. Never rejects. */
  readonly ended: Promise<string>
}

/** Starts every node of the config; none of them is waited for. */
export async function startNodes(settings: Settings): Promise<NodeProcess[]> {
  const logs = join(settings.dataDir, 'logs')
  makeFolder(logs, 0o700)
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
  const logStart = fstatSync(log).size
  const where = ['--data', settings.dataDir]
  if (settings.configPath) where.push('--config', settings.configPath)
  const child = spawn(process.execPath, [...NODE_OPTIONS, LAUNCHER, ...words, ...where, '--json'], {
    stdio: ['ignore', 'pipe', log, 'ipc'],
    // A group of its own: Ctrl-C is for the one who started the nodes, who then stops them.
    detached: true,
    env: {
      ...process.env,
      HOLDFAST_PARENT: 'up',
      UV_THREADPOOL_SIZE: process.env.UV_THREADPOOL_SIZE ?? THREADS,
    },
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
  return { name, child, logPath, logStart, ready, ended }
}

/** Resolves when all serve. Rejects with the reason of the first that ends instead, CANCELLED, or
 * DEADLINE_EXCEEDED naming those that are not there. */
export async function allReady(
  nodes: readonly NodeProcess[],
  options: { signal: AbortSignal; withinMs?: number },
): Promise<void> {
  const { signal, withinMs } = options
  const waiting = new Set(nodes)
  const timeUp = withinMs === undefined ? signal : AbortSignal.timeout(withinMs)
  const stopped = aborted(AbortSignal.any([signal, timeUp])).then(() => {
    if (signal.aborted) throw new HoldfastError('CANCELLED', 'interrupted')
    const names = [...waiting].map(({ name, logPath }) => `${name} (log: ${logPath})`).join(', ')
    const detail = `not ready within ${(withinMs ?? 0) / 1000} s: ${names}`
    throw new HoldfastError('DEADLINE_EXCEEDED', detail)
  })
  const all = nodes.map(async (node) => {
    await Promise.race([node.ready, failed(node)])
    waiting.delete(node)
  })
  await Promise.race([Promise.all(all), stopped])
}

async function failed(node: NodeProcess): Promise<never> {
  const how = await node.ended
  const trouble = lastTrouble(node)
  const reason = trouble ? `: ${trouble.message}` : ''
  const detail = `${node.name} did not start (${how})${reason}; its log: ${node.logPath}`
  throw new HoldfastError(trouble?.code ?? 'UNREACHABLE', detail)
}

/** The last error that the node wrote in this run; else the last line, whatever it says. */
export function lastTrouble(node: NodeProcess): { message: string; code?: ErrorCode } | null {
  const bytes = readFileSync(node.logPath).subarray(node.logStart)
  const lines = bytes.toString().split('\n').filter(Boolean)
  const line = lines.findLast((text) => text.startsWith('{"type":"error"')) ?? lines.at(-1)
  if (line === undefined) return null
  try {
    const { code, message } = JSON.parse(line) as { code?: ErrorCode; message?: string }
    if (message === undefined) return null
    return code && code in ERRORS ? { message, code } : { message }
  } catch {
    return { message: line }
  }
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

const pidsPath = ({ dataDir }: Settings): string => join(dataDir, 'pids.json')

/** {name: pid}, for whoever wants to kill one. */
export async function writePids(settings: Settings, nodes: readonly NodeProcess[]): Promise<void> {
  const pids = Object.fromEntries(nodes.map(({ name, child }) => [name, child.pid]))
  await writeFile(pidsPath(settings), `${JSON.stringify(pids, null, 2)}\n`)
}

export const removePids = (settings: Settings): Promise<void> =>
  rm(pidsPath(settings), { force: true })

/** Resolves when the signal has fired. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((settle) => {
    if (signal.aborted) settle()
    else signal.addEventListener('abort', () => settle(), { once: true })
  })
