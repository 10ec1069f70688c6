// src/perf/link.ts — what do the counters of a connection say about the link?
import type { LimitedMs, Session, TransportEndpoint } from '../../protocol/index.ts'
import type { LinkFigures } from './control.ts'

const share = (part: number, whole: number): number => (whole > 0 ? part / whole : 0)

/** Before the first sample the least is infinite. */
const finite = (ms: number): number => (Number.isFinite(ms) ? ms : 0)

export function linkFigures(endpoint: TransportEndpoint, session: Session): LinkFigures {
  const stats = session.stats()
  const lost = Math.max(0, stats.packetsLost - stats.spuriousLosses)
  return {
    rttMs: finite(stats.rttMs),
    minRttMs: finite(stats.minRttMs),
    lossRate: share(lost, stats.packetsSent),
    retransmitRate: share(stats.bytesRetransmitted, stats.bytesSent),
    mtuBytes: stats.mtuBytes,
    cipher: stats.cipher,
    crc: stats.crc,
    congestion: stats.congestion,
    driver: endpoint.stats().socket?.driver ?? 'none',
    limitedBy: longest(stats.limitedMs),
    wireBytesSent: stats.bytesSent,
    wireBytesReceived: stats.bytesReceived,
  }
}

/** While packets are being made, only the machine keeps more from being sent. */
function longest({ sending, ...others }: LimitedMs): LinkFigures['limitedBy'] {
  const times = Object.entries({ ...others, cpu: sending }) as [LinkFigures['limitedBy'], number][]
  return times.reduce((a, b) => (b[1] > a[1] ? b : a))[0]
}
