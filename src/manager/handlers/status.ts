// src/manager/handlers/status.ts — how is the cluster?
import type { ResponseOf } from '../../messages.ts'
import type { Manager } from '../manager.ts'

export async function status(manager: Manager): Promise<ResponseOf<'status'>> {
  const { live, wanted } = manager.quorum
  const [counts, replicas, sessions] = await Promise.all([
    manager.catalog.counts(live, wanted),
    manager.catalog.replicaCounts(),
    manager.catalog.sessionCount(),
  ])
  const nowMs = manager.clock.nowMs()
  manager.safeMode.check()
  const { snapshots, ...blobs } = counts
  return {
    clusterId: manager.clusterId,
    safeMode: manager.safeMode.isOn,
    servers: manager.membership.all.map((member) => ({
      number: member.number,
      name: member.name,
      host: member.host,
      port: member.port,
      state: manager.membership.state(member, nowMs),
      // A server's own word is a heartbeat old; what is committed since then counts too.
      usedBytes: Math.max(member.load?.usedBytes ?? 0, replicas.get(member.number)?.bytes ?? 0),
      freeBytes: member.load?.freeBytes ?? 0,
      readOnly: member.load?.readOnly ?? false,
      blobs: replicas.get(member.number)?.blobs ?? 0,
      lastSeenMs: member.lastSeenWallMs === 0 ? null : member.lastSeenWallMs,
    })),
    blobs,
    snapshots,
    sessions,
  }
}
