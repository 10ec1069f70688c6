// src/cli/commands/restore.ts — how do files come back?
import { type ClientEvent, displayPath, type RestoreSummary } from '../../client/index.ts'
import { formatBytes, formatSeconds, plural } from '../format.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import { sayEvent } from '../progress.ts'
import type { Settings } from '../settings.ts'
import { withClient } from './with-client.ts'

export interface RestoreWords {
  readonly snapshot: string
  readonly target: string
  readonly include: readonly string[]
}

/** 0: all is there, verified. 3: some entries could not be brought back. */
export async function runRestore(
  settings: Settings,
  output: Output,
  words: RestoreWords,
): Promise<number> {
  const signal = interruptSignal()
  const { include, ...rest } = words
  const summary = await withClient(settings, { signal }, (client) =>
    client.restore({
      ...rest,
      ...(include.length > 0 && { include }),
      signal,
      onEvent: (event: ClientEvent) => sayEvent(output, event),
    }),
  )
  output.result(summaryObject(summary), describeSummary(summary, words.target))
  return summary.exitCode
}

const summaryObject = (summary: RestoreSummary): Record<string, unknown> => {
  const { problems, exitCode: _, ...rest } = summary
  return {
    type: 'summary',
    ...rest,
    problems: problems.map(({ path, code, message }) => ({
      path: path && displayPath(path),
      code,
      message,
    })),
  }
}

function describeSummary(summary: RestoreSummary, target: string): string[] {
  const kept = summary.skippedFiles > 0 ? `, ${summary.skippedFiles} were there already` : ''
  const bad = summary.badReplicas.map(
    ({ server, blobId }) =>
      `${server.name || `server ${server.number}`} has a bad copy of blob ${blobId}; ` +
      'another copy was used',
  )
  const all = `${plural(summary.files, 'file')}, ${formatBytes(summary.bytes)}`
  return [
    ...summary.notices,
    ...bad,
    `restored ${all} to ${target} in ${formatSeconds(summary.seconds)}${kept}`,
    ...(summary.warnings > 0 ? [`${plural(summary.warnings, 'problem')}: see above`] : []),
  ]
}
