// protocol/qlog/qlog.ts — how do a connection's events become a qlog trace?
//
// qlog 0.3 as JSON-SEQ (RFC 7464): a header record, then one record per event; times in ms since
// the connection began. https://datatracker.ietf.org/doc/draft-ietf-quic-qlog-main-schema/
import type { Parameters } from '../handshake/payload.ts'
import type { Address, TransportError, TransportErrorCode } from '../types.ts'
import { FrameReader } from '../wire/frames.ts'
import {
  HEADER_BYTES,
  LONG_HEADER_BYTES,
  PACKET,
  type PacketHeader,
  readHeader,
} from '../wire/header.ts'
import { describeFrames, type QlogFrame } from './frames.ts'
import type {
  ConnectionAbout,
  ConnectionLog,
  DropTrigger,
  RecoveryMetrics,
  TransportLog,
} from './log.ts'

/** Where records go: a file, or a simulator's memory. */
export interface RecordSink {
  /** Whole records, unless there is no room for them. */
  write(record: string): void
  /** Records that had no room. */
  readonly leftOut: number
  /** The last record, for which there always is room. */
  end(lastRecord: string): void
}

export interface QlogOptions {
  /** Milliseconds since 1970: where the trace's relative times begin. */
  readonly wallMs: () => number
  readonly local: Address
  /** `name` is unlike any other connection's, fit for a file. Null: do not record this one. */
  readonly open: (name: string) => RecordSink | null
  /** Resolves, never rejects, when all sinks that were ended are written. */
  readonly settled: () => Promise<void>
}

/** Records every connection of one endpoint. */
export class Qlog implements TransportLog {
  readonly #options: QlogOptions
  readonly #traces = new Set<Trace>()

  constructor(options: QlogOptions) {
    this.#options = options
  }

  open(nowMs: number, about: ConnectionAbout): ConnectionLog | null {
    const role = about.isInitiator ? 'client' : 'server'
    const groupId = Buffer.from(about.originalCid).toString('hex')
    const sink = this.#options.open(`${groupId}_${role}`)
    if (sink === null) return null
    const trace: Trace = new Trace(nowMs, sink, () => this.#traces.delete(trace))
    this.#traces.add(trace)
    const { wallMs, local } = this.#options
    trace.begin({ groupId, role, wallMs: wallMs(), local, remote: about.remote })
    trace.parameters(nowMs, 'local', about.parameters)
    return trace
  }

  close(): Promise<void> {
    for (const trace of this.#traces) trace.end(Number.NEGATIVE_INFINITY)
    return this.#options.settled()
  }
}

const PACKET_TYPES: Readonly<Record<number, string>> = {
  [PACKET.hello]: 'initial',
  [PACKET.retry]: 'retry',
  [PACKET.accept]: 'handshake',
  [PACKET.data]: '1RTT',
  [PACKET.versions]: 'version_negotiation',
  [PACKET.reset]: 'stateless_reset',
  [PACKET.refused]: 'handshake',
}

const CLOSE_TRIGGERS: Partial<Record<TransportErrorCode, string>> = {
  ERR_HOLDFAST_IDLE_TIMEOUT: 'idle_timeout',
  ERR_HOLDFAST_HANDSHAKE_TIMEOUT: 'handshake_timeout',
  ERR_HOLDFAST_CLOSED: 'application',
}

type Metrics = Record<string, number>

class Trace implements ConnectionLog {
  readonly #startMs: number
  readonly #sink: RecordSink
  readonly #onEnd: () => void
  #lastMs = 0
  #metrics: Metrics = {}
  #state: string | null = null
  #isReset = false

  constructor(startMs: number, sink: RecordSink, onEnd: () => void) {
    this.#startMs = startMs
    this.#sink = sink
    this.#onEnd = onEnd
  }

  begin(about: {
    groupId: string
    role: 'client' | 'server'
    wallMs: number
    local: Address
    remote: Address
  }): void {
    const { groupId, role, wallMs, local, remote } = about
    const common_fields = {
      group_id: groupId,
      protocol_type: ['holdfast'],
      time_format: 'relative',
      reference_time: wallMs,
    }
    const vantage_point = { name: 'holdfast', type: role }
    const title = `${role} ${local.host}:${local.port} to ${remote.host}:${remote.port}`
    const header = framed({
      qlog_version: '0.3',
      qlog_format: 'JSON-SEQ',
      title: 'holdfast',
      trace: { title, vantage_point, common_fields },
    })
    const started = this.#record(this.#startMs, 'connectivity:connection_started', {
      ip_version: remote.host.includes(':') ? 'v6' : 'v4',
      protocol: 'holdfast',
      src_ip: local.host,
      src_port: local.port,
      dst_ip: remote.host,
      dst_port: remote.port,
    })
    // In one piece: viewers fail at a trace without an event.
    this.#sink.write(header + started)
  }

  parameters(nowMs: number, owner: 'local' | 'remote', values: Parameters): void {
    this.#event(nowMs, 'transport:parameters_set', {
      owner,
      version: String(values.version),
      max_idle_timeout: values.idleTimeoutMs,
      max_ack_delay: values.ackDelayMsMax,
      max_udp_payload_size: values.mtuBytes,
      initial_max_data: values.connectionWindowBytes,
      initial_max_stream_data_bidi_local: values.streamWindowBytes,
      initial_max_stream_data_bidi_remote: values.streamWindowBytes,
      initial_max_stream_data_uni: values.streamWindowBytes,
      initial_max_streams_bidi: values.streamsMax,
      initial_max_streams_uni: values.streamsMax,
    })
  }

  handshakeSent(nowMs: number, packet: Buffer): void {
    this.#handshake(nowMs, 'transport:packet_sent', packet)
  }

  handshakeReceived(nowMs: number, packet: Buffer): void {
    this.#handshake(nowMs, 'transport:packet_received', packet)
    this.#isReset ||= headerOf(packet)?.type === PACKET.reset
  }

  #handshake(nowMs: number, name: string, packet: Buffer): void {
    const header = headerOf(packet)
    if (header === null) return
    const isLong = packet.length >= LONG_HEADER_BYTES && header.type !== PACKET.reset
    const scid = isLong && { scid: packet.toString('hex', 24, 32) }
    this.#event(nowMs, name, {
      header: { ...describeHeader(packet, header), ...scid },
      frames: handshakeFrames(packet, header.type),
      raw: { length: packet.length },
    })
  }

  established(nowMs: number, theirs: Parameters): void {
    this.parameters(nowMs, 'remote', theirs)
    const data = { old: 'attempted', new: 'handshake_complete' }
    this.#event(nowMs, 'connectivity:connection_state_updated', data)
  }

  packetSent(nowMs: number, packet: Buffer, framesEnd: number): void {
    this.#data(nowMs, 'transport:packet_sent', packet, framesEnd)
  }

  packetReceived(nowMs: number, packet: Buffer, framesEnd: number): void {
    this.#data(nowMs, 'transport:packet_received', packet, framesEnd)
  }

  #data(nowMs: number, name: string, packet: Buffer, framesEnd: number): void {
    const header = headerOf(packet)
    if (header === null) return
    this.#event(nowMs, name, {
      header: describeHeader(packet, header),
      frames: describeFrames(packet, HEADER_BYTES, framesEnd),
      raw: { length: packet.length, payload_length: framesEnd - HEADER_BYTES },
    })
  }

  packetDropped(nowMs: number, packet: Buffer, trigger: DropTrigger): void {
    const header = headerOf(packet)
    this.#event(nowMs, 'transport:packet_dropped', {
      ...(header && { header: describeHeader(packet, header) }),
      raw: { length: packet.length },
      trigger,
    })
  }

  packetLost(nowMs: number, packetNumber: number, byTime: boolean): void {
    this.#event(nowMs, 'recovery:packet_lost', {
      header: { packet_type: '1RTT', packet_number: packetNumber },
      trigger: byTime ? 'time_threshold' : 'reordering_threshold',
    })
  }

  /** Writes what changed since the last time. */
  metrics(nowMs: number, { rtt, congestion, inFlightBytes, ptoCount }: RecoveryMetrics): void {
    const now: Metrics = {
      congestion_window: Math.round(congestion.windowBytes),
      bytes_in_flight: inFlightBytes,
      pto_count: ptoCount,
      ...(rtt.hasSample && {
        min_rtt: rounded(rtt.minMs),
        smoothed_rtt: rounded(rtt.smoothedMs),
        latest_rtt: rounded(rtt.latestMs),
        rtt_variance: rounded(rtt.variationMs),
      }),
    }
    const changed = Object.entries(now).filter(([name, value]) => this.#metrics[name] !== value)
    if (changed.length > 0) {
      this.#event(nowMs, 'recovery:metrics_updated', Object.fromEntries(changed))
      this.#metrics = now
    }
    this.#congestion(nowMs, congestion)
  }

  /** Recovery lasts from a cut of the window until it grows again. */
  #congestion(nowMs: number, congestion: RecoveryMetrics['congestion']): void {
    const { state } = congestion
    if (state === this.#state) return
    const old = this.#state
    this.#state = state
    const data = { ...(old !== null && { old }), new: state }
    this.#event(nowMs, 'recovery:congestion_state_updated', data)
  }

  closed(nowMs: number, owner: 'local' | 'remote', error: TransportError | null): void {
    let trigger = error === null ? 'clean' : (CLOSE_TRIGGERS[error.code] ?? 'error')
    if (this.#isReset) trigger = 'stateless_reset'
    this.#event(nowMs, 'connectivity:connection_closed', {
      owner,
      ...(error && { reason: error.message, internal_code: error.wireCode }),
      trigger,
    })
  }

  end(nowMs: number): void {
    const { leftOut } = this.#sink
    const data = { new: 'closed', ...(leftOut > 0 && { records_left_out: leftOut }) }
    this.#sink.end(this.#record(nowMs, 'connectivity:connection_state_updated', data))
    this.#onEnd()
  }

  #event(nowMs: number, name: string, data: object): void {
    this.#sink.write(this.#record(nowMs, name, data))
  }

  /** Viewers want times that never go back. */
  #record(nowMs: number, name: string, data: object): string {
    this.#lastMs = Math.max(this.#lastMs, nowMs - this.#startMs)
    return framed({ time: rounded(this.#lastMs), name, data })
  }
}

const framed = (record: object): string => `\u001e${JSON.stringify(record)}\n`

/** To the microsecond. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000

function headerOf(packet: Buffer): PacketHeader | null {
  const header = {} as PacketHeader
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  return readHeader(view, 0, packet.length, header) ? header : null
}

function describeHeader(packet: Buffer, { type, packetNumber, keyPhase }: PacketHeader): object {
  return {
    packet_type: PACKET_TYPES[type] ?? 'unknown',
    packet_number: packetNumber,
    dcid: packet.toString('hex', 4, 12),
    ...(type === PACKET.data && { key_phase: keyPhase }),
  }
}

/** The Noise messages stand where QUIC has CRYPTO, a refusal where it has CONNECTION_CLOSE. */
function handshakeFrames(packet: Buffer, type: number): QlogFrame[] {
  const reader = new FrameReader(packet, LONG_HEADER_BYTES, packet.length)
  if (type === PACKET.hello) reader.skip(reader.u8())
  if (type === PACKET.hello || type === PACKET.accept) {
    const length = reader.u16()
    return reader.failed ? [] : [{ frame_type: 'crypto', offset: 0, length }]
  }
  if (type !== PACKET.refused) return []
  const code = reader.u8()
  const codes = { error_code: code, raw_error_code: code, reason: 'refused' }
  return [{ frame_type: 'connection_close', error_space: 'transport', ...codes }]
}
