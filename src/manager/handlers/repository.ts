// src/manager/handlers/repository.ts — is this client's key the key of the repository here?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

export async function openRepository(
  manager: Manager,
  request: RequestOf<'repository.open'>,
): Promise<ResponseOf<'repository.open'>> {
  const known = await manager.catalog.repositories()
  const same = known.find((row) => row.repositoryId === request.repositoryId)
  if (same) {
    if (same.checkValue === request.checkValue) return { created: false }
    throw new HoldfastError(
      'NO_SUCH_REPOSITORY',
      'the key does not fit the repository of this name',
    )
  }
  if (known.length > 0) throw new HoldfastError('NO_SUCH_REPOSITORY', WRONG_KEY)
  await manager.catalog.addRepository({ ...request, nowMs: manager.clock.wallMs() })
  // Two first clients at once: whoever comes second must have the same key.
  const [first] = await manager.catalog.repositories()
  if (first?.repositoryId !== request.repositoryId) {
    throw new HoldfastError('NO_SUCH_REPOSITORY', WRONG_KEY)
  }
  return { created: true }
}

const WRONG_KEY =
  'this cluster has a repository with another key; run `holdfast key import FILE` with a copy of it'

export async function listRepositories(manager: Manager): Promise<ResponseOf<'repository.list'>> {
  const known = await manager.catalog.repositories()
  return { repositoryIds: known.map((row) => row.repositoryId) }
}
