// src/cli/commands/key.ts — how does a copy of the repository key come back into a data folder?
import { randomBytes } from 'node:crypto'
import { chmod, copyFile, link, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { readKeyFile } from '../../chunk/index.ts'
import { HoldfastError, isHoldfastError } from '../../errors.ts'
import { makeFolder } from '../../identity/index.ts'
import type { Output } from '../output.ts'
import type { Settings } from '../settings.ts'

/** `key import FILE`. BAD_FILE: it is no key file. BAD_USAGE: the folder has another already. */
export async function runKey(
  settings: Settings,
  output: Output,
  [action, file]: readonly string[],
): Promise<number> {
  if (action !== 'import' || !file) {
    throw new HoldfastError('BAD_USAGE', 'the key can be imported only: holdfast key import FILE')
  }
  makeFolder(settings.dataDir)
  const path = join(settings.dataDir, 'repository.key')
  const copy = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await copyFile(file, copy)
    await chmod(copy, 0o600)
    const keys = await readKeyFile(copy).catch((error: unknown) => {
      throw asked(error, copy, file)
    })
    const known = await readKeyFile(path)
    if (known && known.repositoryId !== keys?.repositoryId) {
      const other = `${path} holds the key of another repository`
      const detail = `${other}; move it away first, it may be needed`
      throw new HoldfastError('BAD_USAGE', detail)
    }
    if (!known) await link(copy, path)
    const repository = keys?.repositoryId ?? ''
    output.result(
      { type: 'key', repository, path },
      `${path} is the key of repository ${repository}`,
    )
    return 0
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new HoldfastError('BAD_FILE', `${file} is not there`, { cause: error })
  } finally {
    await unlink(copy).catch(() => undefined)
  }
}

/** The mistake is in the file that was given, not in our copy of it. */
function asked(error: unknown, copy: string, file: string): unknown {
  if (!isHoldfastError(error, 'BAD_FILE')) return error
  const what = error.detail.replace(copy, file).replace(/; put your copy of it in its place$/, '')
  return new HoldfastError('BAD_FILE', `${what}; give the file that was copied`, { cause: error })
}
