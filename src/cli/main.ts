// src/cli/main.ts — what does the command line mean, and with which code does it end?
import { Command, CommanderError } from 'commander'
import { HoldfastError } from '../errors.ts'
import { runBackup } from './commands/backup.ts'
import { runClientScreen } from './commands/client.ts'
import { runManagerNode, runServerNode } from './commands/node.ts'
import { runRestore } from './commands/restore.ts'
import { runLs, runSnapshots } from './commands/snapshots.ts'
import { runStatus } from './commands/status.ts'
import { runUp } from './commands/up.ts'
import { Output } from './output.ts'
import { type CommonOptions, settle } from './settings.ts'

/** The launcher on an older Node holds the other end; when it is killed, so are we. */
if (process.env.HOLDFAST_LAUNCHED && process.connected) {
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  process.channel?.unref()
}
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0) // The reader has seen enough.
})
process.exitCode = await main(process.argv.slice(2))
// Handles that linger (a socket on its way down) must not keep a command from ending.
process.exit()

/** Runs one command line; the exit code follows restic (docs/operations.md). */
async function main(words: readonly string[]): Promise<number> {
  const isJson = words.includes('--json')
  const output = new Output({ isJson, isVerbose: words.includes('--verbose') })
  let exitCode = 0
  const program = buildProgram(output, async (work) => {
    exitCode = await work()
  })
  try {
    await program.parseAsync([...words], { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    const usage = error instanceof CommanderError
    const failure = usage ? new HoldfastError('BAD_USAGE', usageText(error)) : error
    return output.fail(failure)
  }
}

const usageText = (error: CommanderError): string =>
  `${error.message.replace(/^error: /, '')}; see holdfast --help`

type Run = (work: () => Promise<number>) => Promise<void>

function buildProgram(output: Output, run: Run): Command {
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
    runUp(await settle(options), output),
  )
  command('manager', 'run the manager', async (_, options) =>
    runManagerNode(await settle(options), output),
  )
  command('server <number>', 'run one server of the config', async ([number], options) =>
    runServerNode(await settle(options), output, number ?? ''),
  )
  command('client [number]', 'open the terminal screen of a client', async ([number], options) =>
    runClientScreen(await settle({ ...options, client: number ?? options.client }), output),
  )
  command('backup [paths...]', 'back up files and folders', async (paths, options) =>
    runBackup(await settle(options), output, { paths, ...list(options) }),
  )
    .option('--tag <tag>', 'mark the snapshot (may be repeated)', collect, [])
    .option('--exclude <glob>', 'leave out what matches (may be repeated)', collect, [])
    .option('--wait', 'wait for servers instead of giving up')
  command('snapshots', 'list what is stored', async (_, options) =>
    runSnapshots(await settle(options), output),
  )
  command('ls <snapshot>', 'list the files of a snapshot', async ([snapshot], options) =>
    runLs(await settle(options), output, snapshot ?? ''),
  )
  command('restore <snapshot>', 'bring a snapshot back', async ([snapshot], options) =>
    runRestore(await settle(options), output, {
      snapshot: snapshot ?? '',
      target: String(options.target),
      include: (options.include as string[]) ?? [],
    }),
  )
    .requiredOption('--target <folder>', 'where to put the files')
    .option('--include <path>', 'only what is at or below (may be repeated)', collect, [])
  command('status', 'show the state of the cluster', async (_, options) =>
    runStatus(await settle(options), output),
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

const EXAMPLES = `
Examples:
  holdfast up                                  start the manager and all servers
  holdfast backup ~/photos                     store a folder on two servers
  holdfast snapshots                           see what is stored
  holdfast restore latest --target /tmp/back   bring it back
  holdfast status                              see how the servers are`
