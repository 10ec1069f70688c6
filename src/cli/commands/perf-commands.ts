// src/cli/commands/perf-commands.ts — which words does `holdfast perf` take?
import type { Command } from 'commander'
import { HoldfastError } from '../../errors.ts'
import type { Output } from '../output.ts'
import type { Run } from '../program.ts'

const ABOUT =
  'Measures a link with the transport that backups use, as iperf3 does with TCP. Start `serve` at\n' +
  'one end and `send` or `ping` at the other; neither needs a cluster or a config.'

const UNAUTHENTICATED =
  'What is measured is encrypted, but not authenticated: the key of perf serve is no secret. No\n' +
  'node of a cluster accepts it.'

type Options = Record<string, unknown>
type Work = (words: string[], options: Options) => Promise<number>

/** Adds `perf` with its three commands. */
export function definePerf(program: Command, output: Output, run: Run): void {
  const perf = program
    .command('perf')
    .description('measure a link: throughput, latency, loss and CPU time')
    .copyInheritedSettings(program)
    .helpGroup('Measure:')
    .addHelpText('before', `${ABOUT}\n`)
    .addHelpText('after', `\n${examples(['holdfast perf serve', 'holdfast perf send 10.0.0.2'])}`)
  perf.allowExcessArguments().action(() => {
    const [word] = perf.args
    const detail = word ? `perf does not know the word '${word}'` : 'say what to measure'
    throw new HoldfastError('BAD_USAGE', `${detail}; see holdfast perf --help`)
  })
  withHelp(perf)
  const command = (words: string, about: string, lines: readonly string[], work: Work): Command => {
    const made = perf.command(words).description(about).copyInheritedSettings(perf)
    made
      .addHelpText('after', `\n${examples(lines)}\n\n${UNAUTHENTICATED}`)
      .allowExcessArguments()
      .action(async () => {
        refuseExcess(made)
        await run(() => work(made.args, made.opts()))
      })
    return withHelp(made)
  }
  serveCommand(command, output)
  sendCommand(command, output)
  pingCommand(command, output)
}

type Define = (words: string, about: string, lines: readonly string[], work: Work) => Command

function serveCommand(command: Define, output: Output): void {
  command(
    'serve',
    'answer whoever measures the link to here',
    ['holdfast perf serve', 'holdfast perf serve --host 192.168.1.2 --port 9000'],
    async (_, options) => (await import('./perf.ts')).runPerfServe(output, options),
  )
    .option('--host <address>', 'where to listen (default 0.0.0.0; :: for IPv6)')
    .option('--port <number>', 'UDP port (default 7450)')
    .option('--cc <name>', 'congestion control: bbr (default), cubic or newreno')
    .option('--mtu <bytes>', 'largest datagram to send, 1200 to 65507')
}

function sendCommand(command: Define, output: Output): void {
  command(
    'send <host:port>',
    'send as much as the link takes, and check every byte on arrival',
    [
      'holdfast perf send 192.168.1.2',
      'holdfast perf send backup.example.org:9000 --bytes 1G',
      'holdfast perf send 192.168.1.2 --seconds 30 --streams 4 --reverse --json',
    ],
    async ([to = ''], options) => (await import('./perf.ts')).runPerfSend(output, to, options),
  )
    .option('--bytes <number>', 'send so much: 1048576, 64M, 1.5G (powers of 1024)')
    .option('--seconds <number>', 'send for so long (default 10)')
    .option('--streams <number>', 'over so many streams at once (default 1, at most 64)')
    .option('--reverse', 'the serving end sends')
    .option('--crc <what>', 'what the CRC-32 of each packet covers: full (default) or header')
    .option('--cc <name>', 'congestion control: bbr (default), cubic or newreno')
    .option('--mtu <bytes>', 'largest datagram to send, 1200 to 65507')
}

function pingCommand(command: Define, output: Output): void {
  command(
    'ping <host:port>',
    'ask for 100 bytes with 1 KiB: one request at a time, then 64 at once',
    ['holdfast perf ping 192.168.1.2', 'holdfast perf ping 192.168.1.2 --seconds 10 --json'],
    async ([to = ''], options) => (await import('./perf.ts')).runPerfPing(output, to, options),
  ).option('--seconds <number>', 'for each of the two (default 3)')
}

const withHelp = (command: Command): Command =>
  command
    .option('--json', 'results and errors as objects, one per line')
    .option('--verbose', 'say more on standard error')
    .helpOption('-h, --help', 'show this')

function refuseExcess(command: Command): void {
  const word = command.args[command.registeredArguments.length]
  if (word === undefined) return
  const name = `perf ${command.name()}`
  const detail = `${name} does not take the word '${word}'; see holdfast ${name} --help`
  throw new HoldfastError('BAD_USAGE', detail)
}

const examples = (lines: readonly string[]): string =>
  ['Examples:', ...lines.map((line) => `  ${line}`)].join('\n')
