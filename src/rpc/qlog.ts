// src/rpc/qlog.ts — who hears of it when a record of the connections cannot be kept?
import type { QlogSettings } from '../../protocol/index.ts'
import type { RpcLog } from './log.ts'

/** Undefined when nobody asked for a record. Says once that something is missing from it. */
export function qlogInto(dir: string | null | undefined, log: RpcLog): QlogSettings | undefined {
  if (!dir) return undefined
  let isSaid = false
  const onError = (error: Error): void => {
    if (isSaid) return
    isSaid = true
    log.warn('a qlog record could not be kept; more may be missing', { problem: error.message })
  }
  return { dir, onError }
}
