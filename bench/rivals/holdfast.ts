// bench/rivals/holdfast.ts — our transport, as everything else in holdfast uses it
import {
  type CreateEndpointOptions,
  createEndpoint,
  keysFrom,
  type LocalIdentity,
  type Session,
  type TransportEndpoint,
} from '../../protocol/index.ts'
import type { Rival, RivalSpec } from './rival.ts'

const URGENCY_BULK = 5

const identityOf = (number: number): LocalIdentity => ({
  ...keysFrom(new Uint8Array(32).fill(number)),
  certificate: new Uint8Array(0),
})

export const SERVER = identityOf(2)
const CLIENT = identityOf(1)

export function openEndpoint(
  spec: RivalSpec,
  host: string,
  side: 'server' | 'client',
): Promise<TransportEndpoint> {
  const { crc, mtuBytes, congestion } = spec
  const options = {
    bind: { host, port: 0 },
    identity: side === 'server' ? SERVER : CLIENT,
    ...(crc && { crc }),
    ...(mtuBytes && { mtuBytes }),
    ...(congestion && { congestion }),
  }
  return createEndpoint(options as CreateEndpointOptions)
}

export async function dialSession(spec: RivalSpec, host: string, port: number): Promise<Session> {
  const bind = host.startsWith('127.') ? '127.0.0.1' : '0.0.0.0'
  const endpoint = await openEndpoint(spec, bind, 'client')
  return endpoint.connect({ host, port, publicKey: SERVER.publicKey })
}

export const holdfast = (spec: RivalSpec): Rival => ({
  copiesOnWrite: false,
  takesPieces: true,
  async listen(host, handle) {
    const endpoint = await openEndpoint(spec, host, 'server')
    endpoint.onSession((session) => session.onStream(handle))
    return endpoint.local.port
  },
  async dial(host, port) {
    const session = await dialSession(spec, host, port)
    return session.openStream({ urgency: URGENCY_BULK })
  },
})
