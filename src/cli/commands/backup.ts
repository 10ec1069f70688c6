// src/cli/commands/backup.ts — how does a person store files, and see when they are safe?
import { type BackupSummary, type ClientEvent, displayPath } from '../../client/index.ts'
import { formatBytes, formatSeconds, plural } from '../format.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import { sayEvent } from '../progress.ts'
import type { Settings } from '../settings.ts'
import { withClient } from './with-client.ts'

export interface BackupWords {
  readonly paths: readonly string[]
  readonly tags: readonly string[]
  readonly excludes: readonly string[]
  readonly waitForServers: boolean
}

/** 0: stored. 3: stored, but some files could not be read. */
export async function runBackup(
  settings: Settings,
  output: Output,
  words: BackupWords,
): Promise<number> {
  const signal = interruptSignal()
  const summary = await withClient(settings, { signal }, (client) =>
    client.backup({
      ...words,
      scan: output.isTerminal,
      signal,
      onEvent: (event: ClientEvent) => sayEvent(output, event),
    }),
  )
  output.result(summaryObject(summary), describeSummary(summary))
  return summary.exitCode
}

const summaryObject = (summary: BackupSummary): Record<string, unknown> => {
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

function describeSummary(summary: BackupSummary): string[] {
  const { newFiles, changedFiles, unmodifiedFiles } = summary
  const sent = `${formatBytes(summary.storedBytes)} stored, on each of two servers`
  const all = `${plural(summary.files, 'file')}, ${formatBytes(summary.bytes)}`
  return [
    ...summary.notices,
    `files: ${newFiles} new, ${changedFiles} changed, ${unmodifiedFiles} unmodified`,
    `new: ${formatBytes(summary.newBytes)} (${sent})`,
    `processed ${all} in ${formatSeconds(summary.seconds)}`,
    ...(summary.warnings > 0 ? [`${plural(summary.warnings, 'problem')}: see above`] : []),
    `snapshot ${summary.snapshot.slice(0, 8)} is stored: all of it is on two servers`,
  ]
}
