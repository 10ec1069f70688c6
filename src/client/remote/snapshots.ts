// src/client/remote/snapshots.ts — which snapshot does the user mean, and what do we know of each?
import { HoldfastError } from '../../errors.ts'
import type { ManagerLink } from './manager-link.ts'

const PREFIX = /^[0-9a-f]{4,64}$/

/** The full id. Throws NOT_FOUND, or BAD_USAGE for what is no prefix or fits several. */
export async function findSnapshot(
  link: ManagerLink,
  repositoryId: string,
  wanted: string,
): Promise<string> {
  const isLatest = wanted === 'latest'
  if (!isLatest && !PREFIX.test(wanted)) {
    const what = `'${wanted}' names no snapshot`
    throw new HoldfastError('BAD_USAGE', `${what}: give at least 4 hex digits of its id, or latest`)
  }
  const { snapshots } = await link.call('snapshots.list', { repositoryId })
  const ids = snapshots.map((snapshot) => snapshot.snapshotId)
  const fitting = isLatest ? ids.slice(-1) : ids.filter((id) => id.startsWith(wanted))
  if (fitting.length === 1) return fitting[0]!
  if (fitting.length === 0) {
    const what = isLatest ? 'there is no snapshot yet' : `no snapshot starts with ${wanted}`
    throw new HoldfastError('NOT_FOUND', `${what}; see holdfast snapshots`)
  }
  const what = `${fitting.length} snapshots start with ${wanted}`
  throw new HoldfastError('BAD_USAGE', `${what}: give more digits`)
}
