// protocol/index.ts — what does the transport offer to programs?

export { systemClock, systemRandom } from './clock.ts'
export type { EndpointOptions, TransportLimits } from './connection/api.ts'
export {
  type CreateEndpointOptions,
  createEndpoint,
  createEndpointOn,
  type QlogSettings,
} from './endpoint.ts'
export { keysFrom } from './handshake/noise.ts'
export { openKeyLog } from './key-log.ts'
export * from './types.ts'
