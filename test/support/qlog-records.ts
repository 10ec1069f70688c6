// test/support/qlog-records.ts — what does a viewer find in a qlog trace, and what does it refuse?
import * as assert from 'uvu/assert'
import type { TransportLog } from '../../protocol/qlog/log.ts'
import { Qlog } from '../../protocol/qlog/qlog.ts'

export interface QlogEvent {
  readonly time: number
  readonly name: string
  // biome-ignore lint/suspicious/noExplicitAny: each event has its own fields
  readonly data: any
}

export interface QlogTrace {
  // biome-ignore lint/suspicious/noExplicitAny: checked field by field
  readonly header: any
  readonly events: QlogEvent[]
}

/** A log in memory; `texts` by the name that a file would have. */
export function memoryQlog(wallMs = 1_700_000_000_000): {
  log: TransportLog
  texts: Map<string, string[]>
} {
  const texts = new Map<string, string[]>()
  const open = (name: string) => {
    const records: string[] = []
    texts.set(name, records)
    return {
      leftOut: 0,
      write: (record: string) => void records.push(record),
      end: (record: string) => void records.push(record),
    }
  }
  const local = { host: '10.0.0.9', port: 9 }
  const settled = (): Promise<void> => Promise.resolve()
  return { log: new Qlog({ wallMs: () => wallMs, local, open, settled }), texts }
}

const NAMES = [
  'connectivity:connection_started',
  'connectivity:connection_state_updated',
  'connectivity:connection_closed',
  'transport:parameters_set',
  'transport:packet_sent',
  'transport:packet_received',
  'transport:packet_dropped',
  'recovery:metrics_updated',
  'recovery:packet_lost',
  'recovery:congestion_state_updated',
]
const PACKET_TYPES = ['initial', 'handshake', 'retry', '1RTT', 'stateless_reset']
const FRAME_TYPES = [
  'padding',
  'ping',
  'ack',
  'reset_stream',
  'stop_sending',
  'crypto',
  'stream',
  'max_data',
  'max_stream_data',
  'max_streams',
  'data_blocked',
  'stream_data_blocked',
  'streams_blocked',
  'new_connection_id',
  'retire_connection_id',
  'path_challenge',
  'path_response',
  'connection_close',
  'handshake_done',
  'datagram',
  'unknown',
]

/** Reads a trace as qvis does: split at the record separator, the header first. Fails on whatever
 * its loader (version list, JSON-SEQ header, order of times, places of fields) would refuse, mend
 * or leave out of a graph. */
export function readQlog(text: string): QlogTrace {
  assert.is(text[0], '\u001e', 'a record separator stands first')
  const records = text
    .split('\u001e')
    .slice(1)
    .map((record) => {
      assert.ok(record.endsWith('\n'), 'each record ends with a line feed')
      return JSON.parse(record)
    })
  const [header, ...events] = records
  assert.is(header.qlog_version, '0.3')
  assert.is(header.qlog_format, 'JSON-SEQ')
  const { vantage_point, common_fields } = header.trace
  assert.ok(['client', 'server'].includes(vantage_point.type))
  assert.is(common_fields.time_format, 'relative')
  assert.type(common_fields.reference_time, 'number')
  assert.match(common_fields.group_id, /^[0-9a-f]{16}$/)
  let lastMs = 0
  for (const event of events) {
    assert.ok(NAMES.includes(event.name), event.name)
    assert.ok(event.time >= lastMs, `${event.time} after ${lastMs}`)
    lastMs = event.time
    assert.is(event.group_id, undefined, 'the group is said once, else viewers split the trace')
    if (/packet_(sent|received)$/.test(event.name)) checkPacket(event.data)
  }
  return { header, events }
}

// biome-ignore lint/suspicious/noExplicitAny: checked field by field
function checkPacket({ header, raw, frames }: any): void {
  assert.ok(PACKET_TYPES.includes(header.packet_type), header.packet_type)
  assert.ok(Number.isSafeInteger(header.packet_number))
  assert.is(header.packet_size, undefined)
  assert.is(header.payload_length, undefined)
  assert.ok(raw.length > 0)
  for (const frame of frames) {
    assert.ok(FRAME_TYPES.includes(frame.frame_type), frame.frame_type)
    assert.is(frame.details, undefined, JSON.stringify(frame))
    if (frame.frame_type === 'ack') {
      for (const [low, high] of frame.acked_ranges) assert.ok(low <= high)
    }
    if (frame.frame_type === 'stream') {
      for (const name of ['stream_id', 'offset', 'length']) assert.type(frame[name], 'number')
    }
  }
}

const QUIET_FRAMES = ['ack', 'padding', 'connection_close']

/** What became of the DATA packets, by the file alone. At every metrics event the bytes in flight
 * must be those of the packets that were neither acknowledged nor lost by then. */
export function fatesOf(events: readonly QlogEvent[]): {
  sent: number
  eliciting: number
  acked: number
  lost: number
  inFlight: number
  metricsChecked: number
} {
  const inFlight = new Map<number, number>()
  const fates = { sent: 0, eliciting: 0, acked: 0, lost: 0, inFlight: 0, metricsChecked: 0 }
  let said = 0
  for (const { name, data } of events) {
    if (name === 'recovery:metrics_updated') {
      said = data.bytes_in_flight ?? said
      const bytes = [...inFlight.values()].reduce((sum, size) => sum + size, 0)
      assert.is(bytes, said, 'bytes in flight')
      fates.metricsChecked += 1
    } else if (name === 'recovery:packet_lost') {
      assert.ok(inFlight.delete(data.header.packet_number), 'lost what was in flight')
      fates.lost += 1
    } else if (data.header?.packet_type !== '1RTT') {
      // handshakes are not counted
    } else if (name === 'transport:packet_sent') {
      fates.sent += 1
      const isEliciting = data.frames.some(
        (frame: { frame_type: string }) => !QUIET_FRAMES.includes(frame.frame_type),
      )
      if (!isEliciting) continue
      fates.eliciting += 1
      inFlight.set(data.header.packet_number, data.raw.length)
    } else if (name === 'transport:packet_received') {
      for (const frame of data.frames) {
        for (const [low, high] of frame.acked_ranges ?? []) {
          for (let number = low; number <= high; number += 1) {
            if (inFlight.delete(number)) fates.acked += 1
          }
        }
      }
    }
  }
  fates.inFlight = inFlight.size
  return fates
}
