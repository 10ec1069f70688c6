// src/cli/commands/perf-words.ts — what do the words after `holdfast perf` ask for?
import { HoldfastError } from '../../errors.ts'
import {
  CONGESTION_NAMES,
  type CongestionName,
  PERF_PORT,
  SECONDS_MAX,
  STREAMS_MAX,
} from '../../perf/index.ts'

export type Options = Record<string, unknown>

const SECONDS_DEFAULT = 10
const PING_SECONDS_DEFAULT = 3
const MTU_BYTES_MIN = 1_200
const MTU_BYTES_MAX = 65_507
const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const

export function serveWords(options: Options) {
  const host = options.host === undefined ? '0.0.0.0' : String(options.host)
  const port = whole(options.port, '--port', { min: 0, max: 65_535 }) ?? PERF_PORT
  return { bind: { host, port }, mtuBytes: mtuOf(options), congestion: congestionOf(options.cc) }
}

export function sendWords(options: Options) {
  if (options.bytes !== undefined && options.seconds !== undefined) {
    throw refuse('--bytes and --seconds exclude each other; leave one out')
  }
  const isReverse = options.reverse === true
  const misplaced = ['mtu', 'cc'].find((name) => options[name] !== undefined)
  if (isReverse && misplaced) {
    throw refuse(`with --reverse the other end sends: give --${misplaced} to perf serve there`)
  }
  const bytes = sizeOf(options.bytes)
  return {
    direction: isReverse ? ('reverse' as const) : ('forward' as const),
    streams: whole(options.streams, '--streams', { min: 1, max: STREAMS_MAX }) ?? 1,
    bytes,
    seconds: bytes === null ? (secondsOf(options.seconds) ?? SECONDS_DEFAULT) : null,
    crc: crcOf(options.crc),
    mtuBytes: mtuOf(options),
    congestion: congestionOf(options.cc),
  }
}

export const pingWords = (options: Options) => ({
  seconds: secondsOf(options.seconds) ?? PING_SECONDS_DEFAULT,
})

const refuse = (detail: string): HoldfastError => new HoldfastError('BAD_USAGE', detail)

const mtuOf = (options: Options): number | undefined =>
  whole(options.mtu, '--mtu', { min: MTU_BYTES_MIN, max: MTU_BYTES_MAX })

function congestionOf(value: unknown): CongestionName | undefined {
  if (value === undefined) return undefined
  const known = CONGESTION_NAMES.find((name) => name === value)
  if (known) return known
  throw refuse(`--cc '${value}' is none of ${CONGESTION_NAMES.join(', ')}`)
}

function crcOf(value: unknown): 'full' | 'header' {
  if (value === undefined || value === 'full') return 'full'
  if (value === 'header') return 'header'
  throw refuse(`--crc '${value}' is neither full nor header`)
}

function whole(
  value: unknown,
  name: string,
  { min, max }: { min: number; max: number },
): number | undefined {
  if (value === undefined) return undefined
  const number = /^\d{1,9}$/.test(String(value)) ? Number(value) : -1
  if (number >= min && number <= max) return number
  throw refuse(`${name} '${value}' is not a whole number from ${min} to ${max}`)
}

function secondsOf(value: unknown): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d+(\.\d+)?$/.test(String(value)) ? Number(value) : 0
  if (seconds > 0 && seconds <= SECONDS_MAX) return seconds
  throw refuse(`--seconds '${value}' is not a number above 0, at most ${SECONDS_MAX}`)
}

/** "64M" → 67 108 864. */
function sizeOf(value: unknown): number | null {
  if (value === undefined) return null
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/i.exec(String(value))
  const unit = (match?.[2] ?? '').toUpperCase() as keyof typeof UNITS
  const bytes = match ? Math.floor(Number(match[1]) * UNITS[unit]) : 0
  if (bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER) return bytes
  throw refuse(`--bytes '${value}' is not a size; write for example 1048576, 64M or 1.5G`)
}
