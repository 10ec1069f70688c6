// src/rpc/index.ts — what do manager, server and client need to talk to each other?

export { createEndpoint, openKeyLog, systemClock, systemRandom } from '../../protocol/index.ts'
export type {
  Address,
  Clock,
  CloseInfo,
  LocalIdentity,
  PeerAddress,
  PeerIdentity,
  RandomBytes,
  Session,
  SessionStats,
  Timer,
  TransportEndpoint,
  TransportStream,
} from '../../protocol/types.ts'
export { type CallOptions, type CallResult, call } from './call.ts'
export { dial } from './dial.ts'
export { failureOf, isStranger } from './failure.ts'
export type { Log, RpcLog } from './log.ts'
export { Peers, type PeersOptions } from './peers.ts'
export { type Records, recordsInto } from './records.ts'
export { type Reply, reply, type WithBody } from './reply.ts'
export { type Handlers, type IncomingCall, type ServeOptions, serve } from './serve.ts'
export { Strangers } from './strangers.ts'
export { visitor } from './visit.ts'
