// src/cli/program.ts — which commands are there, and which words do they take?
import { Command } from 'commander'
import { HoldfastError } from '../errors.ts'
import type { Output } from './output.ts'
import { type CommonOptions, settle } from './settings.ts'

const EXAMPLES = `
Examples:
  holdfast up                                  start the manager and all servers
  holdfast backup ~/photos                     store a folder on two servers
  holdfast snapshots                           see what is stored
  holdfast restore latest --target /tmp/back   bring it back
  holdfast status                              see how the servers are`

export type Run = (work: () => Promise<number>) => Promise<void>

/** `run` is given the work of the command that was asked for. Each command's code is loaded only
 * when it is the one: a start of 0.7 s would be felt. */
export function buildProgram(output: Output, run: Run): Command {
  const program = new Command('holdfast')
    .description('Replicated backups on machines of your own.')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .action(() => {
      throw new HoldfastError(
        'BAD_USAGE',
        'say what to do, for example: holdfast backup FOLDER; see holdfast --help',
      )
    })
    .addHelpText('after', EXAMPLES)
  common(program)
  const command = (
    words: string,
    about: string,
    work: (args: string[], settings: CommonOptions & Record<string, unknown>) => Promise<number>,
  ): Command => {
    const made = program.command(words).description(about).exitOverride()
    common(made)
    made.configureOutput({ writeErr: () => undefined })
    made.action(async (...all: unknown[]) => {
      const self = all.at(-1) as Command
      const options = self.optsWithGlobals() as CommonOptions & Record<string, unknown>
      await run(() => work(self.args, options))
    })
    return made
  }
  command('up', 'run the manager and all servers of the config here', async (_, options) =>
    (await import('./commands/up.ts')).runUp(await settle(options), output),
  )
  command('manager', 'run the manager', async (_, options) =>
    (await import('./commands/node.ts')).runManagerNode(await settle(options), output),
  )
  command('server <number>', 'run one server of the config', async ([number], options) =>
    (await import('./commands/node.ts')).runServerNode(await settle(options), output, number ?? ''),
  )
  command('client [number]', 'open the terminal screen of a client', async ([number], options) =>
    (await import('./commands/client.ts')).runClientScreen(
      await settle({ ...options, client: number ?? options.client }),
    ),
  )
  command('backup [paths...]', 'back up files and folders', async (paths, options) =>
    (await import('./commands/backup.ts')).runBackup(await settle(options), output, {
      paths,
      ...list(options),
    }),
  )
    .option('--tag <tag>', 'mark the snapshot (may be repeated)', collect, [])
    .option('--exclude <glob>', 'leave out what matches (may be repeated)', collect, [])
    .option('--wait', 'wait for servers instead of giving up')
  command('snapshots', 'list what is stored', async (_, options) =>
    (await import('./commands/snapshots.ts')).runSnapshots(await settle(options), output),
  )
  command('ls <snapshot>', 'list the files of a snapshot', async ([snapshot], options) =>
    (await import('./commands/snapshots.ts')).runLs(await settle(options), output, snapshot ?? ''),
  )
  command('restore <snapshot>', 'bring a snapshot back', async ([snapshot], options) =>
    (await import('./commands/restore.ts')).runRestore(await settle(options), output, {
      snapshot: snapshot ?? '',
      target: String(options.target),
      include: (options.include as string[]) ?? [],
    }),
  )
    .requiredOption('--target <folder>', 'where to put the files')
    .option('--include <path>', 'only what is at or below (may be repeated)', collect, [])
  command('key <action> <file>', 'import a copy of the repository key', async (words, options) =>
    (await import('./commands/key.ts')).runKey(await settle(options), output, words),
  )
  command('status', 'show the state of the cluster', async (_, options) =>
    (await import('./commands/status.ts')).runStatus(await settle(options), output),
  )
  return program
}

function common(command: Command): void {
  command
    .option('--config <file>', 'the config file (or HOLDFAST_CONFIG)')
    .option('--data <folder>', 'the data folder (or HOLDFAST_DATA)')
    .option('--client <number>', 'which client of the config')
    .option('--json', 'one object per line')
    .option('--verbose', 'say more on standard error')
}

const collect = (value: string, known: string[]): string[] => [...known, value]

const list = (options: Record<string, unknown>) => ({
  tags: (options.tag as string[]) ?? [],
  excludes: (options.exclude as string[]) ?? [],
  waitForServers: options.wait === true,
})
