// src/cli/demo.ts — what does holdfast do, shown step by step without a terminal? (npm run demo)
//
// A cluster of its own on free ports: both clients store their three demonstration files, a server
// is killed, everything is restored and compared byte for byte.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { makeFolder } from '../identity/index.ts'
import { withClient } from './commands/with-client.ts'
import { makeDemoFiles } from './demo-files.ts'
import { formatBytes, plural } from './format.ts'
import { interruptSignal } from './interrupt.ts'
import { allReady, type NodeProcess, startNodes, stopNodes } from './nodes.ts'
import { endWithReader, Output } from './output.ts'
import { ownCluster } from './own-cluster.ts'
import type { Settings } from './settings.ts'

const READY_MS_MAX = 30_000

endWithReader()
const output = new Output({ isJson: false, isVerbose: false })
process.exitCode = await demo(process.argv.slice(2)).catch((error) => output.fail(error))
process.exit()

async function demo(words: readonly string[]): Promise<number> {
  const signal = interruptSignal()
  const given = folderFrom(words)
  const dataDir = given ?? (await mkdtemp(join(tmpdir(), 'holdfast-demo-')))
  makeFolder(dataDir)
  const base = await ownCluster(dataDir)
  await makeDemoFiles(base.config)
  step(`1. Start the manager and ${base.config.servers.length} servers in ${dataDir}`)
  const nodes = await startNodes(base)
  try {
    await allReady(nodes, { signal, withinMs: READY_MS_MAX })
    say(`   all serve: ${nodes.map(({ name, child }) => `${name} (pid ${child.pid})`).join(', ')}`)
    const wrong = await backUpKillRestore(base, nodes, signal)
    if (wrong.length > 0) {
      for (const line of wrong) say(`   DIFFERENT: ${line}`)
      return 1
    }
    step('Done: every file came back as it was, with one of the servers dead.')
    return 0
  } finally {
    await stopNodes(nodes)
    if (given === null) await rm(dataDir, { recursive: true, force: true })
  }
}

/** Returns one line per difference. */
async function backUpKillRestore(
  base: Settings,
  nodes: readonly NodeProcess[],
  signal: AbortSignal,
): Promise<string[]> {
  step('2. Each client stores its three files')
  const snapshots = await backUp(base, signal)
  const { blobs, servers } = await withClient(base, { signal }, (client) => client.status())
  for (const { name, usedBytes, blobs } of servers) {
    say(`   ${name} holds ${plural(blobs, 'blob')}, ${formatBytes(usedBytes)}`)
  }
  const wrong = blobs.underReplicated > 0 ? [`${blobs.underReplicated} blobs lack a copy`] : []

  // The one that would be missed most.
  const fullest = servers.toSorted((a, b) => b.usedBytes - a.usedBytes)[0]
  const victim = nodes.find(({ name }) => name === fullest?.name)
  if (!victim) throw new HoldfastError('INTERNAL', 'no server holds anything')
  step(`3. Kill ${victim.name} (pid ${victim.child.pid}) with SIGKILL`)
  victim.child.kill('SIGKILL')
  say(`   it ended by ${await victim.ended}`)

  step('4. Restore both snapshots and compare every byte')
  for (const [index, settings] of clientsOf(base).entries()) {
    wrong.push(...(await restoreAndCompare(settings, snapshots[index] ?? '', signal)))
  }
  return wrong
}

async function backUp(base: Settings, signal: AbortSignal): Promise<string[]> {
  const snapshots: string[] = []
  for (const settings of clientsOf(base)) {
    const paths = filesOf(settings)
    const summary = await withClient(settings, { signal }, (client) =>
      client.backup({ paths, signal }),
    )
    if (summary.exitCode !== 0) throw new HoldfastError('BAD_FILE', problemsOf(summary.problems))
    snapshots.push(summary.snapshot)
    const names = paths.map((path) => basename(path)).join(', ')
    const id = summary.snapshot.slice(0, 8)
    say(`   ${settings.clientName}: ${names} (${formatBytes(summary.bytes)})`)
    say(`   ${''.padEnd(settings.clientName.length)}  → snapshot ${id}, stored on two servers`)
  }
  return snapshots
}

async function restoreAndCompare(
  settings: Settings,
  snapshot: string,
  signal: AbortSignal,
): Promise<string[]> {
  const wrong: string[] = []
  const target = join(settings.dataDir, 'restored', snapshot.slice(0, 8))
  await withClient(settings, { signal }, (client) => client.restore({ snapshot, target, signal }))
  for (const path of filesOf(settings)) {
    const same = (await sha256(path)) === (await sha256(join(target, path)))
    say(`   ${settings.clientName}: ${basename(path)} ${same ? 'is the same' : 'is DIFFERENT'}`)
    if (!same) wrong.push(path)
  }
  return wrong
}

function clientsOf(base: Settings): Settings[] {
  return base.config.clients.map(({ name }, index) => ({
    ...base,
    clientNumber: index + 1,
    clientName: name,
  }))
}

function filesOf({ config, clientNumber }: Settings): string[] {
  const client = config.clients[clientNumber - 1]
  return client ? [client.FILE_1, client.FILE_2, client.FILE_3] : []
}

function problemsOf(problems: readonly { message: string }[]): string {
  return problems.map(({ message }) => message).join('; ')
}

function folderFrom(words: readonly string[]): string | null {
  if (words.length === 0) return null
  const [word, folder] = words
  if (word === '--data' && folder && words.length === 2) return resolve(folder)
  throw new HoldfastError(
    'BAD_USAGE',
    'the demo takes --data FOLDER only: npm run demo -- --data FOLDER',
  )
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex')
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function step(line: string): void {
  say(`\n${line}`)
}
