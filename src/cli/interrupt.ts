// src/cli/interrupt.ts — what do Ctrl-C and SIGTERM do to a command?
const FORCED_EXIT = 130

/** Fires at the first signal, so that the command can end in order; the second ends it at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  const handle = (): void => {
    if (controller.signal.aborted) process.exit(FORCED_EXIT)
    controller.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, handle)
  return controller.signal
}
