// src/identity/private-file.ts — how is a secret read that nobody else may see?
import { open } from 'node:fs/promises'
import { HoldfastError } from '../errors.ts'

const OTHERS = 0o077
/** Far more than any of our files holds. */
const BYTES_MAX = 1 << 20

/** Null when the file is not there. BAD_FILE: others can read it, or it is far too large. */
export async function readPrivate(path: string): Promise<string | null> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw new HoldfastError('BAD_FILE', `${path} cannot be read: ${error.code}`, { cause: error })
  })
  if (!file) return null
  try {
    const { mode, size } = await file.stat()
    if ((mode & OTHERS) !== 0) {
      throw new HoldfastError('BAD_FILE', `others can read ${path}; run: chmod 600 ${path}`)
    }
    if (size > BYTES_MAX) throw new HoldfastError('BAD_FILE', `${path} is no file of ours`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}
