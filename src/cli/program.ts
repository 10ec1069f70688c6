// src/cli/program.ts — which commands are there, and which words do they take?
import { Command } from 'commander'
import packageFile from '../../package.json' with { type: 'json' }
import { HoldfastError } from '../errors.ts'
import { definePerf } from './commands/perf-commands.ts'
import type { Output } from './output.ts'
import { type CommonOptions, type Settings, settle } from './settings.ts'

const EXAMPLES = [
  'holdfast up                                  start the manager and all servers',
  'holdfast backup ~/photos                     store a folder on two servers',
  'holdfast snapshots                           see what is stored',
  'holdfast restore latest --target /tmp/back   bring it back',
  'holdfast status                              see how the servers are',
]
const EXIT_CODES =
  'Exit codes: 0 done, 1 failed, 3 done but some files could not be read, 10 no such\n' +
  'repository, 11 in use or not allowed, 130 interrupted.'

export type Run = (work: () => Promise<number>) => Promise<void>

type Options = CommonOptions & Record<string, unknown>
type Work = (settings: Settings, words: string[], options: Options) => Promise<number>

/** `run` is given the work of the command that was asked for. Each command's code is loaded only
 * when it is the one: a start of 0.7 s would be felt. */
export function buildProgram(output: Output, run: Run): Command {
  const program = new Command('holdfast')
    .description('Replicated backups on machines of your own.')
    .version(packageFile.version, '--version', 'say which version this is')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .addHelpText('after', `\n${examples(EXAMPLES)}\n\n${EXIT_CODES}`)
  common(program)

  const command: Define = (words, about, { group, lines, own }, work) => {
    const made = program.command(words).description(about).copyInheritedSettings(program)
    made
      .helpGroup(group)
      .addHelpText('after', `\n${examples(lines)}`)
      .allowExcessArguments()
    made.action(async () => {
      refuseExcess(made)
      refuseEmpty(made)
      const options = made.optsWithGlobals() as Options
      await run(async () => work(await settle(options), made.args, options))
    })
    own?.(made)
    common(made)
  }
  nodeCommands(command, output)
  clientCommands(command, output)
  operatorCommands(command, output)
  definePerf(program, output, run)
  return program
}

type Define = (words: string, about: string, more: More, work: Work) => void

interface More {
  readonly group: string
  /** Examples. */
  readonly lines: readonly string[]
  /** Options that only this command takes. */
  readonly own?: (command: Command) => void
}

function nodeCommands(command: Define, output: Output): void {
  const group = 'Run the nodes:'
  command(
    'up',
    'run the manager and all servers of the config here',
    { group, lines: ['holdfast up', 'holdfast up --config my.json --data /srv/holdfast'] },
    async (settings) => (await import('./commands/up.ts')).runUp(settings, output),
  )
  command(
    'manager',
    'run the manager',
    {
      group,
      lines: ['holdfast manager --data /srv/holdfast', 'holdfast manager --recovery-key FILE'],
      own: (made) =>
        made.option('--recovery-key <file>', 'take over from a manager whose machine is lost'),
    },
    async (settings, _, options) =>
      (await import('./commands/node.ts')).runManagerNode(
        settings,
        output,
        wordOf(options.recoveryKey),
      ),
  )
  command(
    'server <number>',
    'run one server of the config; the first is 1',
    { group, lines: ['holdfast server 2', 'holdfast server 5 --join TOKEN'], own: withJoin },
    async (settings, [number = ''], options) =>
      (await import('./commands/node.ts')).runServerNode(
        settings,
        output,
        number,
        joinTokenOf(options),
      ),
  )
}

const withJoin = (made: Command): Command =>
  made.option(
    '--join <token>',
    'become part of a cluster whose manager is elsewhere (or HOLDFAST_JOIN_TOKEN)',
  )

/** Whoever lists the processes of this machine sees their words: the token must not stay there. */
function joinTokenOf(options: Options): string | undefined {
  if (options.join !== undefined) process.title = 'holdfast'
  return wordOf(options.join) ?? process.env.HOLDFAST_JOIN_TOKEN
}

function operatorCommands(command: Define, output: Output): void {
  const group = 'Operate the cluster, where the manager runs:'
  command(
    'token <kind> <number>',
    'let a server or a client on another machine join',
    {
      group,
      lines: ['holdfast token server 5', 'holdfast token client 2 --role backup,restore'],
      own: (made) =>
        made
          .option('--role <roles>', 'of a client: backup, restore, or both with a comma')
          .option('--hours <number>', 'how long it may be used (default 1, at most 24)'),
    },
    async (settings, [kind = '', number = ''], options) =>
      (await import('./commands/operator.ts')).runToken(settings, output, {
        kind,
        number,
        role: wordOf(options.role),
        hours: wordOf(options.hours),
      }),
  )
  command(
    'revoke <node>',
    'shut a node out, by its name or its public key',
    { group, lines: ['holdfast revoke server-5', 'holdfast revoke client-2'] },
    async (settings, [node = '']) =>
      (await import('./commands/operator.ts')).runRevoke(settings, output, node),
  )
  command(
    'rotate-key',
    'replace the key that signs certificates; nothing stops meanwhile',
    { group, lines: ['holdfast rotate-key'] },
    async (settings) => (await import('./commands/operator.ts')).runRotateKey(settings, output),
  )
}

function clientCommands(command: Define, output: Output): void {
  const group = 'Back up and restore:'
  command(
    'client [number]',
    'open the terminal screen of a client',
    {
      group,
      lines: ['holdfast client', 'holdfast client 2', 'holdfast client 2 --join TOKEN'],
      own: withJoin,
    },
    async (_, [number], options) => {
      const settings = await settle({ ...options, client: number ?? options.client })
      const { runClientJoin, runClientScreen } = await import('./commands/client.ts')
      const token = joinTokenOf(options)
      if (token === undefined) return await runClientScreen(settings)
      return await runClientJoin(settings, output, token)
    },
  )
  command(
    'backup <paths...>',
    'back up files and folders',
    {
      group,
      lines: [
        'holdfast backup ~/photos ~/letters',
        "holdfast backup ~ --exclude '*.tmp' --tag daily",
      ],
      own: (made) =>
        made
          .option('--tag <tag>', 'mark the snapshot (may be repeated)', collect)
          .option('--exclude <glob>', 'leave out what matches (may be repeated)', collect)
          .option('--wait', 'wait for servers instead of giving up'),
    },
    async (settings, paths, options) =>
      (await import('./commands/backup.ts')).runBackup(settings, output, {
        paths,
        tags: wordsOf(options.tag),
        excludes: wordsOf(options.exclude),
        waitForServers: options.wait === true,
      }),
  )
  command(
    'snapshots',
    'list what is stored, newest last',
    { group, lines: ['holdfast snapshots --json'] },
    async (settings) => (await import('./commands/snapshots.ts')).runSnapshots(settings, output),
  )
  command(
    'ls <snapshot>',
    'list the files of a snapshot',
    { group, lines: ['holdfast ls latest', 'holdfast ls 5d2ae1f7 --json'] },
    async (settings, [snapshot = '']) =>
      (await import('./commands/snapshots.ts')).runLs(settings, output, snapshot),
  )
  command(
    'restore <snapshot>',
    'bring a snapshot back; absolute paths land below the target',
    {
      group,
      lines: ['holdfast restore latest --target /tmp/back'],
      own: (made) =>
        made
          .requiredOption('--target <folder>', 'where to put the files', targetOf)
          .option('--include <path>', 'only what is at or below (may be repeated)', collect),
    },
    async (settings, [snapshot = ''], options) =>
      (await import('./commands/restore.ts')).runRestore(settings, output, {
        snapshot,
        target: String(options.target),
        include: wordsOf(options.include),
      }),
  )
  command(
    'key <action> <file>',
    'import a copy of the repository key',
    { group, lines: ['holdfast key import /media/stick/repository.key'] },
    async (settings, words) => (await import('./commands/key.ts')).runKey(settings, output, words),
  )
  command(
    'status',
    'show how the servers are, and whether all has two copies',
    { group, lines: ['holdfast status', 'holdfast status --json'] },
    async (settings) => (await import('./commands/status.ts')).runStatus(settings, output),
  )
}

/** The library's own words for this do not name the word. */
function refuseExcess(command: Command): void {
  const { args, registeredArguments: known } = command
  const word = args[known.length]
  if (word === undefined || known.at(-1)?.variadic) return
  const name = command.name()
  const detail = `${name} does not take the word '${word}'; see holdfast ${name} --help`
  throw new HoldfastError('BAD_USAGE', detail)
}

/** An unset variable in a script must not mean the current folder. */
function refuseEmpty(command: Command): void {
  if (command.args.every((word) => word !== '')) return
  throw new HoldfastError('BAD_USAGE', `${command.name()}: one of the words is empty`)
}

/** Every command takes these, and so does the program before the command's name. */
function common(command: Command): void {
  command
    .optionsGroup('Options of every command:')
    .option('--config <file>', 'the config file (or HOLDFAST_CONFIG)')
    .option('--data <folder>', 'the data folder (or HOLDFAST_DATA; default ./data)')
    .option('--client <number>', 'which client of the config (default 1)')
    .option('--json', 'results and errors as objects, one per line')
    .option('--verbose', 'say more on standard error')
    .helpOption('-h, --help', 'show this')
}

const examples = (lines: readonly string[]): string =>
  ['Examples:', ...lines.map((line) => `  ${line}`)].join('\n')

/** As refuseEmpty. */
const targetOf = (value: string): string => {
  if (value) return value
  throw new HoldfastError('BAD_USAGE', '--target is empty; name the folder to restore to')
}

const collect = (value: string, known: string[] = []): string[] => [...known, value]

const wordOf = (value: unknown): string | undefined => value as string | undefined

const wordsOf = (value: unknown): string[] => (value as string[] | undefined) ?? []
