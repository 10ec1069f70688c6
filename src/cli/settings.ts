// src/cli/settings.ts — which config, data folder and client does a command work with?
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { type Config, loadConfig } from '../../config.ts'
import { HoldfastError } from '../errors.ts'

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
  /** Where every node and command keeps a qlog record of its connections; absolute. Null: none. */
  readonly qlogDir: string | null
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
    qlogDir: qlogFolder(),
    clientNumber,
    clientName: client.name,
  }
}

/** HOLDFAST_QLOG=DIR. BAD_USAGE when that cannot be a folder: a record is missed only later. */
export function qlogFolder(): string | null {
  if (!process.env.HOLDFAST_QLOG) return null
  const dir = resolve(process.env.HOLDFAST_QLOG)
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    return dir
  } catch (cause) {
    const detail = `HOLDFAST_QLOG=${dir} is no folder and cannot be made: ${String(cause)}`
    throw new HoldfastError('BAD_USAGE', detail, { cause })
  }
}

/** BAD_USAGE unless the word is a whole number from 1. */
export function wholeNumber(word: string, what: string): number {
  if (/^[1-9]\d{0,4}$/.test(word)) return Number(word)
  throw new HoldfastError('BAD_USAGE', `${what} '${word}' is not a number from 1`)
}
