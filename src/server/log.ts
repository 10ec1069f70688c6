// src/server/log.ts — where do a server's words go? Whoever starts it decides.

type Say = (message: string, fields?: Record<string, unknown>) => void

/** info: what an operator wants to see of a healthy server; warn: what to look at; error: what
 * needs a person; debug: the rest. */
export interface Log {
  readonly debug: Say
  readonly info: Say
  readonly warn: Say
  readonly error: Say
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }
