// src/client-tui/main.ts — how does a client's screen open and close?
import type { Client } from '../client/index.ts'
import { App, type AppOptions } from './app.ts'

export type RunTuiOptions = AppOptions & { readonly signal: AbortSignal; readonly client: Client }

/** Resolves when the person leaves or `signal` fires; the terminal is as it was before. */
export async function runTui(options: RunTuiOptions): Promise<void> {
  const app = new App(options)
  const stop = (): void => app.close()
  options.signal.addEventListener('abort', stop, { once: true })
  try {
    await app.done
  } finally {
    options.signal.removeEventListener('abort', stop)
    app.close()
  }
}
