// src/manager/handlers/node-revoke.ts — how is a node shut out?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

const NAMES_SHOWN = 50

export async function revokeNode(
  manager: Manager,
  { node }: RequestOf<'node.revoke'>,
): Promise<ResponseOf<'node.revoke'>> {
  const members = await manager.catalog.members()
  const meant = members.filter(({ name, publicKey }) => name === node || publicKey === node)
  if (meant.length === 0) {
    const names = [...new Set(members.map(({ name }) => name))].sort().slice(0, NAMES_SHOWN)
    const known = names.length > 0 ? names.join(', ') : 'none'
    throw new HoldfastError('NOT_FOUND', `no node '${node}' has ever enrolled; known: ${known}`)
  }
  const nowMs = manager.clock.wallMs()
  await manager.catalog.revokeMembers({ publicKeys: meant.map((m) => m.publicKey), nowMs })
  await manager.applyRevocations()
  for (const { name, publicKey } of meant) manager.log.warn('revoked', { name, publicKey })
  const revoked = meant.map(({ name, roles, publicKey }) => ({
    name,
    roles: [...roles],
    publicKey,
  }))
  return { revoked }
}
