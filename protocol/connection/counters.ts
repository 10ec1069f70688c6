// protocol/connection/counters.ts — what is counted of one connection, and of strangers?
import type { EndpointStats, SessionStats } from '../types.ts'
import type { Recovery } from './recovery.ts'

/** Packets and bytes since the connection began. */
export class Counters {
  sent = 0
  received = 0
  bytesSent = 0
  bytesReceived = 0
  retransmitted = 0
  duplicates = 0
  crcErrors = 0
  authErrors = 0

  stats(
    recovery: Recovery,
    others: Pick<
      SessionStats,
      'mtuBytes' | 'mtuProbesLost' | 'blackHoles' | 'cipher' | 'crc' | 'limitedMs'
    >,
  ): SessionStats {
    return {
      ...others,
      congestion: recovery.congestion.name,
      rttMs: recovery.rtt.smoothedMs,
      minRttMs: recovery.rtt.minMs,
      congestionState: recovery.congestion.state,
      baselineLossRatio: recovery.congestion.baselineLossRatio,
      deliveryBytesPerSecond: 1_000 * recovery.congestion.bandwidthBytesPerMs,
      persistentCongestions: recovery.persistentCongestions,
      cwndBytes: recovery.congestion.windowBytes,
      inFlightBytes: recovery.inFlightBytes,
      packetsSent: this.sent,
      packetsReceived: this.received,
      packetsLost: recovery.packetsLost,
      packetsAcked: recovery.packetsAcked,
      bytesSent: this.bytesSent,
      bytesReceived: this.bytesReceived,
      bytesRetransmitted: this.retransmitted,
      crcErrors: this.crcErrors,
      authErrors: this.authErrors,
      duplicates: this.duplicates,
      spuriousLosses: recovery.spuriousLosses,
      ptoCount: recovery.ptoTotal,
    }
  }
}

/** What an endpoint counts of packets that no connection took, before the first one. */
export const noStrangers = (): EndpointStats => ({
  crcErrors: 0,
  unknownCid: 0,
  malformed: 0,
  refused: 0,
  badMac1: 0,
  badHandshakes: 0,
  retries: 0,
  resetsSent: 0,
})
