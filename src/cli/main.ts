// src/cli/main.ts — what does the command line mean, and with which code does it end?
import { CommanderError } from 'commander'
import { HoldfastError } from '../errors.ts'
import { Output } from './output.ts'
import { buildProgram } from './program.ts'

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
