// src/manager/handlers/snapshots-list.ts — which snapshots are stored?
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

export async function listSnapshots(
  manager: Manager,
  request: RequestOf<'snapshots.list'>,
): Promise<ResponseOf<'snapshots.list'>> {
  return { snapshots: await manager.catalog.snapshots(request.repositoryId) }
}
