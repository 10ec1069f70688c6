// src/manager/handlers/token-create.ts — what does an operator hand to a machine that shall join?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

export async function createToken(
  manager: Manager,
  request: RequestOf<'token.create'>,
): Promise<ResponseOf<'token.create'>> {
  const roles = [...new Set(request.roles)]
  const isServer = roles.length === 1 && roles[0] === 'server'
  if (!isServer && roles.some((role) => role !== 'backup' && role !== 'restore')) {
    const detail = 'a token is for a server, or for a client with the roles backup and restore'
    throw new HoldfastError('INVALID_REQUEST', detail)
  }
  const { number, lifeMs } = request
  const made = manager.authority.token({ ...manager.where, number, roles, lifeMs })
  manager.log.info('a token was made', { number, roles })
  return made
}
