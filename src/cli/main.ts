// src/cli/main.ts — what does the command line mean, and with which code does it end?
import { CommanderError } from 'commander'
import { HoldfastError } from '../errors.ts'
import { endWithReader, Output } from './output.ts'
import { followParent } from './parent.ts'
import { buildProgram } from './program.ts'

const words = process.argv.slice(2)
const options = words.includes('--') ? words.slice(0, words.indexOf('--')) : words
const output = new Output({
  isJson: options.includes('--json'),
  isVerbose: options.includes('--verbose'),
})

followParent()
endWithReader()
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => process.exit(output.fail(error)))
}
process.exitCode = await main().catch((error: unknown) => output.fail(usageOf(error)))
// Handles that linger (a socket on its way down) must not keep a command from ending.
process.exit()

/** Runs one command line; the exit code follows restic (docs/operations.md). */
async function main(): Promise<number> {
  let exitCode = 0
  const program = buildProgram(output, async (work) => {
    exitCode = await work()
  })
  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0 // --help, --version
    throw error
  }
  return exitCode
}

function usageOf(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error
  const detail =
    error.code === 'commander.help'
      ? 'say what to do, for example: holdfast backup FOLDER'
      : error.message.replace(/^error: /, '').replaceAll('\n', ' ')
  return new HoldfastError('BAD_USAGE', `${detail}; see holdfast --help`, { cause: error })
}
