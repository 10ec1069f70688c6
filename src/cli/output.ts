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
    const failure =
      error instanceof HoldfastError
        ? error
        : new HoldfastError('INTERNAL', `a defect in holdfast: ${describe(error)}`)
    const { code, detail } = failure
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

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error)
