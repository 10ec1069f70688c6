// protocol/connection/options.ts — what is a connection told when it begins?
import type { CongestionName } from '../congestion/controller.ts'
import type { Cid } from '../handshake/messages.ts'
import type { Address } from '../types.ts'
import type { EndpointEvent, TransportLimits } from './api.ts'
import type { CidRegistry } from './connection-ids.ts'
import type { KeyLog } from './keys.ts'
import type { MemoryBudget } from './memory-budget.ts'

export interface ConnectionOptions {
  readonly isInitiator: boolean
  readonly remote: Address
  readonly localCid: Cid
  readonly cids: CidRegistry
  readonly limits: TransportLimits
  readonly budget: MemoryBudget
  /** False: a stranger until admit(). */
  readonly isAdmitted: boolean
  /** The largest datagram that this end takes and sends, and what is known of the way out. */
  readonly mtuBytes: number
  readonly mtuHintBytes: number
  readonly setsDontFragment: boolean
  readonly congestion: CongestionName
  readonly packetsPerKeyMax: number
  readonly random: (lengthBytes: number) => Uint8Array
  /** A random whole number in [0, below). */
  readonly randomBelow: (below: number) => number
  readonly onKeys: KeyLog | null
  readonly emit: (event: EndpointEvent) => void
  /** The application did something: there may be more to send, and another deadline. */
  readonly wake: () => void
}
