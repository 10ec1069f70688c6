// protocol/udp/udp-port.ts — which kind of UDP socket can this machine give us?
import { isIP } from 'node:net'
import { openSocketCalls, type SocketCalls } from '../native/libc.ts'
import { type Address, type PortStats, TransportError } from '../types.ts'
import { openNativePort } from './native-port.ts'
import { adopt, PlainPort } from './plain-port.ts'

export type UdpDriver = PortStats['driver']
const DRIVERS: readonly string[] = ['segmented', 'batched', 'plain'] satisfies UdpDriver[]

export interface UdpOptions {
  /** This one or none. Default: what HOLDFAST_UDP names, or else the first that works. */
  readonly driver?: UdpDriver | undefined
  /** Null where there are none. */
  readonly calls?: SocketCalls | null
}

/** Opens and binds. Rejects with ERR_HOLDFAST_SOCKET (`cause` is the system's error), and with
 * ERR_HOLDFAST_INVALID for what is no IP address or no driver. */
export async function openUdpPort(bind: Address, options: UdpOptions = {}): Promise<PlainPort> {
  const family = isIP(bind.host)
  if (family !== 4 && family !== 6) {
    const detail = `bind: ${bind.host} is not an IP address; write for example 127.0.0.1`
    throw new TransportError('ERR_HOLDFAST_INVALID', detail)
  }
  const { driver = driverOf(process.env.HOLDFAST_UDP), calls = openSocketCalls() } = options
  try {
    if (driver !== 'plain') {
      const port = calls && (await openNativePort({ bind, family, calls, driver }))
      if (port) return port
      if (driver !== undefined) throw impossible(driver)
    }
    return new PlainPort(await adopt(family, { address: bind.host, port: bind.port }), family)
  } catch (cause) {
    if (cause instanceof TransportError) throw cause
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
    const where = `${bind.host}:${bind.port}/udp`
    const detail =
      code === 'EADDRINUSE' ? `port in use: ${where} (${code})` : `cannot open ${where}: ${code}`
    throw new TransportError('ERR_HOLDFAST_SOCKET', detail, { cause })
  }
}

function driverOf(name: string | undefined): UdpDriver | undefined {
  if (name === undefined || name === '') return undefined
  if (DRIVERS.includes(name)) return name as UdpDriver
  const detail = `HOLDFAST_UDP=${name} is none of ${DRIVERS.join(', ')}`
  throw new TransportError('ERR_HOLDFAST_INVALID', detail)
}

function impossible(driver: UdpDriver): TransportError {
  const needs = driver === 'segmented' ? ' of version 5.0 or later' : ''
  const detail =
    `a ${driver} UDP socket needs Linux${needs} on x64 or arm64, and the package koffi; ` +
    'without HOLDFAST_UDP the best socket there is is taken, and HOLDFAST_UDP=plain works anywhere'
  return new TransportError('ERR_HOLDFAST_SOCKET', detail)
}
