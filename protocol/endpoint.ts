// protocol/endpoint.ts — how does a program open a socket, dial peers and accept them?

import { systemClock, systemRandom } from './clock.ts'
import type {
  Connection,
  EndpointEvent,
  EndpointOptions,
  TransportLimits,
} from './connection/api.ts'
import { createCoreEndpoint } from './connection/endpoint.ts'
import { Driver } from './driver.ts'
import { EndpointSession } from './session.ts'
import {
  type Address,
  type Clock,
  type DatagramPort,
  type LocalIdentity,
  type PeerAddress,
  type RandomBytes,
  type Session,
  type TransportEndpoint,
  TransportError,
} from './types.ts'
import { openUdpPort } from './udp/udp-port.ts'
import { DATAGRAM_BYTES_MAX } from './wire/header.ts'

const DRAIN_MS_DEFAULT = 5_000

export interface CreateEndpointOptions {
  /** IP literal and port; port 0 takes a free one. */
  readonly bind: Address
  readonly identity: LocalIdentity
  /** Accept peers' connections. Default true. */
  readonly accepts?: boolean
  /** What the CRC-32 of DATA packets covers; `header` holds where both ends ask for it. */
  readonly crc?: 'full' | 'header'
  readonly limits?: Partial<TransportLimits>
}

/** Opens a UDP socket. Rejects with ERR_HOLDFAST_SOCKET (its cause has EADDRINUSE …), and with
 * ERR_HOLDFAST_INVALID for an address that is not the loopback's: packets are not encrypted yet. */
export async function createEndpoint(options: CreateEndpointOptions): Promise<TransportEndpoint> {
  const { bind, ...rest } = options
  if (!isLoopback(bind.host)) {
    const detail = `${bind.host} is not a loopback address; packets are not encrypted yet, so holdfast serves this machine only`
    throw new TransportError('ERR_HOLDFAST_INVALID', detail)
  }
  const port = await openUdpPort(bind)
  // The loopback carries whatever UDP can; a longer path would need discovery.
  return createEndpointOn(port, systemClock, systemRandom, {
    ...rest,
    mtuBytes: DATAGRAM_BYTES_MAX,
  })
}

/** The same over any port, clock and randomness: a simulator's, for example. */
export function createEndpointOn(
  port: DatagramPort,
  clock: Clock,
  random: RandomBytes,
  options: Omit<EndpointOptions, 'random'>,
): TransportEndpoint {
  return new ShellEndpoint(port, clock, { ...options, random })
}

const isLoopback = (host: string): boolean => host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

class ShellEndpoint implements TransportEndpoint {
  readonly #port: DatagramPort
  readonly #clock: Clock
  readonly #core: ReturnType<typeof createCoreEndpoint>
  readonly #driver: Driver
  readonly #sessions = new Map<Connection, EndpointSession>()
  readonly #dialled = new Map<Connection, PromiseWithResolvers<Session>>()
  #handleSession: ((session: Session) => void) | null = null
  #unclaimed: EndpointSession[] = []
  #closing: Promise<void> | null = null

  constructor(port: DatagramPort, clock: Clock, options: EndpointOptions) {
    this.#port = port
    this.#clock = clock
    this.#core = createCoreEndpoint(options)
    const onEvent = (event: EndpointEvent): void => this.#handleEvent(event)
    this.#driver = new Driver({ endpoint: this.#core, port, clock, onEvent })
  }

  get local(): Address {
    return this.#port.local
  }

  onSession(handle: (session: Session) => void): void {
    this.#handleSession = handle
    const waiting = this.#unclaimed
    this.#unclaimed = []
    for (const session of waiting) handle(session)
  }

  setIdentity(identity: LocalIdentity): void {
    this.#core.setIdentity(identity)
  }

  async connect(to: PeerAddress, options: { signal?: AbortSignal } = {}): Promise<Session> {
    if (this.#closing) throw new TransportError('ERR_HOLDFAST_CLOSED', 'the endpoint is closed')
    const { signal } = options
    if (signal?.aborted) throw aborted(signal)
    const connection = this.#core.connect(this.#clock.nowMs(), to)
    const dialled = Promise.withResolvers<Session>()
    this.#dialled.set(connection, dialled)
    const abort = (): void => {
      dialled.reject(aborted(signal))
      this.#dialled.delete(connection)
      const session = this.#sessions.get(connection)
      if (session) session.destroy()
      else connection.close(this.#clock.nowMs(), 0, 'aborted')
      this.#driver.wake()
    }
    signal?.addEventListener('abort', abort, { once: true })
    this.#driver.wake()
    try {
      return await dialled.promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  #handleEvent(event: EndpointEvent): void {
    const { connection } = event
    if (event.type === 'connected') {
      const dialled = this.#dialled.get(connection)
      this.#dialled.delete(connection)
      if (dialled) dialled.resolve(this.#addSession(connection))
      else connection.close(this.#clock.nowMs(), 0, 'aborted')
      return
    }
    if (event.type === 'accepted') {
      const session = this.#addSession(connection)
      if (this.#handleSession) this.#handleSession(session)
      else this.#unclaimed.push(session)
      return
    }
    this.#sessions.get(connection)?.handleEvent(event)
    if (event.type !== 'closed') return
    this.#sessions.delete(connection)
    const dialled = this.#dialled.get(connection)
    this.#dialled.delete(connection)
    dialled?.reject(
      event.error ?? new TransportError('ERR_HOLDFAST_CLOSED', 'closed while dialling'),
    )
  }

  #addSession(connection: Connection): EndpointSession {
    const session = new EndpointSession({ connection, driver: this.#driver, clock: this.#clock })
    this.#sessions.set(connection, session)
    return session
  }

  close(options: { drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainMs ?? DRAIN_MS_DEFAULT)
    return this.#closing
  }

  async #close(drainMs: number): Promise<void> {
    this.#core.refuseNew()
    const sessions = [...this.#sessions.values()]
    await Promise.all(sessions.map((session) => session.close({ drainMs })))
    for (const [connection, dialled] of this.#dialled) {
      dialled.reject(new TransportError('ERR_HOLDFAST_CLOSED', 'the endpoint was closed'))
      connection.close(this.#clock.nowMs(), 0, '')
    }
    this.#dialled.clear()
    this.#driver.stop()
    await this.#port.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

function aborted(signal: AbortSignal | undefined): TransportError {
  return new TransportError('ERR_HOLDFAST_ABORTED', 'the call was aborted', {
    cause: signal?.reason,
  })
}
