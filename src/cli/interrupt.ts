// src/cli/interrupt.ts — what do Ctrl-C and SIGTERM do to a command?
const FORCED_EXIT = 130
/** One Ctrl-C comes more than once: from the terminal, from npm, and from the launcher. */
const REPEAT_MS = 300

/** Fires at the first signal, so that the command can end in order; the second ends it at once. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController()
  let firstMs: number | null = null
  const handle = (): void => {
    const nowMs = performance.now()
    firstMs ??= nowMs
    if (nowMs - firstMs > REPEAT_MS) process.exit(FORCED_EXIT)
    controller.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, handle)
  return controller.signal
}
