// src/cli/commands/client.ts — how does a client's screen open?
import { HoldfastError } from '../../errors.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'

export async function runClientScreen(_settings: Settings, _output: Output): Promise<number> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    const detail = 'the screen needs a terminal; without one use holdfast backup, or npm run demo'
    throw new HoldfastError('BAD_USAGE', detail)
  }
  throw new HoldfastError('BAD_USAGE', 'the screen is not there yet')
}
