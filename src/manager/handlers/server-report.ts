// src/manager/handlers/server-report.ts — what does a server hold, all in all?
import { HoldfastError } from '../../errors.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import type { Manager } from '../manager.ts'

/** A server with more blobs than this needs another kind of report. */
const BLOBS_PER_REPORT_MAX = 16_000_000

export async function reportBlobs(
  manager: Manager,
  request: RequestOf<'server.report'>,
  call: IncomingCall<'server.report'>,
): Promise<ResponseOf<'server.report'>> {
  manager.gate.mustBeServer(call.session, request.number)
  const member = manager.membership.get(request.number)
  if (!member || member.heardMs === null) throw new HoldfastError('NOT_FOUND', 'register first')
  let report = manager.reports.get(request.number)
  if (request.page === 0) {
    report = { reportId: request.reportId, beginMs: manager.clock.wallMs(), blobs: [] }
    manager.reports.set(request.number, report)
  }
  if (!report || report.reportId !== request.reportId) {
    throw new HoldfastError('INVALID_REQUEST', 'begin the report again with page 0')
  }
  if (report.blobs.length + request.blobs.length > BLOBS_PER_REPORT_MAX) {
    throw new HoldfastError('INVALID_REQUEST', `more than ${BLOBS_PER_REPORT_MAX} blobs`)
  }
  report.blobs.push(...request.blobs)
  if (!request.last) return { unknown: 0, missing: 0 }
  manager.reports.delete(request.number)
  const result = await manager.catalog.applyReport({
    server: request.number,
    beforeMs: report.beginMs,
    blobs: report.blobs,
  })
  member.hasReported = true
  member.wantsReport = false
  await manager.safeMode.handleReport()
  const { number } = request
  manager.pending.forget(number, new Set(report.blobs.map((blob) => blob.blobId)))
  if (result.missing > 0)
    manager.log.warn('a server lacks blobs that it had', { number, ...result })
  return result
}
