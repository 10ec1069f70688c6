// src/cli/commands/with-client.ts — how does a command get a client, and give it back?
import { type Client, openClient } from '../../client/index.ts'
import { commandLog } from '../log.ts'
import type { Settings } from '../settings.ts'

/** Opens the client, runs the work, closes it whatever happens. */
export async function withClient<T>(
  settings: Settings,
  options: {
    signal: AbortSignal
    enrolWaitMs?: number
    managerWaitMs?: number
    asOperator?: boolean
    joinToken?: string | undefined
  },
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const { config, dataDir, records, clientNumber, clientName } = settings
  const { host, port } = config.manager
  const { managerWaitMs } = config.timing
  const client = await openClient({
    dataDir,
    records,
    clientNumber,
    clientName,
    manager: { host, port },
    managerWaitMs,
    log: commandLog(clientName),
    ...options,
  })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}
