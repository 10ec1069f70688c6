// src/cli/commands/up.ts — how do the manager and all servers run from one terminal?
import { interruptSignal } from '../interrupt.ts'
import {
  aborted,
  allReady,
  lastTrouble,
  type NodeProcess,
  removePids,
  startNodes,
  stopNodes,
  writePids,
} from '../nodes.ts'
import type { Output } from '../output.ts'
import { remindOfRecoveryKey } from '../recovery-reminder.ts'
import type { Settings } from '../settings.ts'

/** Until Ctrl-C, SIGTERM, or the end of the last node. A node that does not start ends the others;
 * one that ends later is named, and the others go on: nothing is restarted. */
export async function runUp(settings: Settings, output: Output): Promise<number> {
  const signal = interruptSignal()
  const count = settings.config.servers.length
  output.say(`starting the manager and ${count} servers in ${settings.dataDir} …`, {
    type: 'starting',
    data: settings.dataDir,
  })
  const nodes = await startNodes(settings)
  for (const { name, child } of nodes) {
    child.on('message', (words: { trouble?: string }) => {
      if (words.trouble) output.say(`${name}: ${words.trouble}`, { node: name })
    })
  }
  try {
    await allReady(nodes, { signal })
    return await serve(nodes, { settings, output, signal })
  } finally {
    await stopNodes(nodes)
  }
}

async function serve(
  nodes: readonly NodeProcess[],
  { settings, output, signal }: { settings: Settings; output: Output; signal: AbortSignal },
): Promise<number> {
  await writePids(settings, nodes)
  let lost = 0
  for (const node of nodes) {
    void node.ended.then((how) => {
      if (signal.aborted) return
      lost += 1
      sayLost(node, how, output)
    })
  }
  sayReady(nodes, settings, output)
  remindOfRecoveryKey(settings.dataDir, output)
  await Promise.race([aborted(signal), Promise.all(nodes.map((node) => node.ended))])
  await removePids(settings)
  return lost > 0 && !signal.aborted ? 1 : 0
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

function sayLost(node: NodeProcess, how: string, output: Output): void {
  const { name, logPath } = node
  const message = `${name} ended (${how}); the others go on. Its log: ${logPath}`
  const trouble = how === 'SIGKILL' ? null : lastTrouble(node)
  const object = { type: 'ended', node: name, how, log: logPath }
  output.say(trouble ? `${message}\n  ${trouble.message}` : message, object)
}
