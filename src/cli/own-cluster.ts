// src/cli/own-cluster.ts — how do the demonstration and the benchmark get a cluster of their own?
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Config, loadConfig } from '../../config.ts'
import { createEndpoint } from '../rpc/index.ts'
import { recordsOf, type Settings } from './settings.ts'

const NOBODY = {
  publicKey: new Uint8Array(32),
  secretKey: new Uint8Array(32),
  certificate: new Uint8Array(0),
}

/** The project's config on ports that nobody uses, written into the data folder for the nodes. */
export async function ownCluster(dataDir: string): Promise<Settings> {
  const config = await loadConfig(null)
  const ports = await freePorts(config.servers.length + 1)
  const own: Config = {
    ...config,
    manager: { ...config.manager, port: ports[0] ?? 0 },
    servers: config.servers.map((server, index) => ({ ...server, port: ports[index + 1] ?? 0 })),
  }
  const configPath = join(dataDir, 'config.json')
  await writeFile(configPath, `${JSON.stringify(own, null, 2)}\n`)
  const clientName = config.clients[0]?.name ?? ''
  return { config: own, configPath, dataDir, records: recordsOf(), clientNumber: 1, clientName }
}

async function freePorts(count: number): Promise<number[]> {
  const bind = { host: '127.0.0.1', port: 0 }
  const endpoints = await Promise.all(
    Array.from({ length: count }, () => createEndpoint({ bind, identity: NOBODY })),
  )
  const ports = endpoints.map((endpoint) => endpoint.local.port)
  await Promise.all(endpoints.map((endpoint) => endpoint.close()))
  return ports
}
