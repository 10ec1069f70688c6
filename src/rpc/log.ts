// src/rpc/log.ts — where do words about requests go? Whoever starts a node decides.

type Say = (message: string, fields?: Record<string, unknown>) => void

/** A program's own log fits when it has these. */
export interface RpcLog {
  readonly debug: Say
  readonly warn: Say
  readonly error: Say
}

/** What every node and client is given: info is what an operator wants to see of a healthy node. */
export interface Log extends RpcLog {
  readonly info: Say
}
