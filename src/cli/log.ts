// src/cli/log.ts — where do a node's own words go? To standard error; as JSON lines unless a person
// is looking on.
import createDebug from 'debug'
import pino from 'pino'
import type { Log } from '../rpc/index.ts'
import { formatTime } from './format.ts'
import { tellParent } from './parent.ts'

type Level = 'info' | 'warn' | 'error'
type Fields = Record<string, unknown>

/** `node` is its name in the config. Debug words go to DEBUG=holdfast:NAME instead. */
export function nodeLog(node: string): Log {
  const write = process.stderr.isTTY ? lineWriter(node) : jsonWriter(node)
  const debug = createDebug(`holdfast:${node}`)
  return {
    debug: (message, fields) => debug('%s %o', message, fields ?? {}),
    info: (message, fields = {}) => write('info', message, fields),
    warn: (message, fields = {}) => write('warn', message, fields),
    error: (message, fields = {}) => {
      write('error', message, fields)
      tellParent(withFields(message, fields))
    },
  }
}

function jsonWriter(node: string): (level: Level, message: string, fields: Fields) => void {
  const options = { base: { pid: process.pid, node }, timestamp: pino.stdTimeFunctions.isoTime }
  const logger = pino(
    { ...options, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 2, sync: true }),
  )
  return (level, message, fields) => logger[level](fields, message)
}

function lineWriter(node: string): (level: Level, message: string, fields: Fields) => void {
  return (level, message, fields) => {
    const loud = level === 'info' ? '' : `${level.toUpperCase()} `
    const words = withFields(message, fields)
    process.stderr.write(`${formatTime(Date.now())} ${node} ${loud}${words}\n`)
  }
}

const withFields = (message: string, fields: Fields): string =>
  [message, ...Object.entries(fields).map(([name, value]) => `${name}=${wordOf(value)}`)].join(' ')

const wordOf = (value: unknown): string => {
  if (typeof value === 'string') return value
  return value instanceof Error ? value.message : (JSON.stringify(value) ?? String(value))
}

/** For commands: nothing unless DEBUG asks for it. */
export function commandLog(name: string): Log {
  const debug = createDebug(`holdfast:${name}`)
  const say = (message: string, fields?: Fields): void => debug('%s %o', message, fields ?? {})
  return { debug: say, info: say, warn: say, error: say }
}
