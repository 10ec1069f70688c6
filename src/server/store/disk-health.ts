// src/server/store/disk-health.ts — what does a disk error mean, and may we still write?
import { HoldfastError } from '../../errors.ts'
import { codeOf } from './file-system.ts'

/** One bad blob is an accident, several in a row are a bad disk. */
const FAILURES_IN_A_ROW_MAX = 3
/** How long a failing disk is left alone before one write may try it again. */
const REST_MS = 10_000
/** No room, whatever statfs says (EDQUOT: a quota). */
const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export class DiskHealth {
  readonly #nowMs: () => number
  #failuresInARow = 0
  #restUntilMs = -Infinity
  #lastProblem = ''

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** Why nothing may be written now, or null. */
  refusal(): string | null {
    if (this.#nowMs() >= this.#restUntilMs) return null
    return `the disk keeps failing (${this.#lastProblem}); free space or replace it`
  }

  handleWritten(): void {
    this.#failuresInARow = 0
    this.#restUntilMs = -Infinity
  }

  /** Takes note of a failed write and returns what the caller should hear. */
  handleWriteFailure(error: unknown, doing: string): HoldfastError {
    if (error instanceof HoldfastError) return error
    this.#lastProblem = problemOf(error, doing)
    this.#failuresInARow += 1
    const readOnly = codeOf(error) === 'EROFS'
    // After the rest the count still stands: one more failure is enough to rest again.
    if (readOnly || this.#failuresInARow >= FAILURES_IN_A_ROW_MAX) {
      this.#restUntilMs = this.#nowMs() + REST_MS
    }
    const code = FULL.has(codeOf(error)) || readOnly ? 'STORAGE_FULL' : 'STORAGE_FAILED'
    return new HoldfastError(code, this.#lastProblem, { cause: error })
  }
}

/** A failed read says nothing about writing. */
export function readFailure(error: unknown, doing: string): HoldfastError {
  if (error instanceof HoldfastError) return error
  return new HoldfastError('STORAGE_FAILED', problemOf(error, doing), { cause: error })
}

/** Node's own message names the path, which is of no use to the peer that reads this. */
function problemOf(error: unknown, doing: string): string {
  return `${doing}: ${codeOf(error) || (error instanceof Error ? error.message : String(error))}`
}
