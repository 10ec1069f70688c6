// src/perf/endpoint.ts — with which keys and sockets is a link measured?
import { isIP } from 'node:net'
import { CONGESTION_NAMES, type CongestionName } from '../../protocol/congestion/controller.ts'
import {
  type Address,
  createEndpoint,
  type EndpointOptions,
  keysFrom,
  type LocalIdentity,
  systemRandom,
  type TransportEndpoint,
} from '../../protocol/index.ts'
import { PERF_SECRET_KEY } from '../perf-key.ts'

export const PERF_PORT = 7450
export { CONGESTION_NAMES, type CongestionName }

const KEY_BYTES = 32
/** A person waits for it. */
const HANDSHAKE_MS_MAX = 5_000
/** Measurements at once; each stream of one may hold a window of memory. */
const CONNECTIONS_MAX = 32

const identityFrom = (secretKey: Uint8Array): LocalIdentity => ({
  ...keysFrom(secretKey),
  certificate: new Uint8Array(0),
})

/** Who serves measurements: everybody who wants to. */
export const PERF_IDENTITY = identityFrom(PERF_SECRET_KEY)

/** How this end sends. */
export interface SendOptions {
  readonly crc?: 'full' | 'header'
  readonly mtuBytes?: number | undefined
  readonly congestion?: CongestionName | undefined
}

/** Takes any measurement. What the CRC covers is for the other end to choose. */
export function openServing(bind: Address, options: SendOptions = {}): Promise<TransportEndpoint> {
  const limits = { connectionsMax: CONNECTIONS_MAX }
  const { crc = 'header' } = options
  return createEndpoint({ bind, identity: PERF_IDENTITY, limits, ...own({ ...options, crc }) })
}

/** Dials `host`, an IP address, with a key that nobody has seen before. */
export function openDialling(host: string, options: SendOptions = {}): Promise<TransportEndpoint> {
  const identity = identityFrom(systemRandom(KEY_BYTES))
  const bind = { host: localFor(host), port: 0 }
  const limits = { handshakeTimeoutMs: HANDSHAKE_MS_MAX }
  return createEndpoint({ bind, identity, limits, accepts: false, ...own(options) })
}

/** On the loopback datagrams may be larger, which a socket that is bound to it makes use of. */
function localFor(host: string): string {
  if (isIP(host) === 6) return host === '::1' ? '::1' : '::'
  return host.startsWith('127.') ? '127.0.0.1' : '0.0.0.0'
}

type Own = Pick<EndpointOptions, 'crc' | 'mtuBytes' | 'congestion'>

const own = ({ crc = 'full', mtuBytes, congestion }: SendOptions): Own => ({
  crc,
  ...(mtuBytes !== undefined && { mtuBytes }),
  ...(congestion !== undefined && { congestion }),
})
