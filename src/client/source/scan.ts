// src/client/source/scan.ts — how much is there to back up? Runs alongside, for percentages only.
import type { OnEvent } from '../events.ts'
import { breathe, type Context } from '../remote/context.ts'
import type { Plan } from './paths.ts'
import { type WalkOptions, walk } from './walk.ts'

const TURN_MS = 4
const REPORT_MS = 200

/** Counts until it is through, or until `stop` says that nobody wants to know any more. Problems
 * are the backup's to report. */
export async function scan(
  context: Pick<Context, 'clock'>,
  plan: Plan,
  options: WalkOptions & { onEvent: OnEvent; stop: () => boolean },
): Promise<void> {
  const { clock } = context
  const total = { files: 0, bytes: 0 }
  let turnEndMs = clock.nowMs() + TURN_MS
  let reportAtMs = clock.nowMs() + REPORT_MS
  for (const item of walk(plan, options)) {
    if (item.kind === 'entry' && item.type === 'file') {
      total.files += 1
      total.bytes += Number(item.stat.size)
    }
    if (clock.nowMs() < turnEndMs) continue
    await breathe(clock)
    if (options.stop()) return
    turnEndMs = clock.nowMs() + TURN_MS
    if (clock.nowMs() < reportAtMs) continue
    reportAtMs = clock.nowMs() + REPORT_MS
    options.onEvent({ type: 'total', ...total, final: false })
  }
  options.onEvent({ type: 'total', ...total, final: true })
}
