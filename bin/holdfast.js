#!/usr/bin/env node
// bin/holdfast.js — how does holdfast start on a machine whose Node may be too old?
//
// Plain JavaScript that Node 20 understands. Where the Node at hand is older than the one that
// holdfast is tested with, the Node that is pinned as a dependency runs it, with our signals and
// its exit code.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** From here on TypeScript and SQLite work without a warning. */
const NODE_MIN = [24, 21]
/** From here on they work. */
const NODE_MAJOR_MIN = 24
const ENTRY = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
/** Garbage that may pile up before it is looked at, a third of it at a time: Node's default of 32 MiB
 * on a large machine is half of what a backup needs. */
const NODE_OPTIONS = ['--max-semi-space-size=8']
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const isTested = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])
const pinned = isTested ? null : pinnedNode()
if (pinned) runWith(pinned)
else if (major >= NODE_MAJOR_MIN) await import('../src/cli/main.ts')
else {
  process.stderr.write(
    `holdfast needs Node ${NODE_MAJOR_MIN}; this is ${process.version}, and the pinned one is ` +
      `missing. Run \`npm ci\` in ${dirname(dirname(fileURLToPath(import.meta.url)))}.\n`,
  )
  process.exitCode = 1
}

function runWith(node) {
  // A join token must not stay in the list of processes.
  if (process.argv.includes('--join')) process.title = 'holdfast'
  // The channel carries nothing: its end tells the child that we were killed, whatever the signal.
  const child = spawn(node, [...NODE_OPTIONS, ENTRY, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, HOLDFAST_PARENT: 'launcher' },
  })
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`holdfast: cannot start ${node}: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1))
  })
}

function pinnedNode() {
  try {
    const home = dirname(createRequire(import.meta.url).resolve('node/package.json'))
    const path = join(home, 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}
