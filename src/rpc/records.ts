// src/rpc/records.ts — which records of its connections does a program keep, when someone asks?
import type { CreateEndpointOptions } from '../../protocol/index.ts'
import type { RpcLog } from './log.ts'

/** See docs/debugging.md. Absolute paths; null: none. */
export interface Records {
  /** Folder of qlog traces, one per connection. */
  readonly qlogDir: string | null
  /** File of the packets' keys. */
  readonly keyLogPath: string | null
}

/** For createEndpoint(). `log` hears once that something is missing from the traces. */
export function recordsInto(
  records: Records | undefined,
  log: RpcLog,
): Pick<CreateEndpointOptions, 'qlog' | 'keyLogPath'> {
  const dir = records?.qlogDir
  const keyLogPath = records?.keyLogPath ?? undefined
  if (!dir) return { keyLogPath }
  let isSaid = false
  const onError = (error: Error): void => {
    if (isSaid) return
    isSaid = true
    log.warn('a qlog record could not be kept; more may be missing', { problem: error.message })
  }
  return { keyLogPath, qlog: { dir, onError } }
}
