// src/cli/settings.ts — which config, data folder and client does a command work with?
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Config, loadConfig } from '../../config.ts'
import { HoldfastError } from '../errors.ts'
import { openKeyLog, type Records } from '../rpc/index.ts'

export interface CommonOptions {
  readonly config?: string | undefined
  readonly data?: string | undefined
  readonly client?: string | undefined
}

export interface Settings {
  readonly config: Config
  /** As given; null is the project's own config.ts. */
  readonly configPath: string | null
  /** Absolute. */
  readonly dataDir: string
  readonly records: Records
  readonly clientNumber: number
  readonly clientName: string
}

/** Options go before environment variables, those before defaults. BAD_CONFIG, BAD_USAGE. */
export async function settle(options: CommonOptions): Promise<Settings> {
  const configPath = options.config || process.env.HOLDFAST_CONFIG || null
  const config = await loadConfig(configPath)
  const dataDir = resolve(options.data || process.env.HOLDFAST_DATA || 'data')
  const clientNumber = wholeNumber(options.client ?? '1', 'client')
  const client = config.clients[clientNumber - 1]
  if (!client) {
    const count = config.clients.length
    const detail = `clients: there is no client ${clientNumber}, the config has ${count}`
    throw new HoldfastError('BAD_CONFIG', detail)
  }
  return {
    config,
    configPath: configPath === null ? null : resolve(configPath),
    dataDir,
    records: recordsOf(),
    clientNumber,
    clientName: client.name,
  }
}

/** HOLDFAST_QLOG=DIR and HOLDFAST_KEYLOG=FILE. BAD_USAGE when one cannot be made, or when others
 * can read the file: a record is missed only later. */
export function recordsOf(): Records {
  const { HOLDFAST_QLOG, HOLDFAST_KEYLOG } = process.env
  const qlogDir = HOLDFAST_QLOG ? resolve(HOLDFAST_QLOG) : null
  const keyLogPath = HOLDFAST_KEYLOG ? resolve(HOLDFAST_KEYLOG) : null
  try {
    if (qlogDir) mkdirSync(qlogDir, { recursive: true, mode: 0o700 })
    if (keyLogPath) openKeyLog(keyLogPath).close()
    return { qlogDir, keyLogPath }
  } catch (cause) {
    const detail = `HOLDFAST_QLOG or HOLDFAST_KEYLOG: ${(cause as Error).message}`
    throw new HoldfastError('BAD_USAGE', detail, { cause })
  }
}

/** BAD_USAGE unless the word is a whole number from 1. */
export function wholeNumber(word: string, what: string): number {
  if (/^[1-9]\d{0,4}$/.test(word)) return Number(word)
  throw new HoldfastError('BAD_USAGE', `${what} '${word}' is not a number from 1`)
}
