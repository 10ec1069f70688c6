// src/client/restore/entry-problem.ts — what is wrong with one entry, so that the rest can go on?
import { isHoldfastError } from '../../errors.ts'
import type { Problem } from '../events.ts'
import { displayPath } from '../path.ts'
import { codeOf } from '../source/files.ts'

/** `message` is a whole sentence for a person. */
export class EntryProblem extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EntryProblem'
    this.code = code
  }
}

const WORDS: Record<string, string> = {
  EISDIR: 'a folder is in its place',
  ENOTEMPTY: 'a folder is in its place',
  EEXIST: 'something is in its place',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  ENOSYS: 'not possible on this system',
  ENAMETOOLONG: 'the name is too long here',
}

/** A problem report for whatever was thrown while one entry was restored. */
export function problemFor(path: Buffer, error: unknown): Problem {
  if (error instanceof EntryProblem) return { path, code: error.code, message: error.message }
  if (isHoldfastError(error)) {
    const message = `${displayPath(path)} is not restored: ${error.detail}`
    return { path, code: error.code, message }
  }
  const code = codeOf(error)
  const words = WORDS[code] ? `${WORDS[code]}, ${code}` : code
  return { path, code, message: `${displayPath(path)} is not restored (${words})` }
}
