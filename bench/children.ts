// bench/children.ts — how does nothing stay behind, however a benchmark ends?
import { type ChildProcess, fork } from 'node:child_process'

/** Called once, whatever happens; must not wait. */
const cleanups = new Set<() => void>()
let isArmed = false

/** Runs `clean` at the end of this process, by a signal or otherwise, unless it is taken back. */
export function atExit(clean: () => void): () => void {
  if (!isArmed) {
    isArmed = true
    process.on('exit', () => {
      for (const each of [...cleanups].reverse()) each()
    })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => process.exit(130))
    }
  }
  cleanups.add(clean)
  return () => void cleanups.delete(clean)
}

/** A child that does not outlive us. */
export function adopt(child: ChildProcess): ChildProcess {
  const forget = atExit(() => child.kill('SIGKILL'))
  child.once('exit', forget)
  return child
}

export interface ForkOptions {
  readonly env?: NodeJS.ProcessEnv
  /** Network namespace to run in. */
  readonly namespace?: string | undefined
  /** Of Node. */
  readonly execArgv?: readonly string[]
}

/** A program of ours, with a channel for messages. */
export function forkChild(
  script: string,
  words: readonly string[],
  { env = {}, namespace, execArgv = [] }: ForkOptions = {},
): ChildProcess {
  const common = { env: { ...process.env, ...env } }
  if (namespace === undefined)
    return adopt(fork(script, words, { ...common, execArgv: [...execArgv] }))
  const inside = ['netns', 'exec', namespace, process.execPath, ...execArgv]
  return adopt(fork(script, words, { ...common, execPath: 'ip', execArgv: inside }))
}

/** The next word of this kind; rejects when the child ends first. */
export function heard<W extends { kind: string }, K extends W['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<W, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      child.off('message', onMessage)
      child.off('exit', onExit)
      child.off('error', onError)
    }
    const onExit = (code: number | null, signal: string | null): void => {
      stop()
      reject(new Error(`a child ended with ${signal ?? code} before it said '${kind}'`))
    }
    const onError = (error: Error): void => {
      stop()
      reject(error)
    }
    const onMessage = (word: W): void => {
      if (word.kind !== kind) return
      stop()
      resolve(word as Extract<W, { kind: K }>)
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
    child.once('error', onError)
  })
}

export async function end(...children: ChildProcess[]): Promise<void> {
  const gone = children
    .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
    .map((child) => new Promise((settle) => child.once('exit', settle)))
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(gone)
}
