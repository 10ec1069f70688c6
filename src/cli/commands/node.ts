// src/cli/commands/node.ts — how does one node run in the foreground?
import { runManager } from '../../manager/main.ts'
import { runServer } from '../../server/main.ts'
import { interruptSignal } from '../interrupt.ts'
import { nodeLog } from '../log.ts'
import type { Output } from '../output.ts'
import { type Settings, wholeNumber } from '../settings.ts'

export async function runManagerNode(
  settings: Settings,
  output: Output,
  recoveryKeyPath?: string,
): Promise<number> {
  const { config, dataDir, records } = settings
  const { name } = config.manager
  await runManager({
    config,
    dataDir,
    records,
    log: nodeLog(name),
    signal: interruptSignal(),
    recoveryKeyPath,
    onNotice: (notice) => output.say(notice, { type: 'notice' }),
    onReady: (where) => ready(output, where),
  })
  return 0
}

export async function runServerNode(
  settings: Settings,
  output: Output,
  word: string,
  joinToken?: string,
): Promise<number> {
  const number = wholeNumber(word, 'server')
  const { config, dataDir, records } = settings
  const name = config.servers[number - 1]?.name ?? `server-${number}`
  await runServer({
    config,
    number,
    dataDir,
    records,
    log: nodeLog(name),
    signal: interruptSignal(),
    joinToken,
    onReady: (where) => ready(output, where),
  })
  return 0
}

function ready(output: Output, where: { name: string; host: string; port: number }): void {
  const { name, host, port } = where
  const object = { type: 'ready', name, host, port, pid: process.pid }
  output.result(object, `ready: ${name} serves at ${host}:${port} (pid ${process.pid})`)
}
