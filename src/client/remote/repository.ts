// src/client/remote/repository.ts — which key opens the repository, and is it the right one?
import path from 'node:path'
import { createKeyFile, type RepositoryKeys, readKeyFile } from '../../chunk/index.ts'
import { HoldfastError } from '../../errors.ts'
import type { Context } from './context.ts'
import type { ManagerLink } from './manager-link.ts'

export const keyFilePath = (dataDir: string): string => path.join(dataDir, 'repository.key')

/**
 * The keys, for reading. Null when the cluster has no repository yet: there is nothing to read.
 * Throws NO_SUCH_REPOSITORY when it has one and this data folder lacks its key.
 */
export async function openForReading(
  link: ManagerLink,
  dataDir: string,
): Promise<RepositoryKeys | null> {
  const keys = await readKeyFile(keyFilePath(dataDir))
  const { repositoryIds } = await link.call('repository.list', {})
  if (repositoryIds.length === 0) return null
  if (keys === null) throw noKey(dataDir)
  if (!repositoryIds.includes(keys.repositoryId)) throw wrongKey(dataDir)
  return keys
}

/** The keys, for writing: the first use of a cluster makes the key file and registers it. */
export async function openForWriting(
  context: Context,
  link: ManagerLink,
  dataDir: string,
): Promise<RepositoryKeys> {
  let keys = await readKeyFile(keyFilePath(dataDir))
  if (keys === null) {
    const { repositoryIds } = await link.call('repository.list', {})
    // Another client of this data folder may have made the key, and registered it, in between.
    keys = await readKeyFile(keyFilePath(dataDir))
    if (keys === null && repositoryIds.length > 0) throw noKey(dataDir)
  }
  if (keys === null) {
    keys = await createKeyFile(keyFilePath(dataDir))
    context.onEvent({
      type: 'notice',
      code: 'KEY_CREATED',
      message:
        `made the repository key ${keyFilePath(dataDir)}; keep a copy elsewhere: ` +
        'without it nobody can restore, and nobody can make it again',
    })
  }
  try {
    const { repositoryId, checkValue } = keys
    await link.call('repository.open', { repositoryId, checkValue })
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'NO_SUCH_REPOSITORY') {
      throw wrongKey(dataDir, error)
    }
    throw error
  }
  return keys
}

const noKey = (dataDir: string): HoldfastError =>
  new HoldfastError(
    'NO_SUCH_REPOSITORY',
    `the cluster has a repository, and ${keyFilePath(dataDir)} does not exist; ` +
      'bring its key with: holdfast key import FILE',
  )

const wrongKey = (dataDir: string, cause?: unknown): HoldfastError =>
  new HoldfastError(
    'NO_SUCH_REPOSITORY',
    `the key in ${keyFilePath(dataDir)} is not the key of the cluster's repository; ` +
      'bring the right one with: holdfast key import FILE',
    { cause },
  )
