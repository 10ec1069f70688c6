// src/cli/start.ts — how do the manager, all servers and a screen come up in one go? (npm start)
import { HoldfastError } from '../errors.ts'
import { canShowScreen, runClientScreen } from './commands/client.ts'
import { interruptSignal } from './interrupt.ts'
import { allReady, removePids, startNodes, stopNodes, writePids } from './nodes.ts'
import { endWithReader, Output } from './output.ts'
import { remindOfRecoveryKey } from './recovery-reminder.ts'
import { settle } from './settings.ts'

const READY_MS_MAX = 30_000

endWithReader()
const output = new Output({ isJson: false, isVerbose: false })
process.exitCode = await start().catch((error) => output.fail(error))
process.exit()

async function start(): Promise<number> {
  if (!canShowScreen()) {
    const detail = 'npm start opens a screen and needs a terminal; without one run: npm run demo'
    throw new HoldfastError('BAD_USAGE', detail)
  }
  const settings = await settle({})
  const signal = interruptSignal()
  output.say(`starting the manager and ${settings.config.servers.length} servers …`)
  const nodes = await startNodes(settings)
  try {
    await allReady(nodes, { signal, withinMs: READY_MS_MAX })
    await writePids(settings, nodes)
    remindOfRecoveryKey(settings.dataDir, output)
    return await runClientScreen(settings, signal)
  } finally {
    output.say('stopping the manager and the servers …')
    await stopNodes(nodes)
    await removePids(settings)
  }
}
