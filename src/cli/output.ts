// src/cli/output.ts — what goes to standard output, what to standard error, and in which form?
import { ERRORS, HoldfastError } from '../errors.ts'

const EXIT_INTERRUPTED = 130

/** Results go to standard output and nothing else does; errors and progress to standard error. */
export class Output {
  readonly isJson: boolean
  readonly isVerbose: boolean
  #hasStatusLine = false

  constructor(options: { isJson: boolean; isVerbose: boolean }) {
    this.isJson = options.isJson
    this.isVerbose = options.isVerbose
  }

  get isTerminal(): boolean {
    return process.stderr.isTTY === true && !this.isJson
  }

  /** A result: the object with --json, else the lines. */
  result(object: Record<string, unknown>, lines: string | readonly string[]): void {
    this.#clearStatus()
    const text = this.isJson ? JSON.stringify(object) : [lines].flat().join('\n')
    process.stdout.write(`${text}\n`)
  }

  /** Something a person should know. */
  say(message: string, object?: Record<string, unknown>): void {
    this.#clearStatus()
    const text = this.isJson ? JSON.stringify({ type: 'message', message, ...object }) : message
    process.stderr.write(`${text}\n`)
  }

  /** For --verbose only. */
  detail(message: string, object: Record<string, unknown>): void {
    if (this.isVerbose) this.say(message, object)
  }

  /** One line that the next one replaces; on a terminal only. */
  status(line: string): void {
    if (!this.isTerminal) return
    const width = process.stderr.columns ?? 80
    process.stderr.write(`\r\u001b[K${line.slice(0, width - 1)}`)
    this.#hasStatusLine = true
  }

  #clearStatus(): void {
    if (!this.#hasStatusLine) return
    this.#hasStatusLine = false
    process.stderr.write('\r\u001b[K')
  }

  /** Says what went wrong and returns the exit code for it. */
  fail(error: unknown): number {
    this.#clearStatus()
    const { code, detail } = failureOf(error)
    const exit = code === 'CANCELLED' ? EXIT_INTERRUPTED : ERRORS[code].exit
    process.stderr.write(
      this.isJson
        ? `${JSON.stringify({ type: 'error', code, message: detail, exitCode: exit })}\n`
        : `holdfast: ${detail} [${code}]\n`,
    )
    if (this.isVerbose && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return exit
  }
}

/** A pipe that its reader closed is no defect: it has seen enough. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit()
  })
  process.stderr.on('error', () => undefined)
}

function failureOf(error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error
  if (!(error instanceof Error)) return defect(String(error))
  const { code, syscall } = error as NodeJS.ErrnoException
  // The disk said no, or a file is not ours to read: no defect, and the message has the path.
  if (code && syscall) return new HoldfastError('STORAGE_FAILED', error.message, { cause: error })
  // The transport's own words already say what to do.
  if (code?.startsWith('ERR_HOLDFAST_')) return new HoldfastError('UNREACHABLE', error.message)
  return defect(error.stack ?? error.message)
}

const defect = (text: string): HoldfastError =>
  new HoldfastError('INTERNAL', `a defect in holdfast, please report it: ${text}`)
