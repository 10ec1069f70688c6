// src/cli/commands/client.ts — how does a client's screen open?
import { join } from 'node:path'
import { runTui } from '../../client-tui/main.ts'
import { HoldfastError } from '../../errors.ts'
import { makeDemoFiles } from '../demo-files.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'
import { withClient } from './with-client.ts'

/** A dumb terminal (that of an editor, say) cannot move its cursor. */
export const canShowScreen = (): boolean =>
  process.stdin.isTTY && process.stdout.isTTY && process.env.TERM !== 'dumb'

/** BAD_USAGE without a terminal. */
export async function runClientScreen(
  settings: Settings,
  signal: AbortSignal = interruptSignal(),
): Promise<number> {
  if (!canShowScreen()) {
    const detail = 'the screen needs a terminal; without one use holdfast backup, or npm run demo'
    throw new HoldfastError('BAD_USAGE', detail)
  }
  await makeDemoFiles(settings.config)
  const client = settings.config.clients[settings.clientNumber - 1]
  const labels = ['FILE_1', 'FILE_2', 'FILE_3'] as const
  const files = client ? labels.map((label) => ({ label, path: client[label] })) : []
  const restoreFolder = join(settings.dataDir, `client-${settings.clientNumber}`, 'restored')
  await withClient(settings, { signal }, (opened) =>
    runTui({ client: opened, files, restoreFolder, signal }),
  )
  return 0
}

/** Becomes a client of the cluster: the manager answers, and the certificate is on disk. Then the
 * screen opens, where there is a terminal for it. */
export async function runClientJoin(
  settings: Settings,
  output: Output,
  joinToken: string,
): Promise<number> {
  const signal = interruptSignal()
  await withClient(settings, { signal, joinToken }, (client) => client.status({ signal }))
  const { clientName } = settings
  output.result({ type: 'joined', client: clientName }, `${clientName} has joined the cluster`)
  return canShowScreen() ? await runClientScreen(settings, signal) : 0
}
