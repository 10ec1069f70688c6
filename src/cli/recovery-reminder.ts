// src/cli/recovery-reminder.ts — who tells a person that the recovery key is not where it belongs?
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Output } from './output.ts'

/** At each start, until it is gone: a key beside the manager is lost with the manager. */
export function remindOfRecoveryKey(dataDir: string, output: Output): void {
  const path = join(dataDir, 'recovery.key')
  if (!existsSync(path)) return
  const message = `move ${path} to another medium: it replaces a manager that is lost`
  output.say(message, { type: 'notice', code: 'RECOVERY_KEY_HERE' })
}
