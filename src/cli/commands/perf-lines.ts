// src/cli/commands/perf-lines.ts — how does a measurement look to a person?
import type { Interval, Measured, PingSummary, TransferSummary } from '../../perf/index.ts'
import { formatBytes, plural } from '../format.ts'

const LIMITS = {
  congestion: 'the congestion window',
  pacing: 'pacing, at the rate that the path was found to take',
  flow: "the receiver's flow control",
  application: 'the sending program',
  cpu: "the sending machine's CPU",
} as const

const UNITS = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'] as const

/** 94_100_000 → "94.1 Mbit/s", as links are sold: powers of 1000. */
function formatBitsPerSecond(bitsPerSecond: number): string {
  let value = bitsPerSecond
  let unit = 0
  while (value >= 1_000 && unit < UNITS.length - 1) {
    value /= 1_000
    unit += 1
  }
  return `${significant(value)} ${UNITS[unit]}`
}

/** Three figures that mean something: 0.0712, 1.25, 94.1, 941. */
function significant(value: number): string {
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(digits, 4))
}

const formatMs = (ms: number): string => `${significant(ms)} ms`
const formatShare = (share: number): string => `${significant(100 * share)} %`

export const describeInterval = (interval: Interval): string =>
  `[${interval.seconds.toFixed(1)} s] ${formatBytes(interval.bytes)} ` +
  `${formatBitsPerSecond(interval.bitsPerSecond)}, round trip ${formatMs(interval.rttMs)}, ` +
  `lost ${formatShare(interval.lossRate)}`

export function describeTransfer(summary: TransferSummary): string[] {
  const { bytes, seconds, bitsPerSecond, verified, cpuSecondsPerGB, interrupted } = summary
  const { rttMs, minRttMs, lossRate, retransmitRate, mtuBytes, limitedBy } = summary
  const right = verified ? 'every byte right' : 'WRONG BYTES CAME'
  const cpu = (used: number | null): string => (used === null ? 'unknown' : significant(used))
  const { sender, receiver } = cpuSecondsPerGB
  return [
    `${formatBitsPerSecond(bitsPerSecond)}: ${formatBytes(bytes)} in ${seconds.toFixed(2)} s over ` +
      `${plural(summary.streams, 'stream')}, ${interrupted ? 'interrupted, ' : ''}${right}`,
    `round trip ${formatMs(rttMs)} (least ${formatMs(minRttMs)}), ` +
      `lost ${formatShare(lossRate)}, sent again ${formatShare(retransmitRate)}, ` +
      `datagrams of ${mtuBytes} bytes`,
    `CPU seconds per GB: sender ${cpu(sender)}, receiver ${cpu(receiver)}`,
    `${summary.cipher}, CRC ${summary.crc}, congestion control ${summary.congestion}, ` +
      `${summary.driver} UDP socket`,
    `limited mostly by: ${LIMITS[limitedBy]}`,
  ]
}

export function describePing({ connectMs, minRttMs, oneAtATime, at64 }: PingSummary): string[] {
  return [
    `connected in ${formatMs(connectMs)}, least round trip ${formatMs(minRttMs)}`,
    `one at a time: p50 ${formatMs(oneAtATime.p50Ms)}, p99 ${formatMs(oneAtATime.p99Ms)} ` +
      `(${plural(oneAtATime.requests, 'request')})`,
    `64 at once: ${Math.round(at64.perSecond)} requests per second, ` +
      `p50 ${formatMs(at64.p50Ms)}, p99 ${formatMs(at64.p99Ms)}`,
  ]
}

export function describeMeasured({ from, kind, bytes, seconds, error }: Measured): string {
  const who = `${from.host}:${from.port}`
  if (error) return `${who} ${kind}: ended early: ${error}`
  if (kind === 'ping') return `${who} ping: ${seconds.toFixed(1)} s`
  return `${who} ${kind}: ${formatBytes(bytes)} in ${seconds.toFixed(1)} s`
}
