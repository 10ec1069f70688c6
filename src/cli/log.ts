// src/cli/log.ts — where do a node's own words go? As JSON lines to standard error, by pino.
import createDebug from 'debug'
import pino from 'pino'
import type { Log } from '../rpc/index.ts'

/** `name` is the node's. Debug words go to DEBUG=holdfast:NAME instead. */
export function nodeLog(name: string): Log {
  const logger = pino(
    { name, base: { pid: process.pid } },
    pino.destination({ dest: 2, sync: true }),
  )
  const debug = createDebug(`holdfast:${name}`)
  return {
    debug: (message, fields) => debug('%s %o', message, fields ?? {}),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  }
}

/** For commands: nothing unless DEBUG asks for it. */
export function commandLog(name: string): Log {
  const debug = createDebug(`holdfast:${name}`)
  const say = (message: string, fields?: Record<string, unknown>): void =>
    debug('%s %o', message, fields ?? {})
  return { debug: say, info: say, warn: say, error: say }
}
