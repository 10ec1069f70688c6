// src/manager/handlers/cluster-directory.ts — which keys does this cluster have, and what time is it?
import type { ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

export async function describeCluster(manager: Manager): Promise<ResponseOf<'cluster.directory'>> {
  return { ...manager.authority.trust.news, nowMs: manager.clock.wallMs() }
}

export async function rotateCluster(manager: Manager): Promise<ResponseOf<'cluster.rotate'>> {
  const rotated = await manager.authority.rotate()
  manager.log.info('a new key signs from now on', { signingKey: rotated.signingKey })
  return rotated
}
