// protocol/endpoint.ts — how does a program open a socket, dial peers and accept them?
import { isIP } from 'node:net'
import { systemClock, systemRandom } from './clock.ts'
import type { CongestionName } from './congestion/controller.ts'
import type {
  Admission,
  Connection,
  Endpoint,
  EndpointEvent,
  EndpointOptions,
  TransportLimits,
} from './connection/api.ts'
import { createCoreEndpoint } from './connection/endpoint.ts'
import { Driver } from './driver.ts'
import { openKeyLog } from './key-log.ts'
import { suitesOfThisMachine } from './protection/suites.ts'
import { QlogFolder } from './qlog/folder.ts'
import type { TransportLog } from './qlog/log.ts'
import { Qlog } from './qlog/qlog.ts'
import { SessionShell } from './session.ts'
import {
  type Address,
  type Clock,
  type DatagramPort,
  type EndpointStats,
  type LocalIdentity,
  type PeerAddress,
  type PeerIdentity,
  type RandomBytes,
  type Session,
  type TransportEndpoint,
  TransportError,
} from './types.ts'
import { openUdpPort } from './udp/udp-port.ts'

/** A closed connection answers stragglers (RFC 9000 §10.2). A closing endpoint waits so long at
 * most for that: on loopback it is a few PTOs, elsewhere it makes a lost CLOSE less likely. */
const LINGER_MS_MAX = 100
/** The close code of an endpoint that nobody gave a session handler. */
const CODE_NO_HANDLER = 1

export interface CreateEndpointOptions {
  /** IP literal and port; port 0 takes a free one. */
  readonly bind: Address
  readonly identity: LocalIdentity
  /** Accept peers' connections. Default true. */
  readonly accepts?: boolean
  /** What the CRC-32 of DATA packets covers; `header` holds where both ends ask for it. */
  readonly crc?: 'full' | 'header'
  /** Largest datagram to send and to take, 1200 to 65 507 bytes. Default: all that the socket has
   * room for. How much of it a path takes is found out. */
  readonly mtuBytes?: number
  readonly limits?: Partial<TransportLimits>
  /** What all connections together may hold, bytes: windows that peers were granted, and what waits
   * to be sent. Default 256 MiB. */
  readonly memoryBudgetBytes?: number
  /** `by-application`: a peer that dialled us may send little until session.admit(): 64 KiB at a
   * time, on 8 streams of each direction. Default `at-once`. */
  readonly admission?: Admission
  /** Which algorithm keeps the network from being overrun. Default 'bbr'. */
  readonly congestion?: CongestionName
  /** Keeps a record of every connection in a folder, see docs/debugging.md. */
  readonly qlog?: QlogSettings | undefined
  /** Appends the keys of every connection to a file that only its owner can read. */
  readonly keyLogPath?: string | undefined
}

export interface QlogSettings {
  /** Made when it is not there; one file per connection and side. */
  readonly dir: string
  /** Told of each record that could not be kept; the connection does not notice. */
  readonly onError?: ((error: Error) => void) | undefined
}

/** Opens a UDP socket. Rejects with ERR_HOLDFAST_SOCKET (`cause` has EADDRINUSE …), and with
 * ERR_HOLDFAST_INVALID for what is no IP address, and for a key log that cannot be used. */
export async function createEndpoint(options: CreateEndpointOptions): Promise<TransportEndpoint> {
  const { bind, qlog, keyLogPath, ...rest } = options
  const keyLog = keyLogPath ? openKeyLog(keyLogPath) : null
  const port = await openUdpPort(bind).catch((error: unknown) => {
    keyLog?.close()
    throw error
  })
  // What the loopback takes is what we can receive of anybody.
  const { mtuBytes = port.loopbackBytesMax } = rest
  // Half of what the kernel counts, which is more than the bytes of a datagram.
  const loopbackWindowBytesMax = port.receiveBufferBytes / 2
  const mtuHintBytes = rest.mtuBytes ?? port.ethernetBytesMax
  const records = {
    ...(qlog && { log: qlogOf(qlog, port.local) }),
    ...(keyLog && { onKeys: keyLog.write }),
  }
  const suites = suitesOfThisMachine()
  const sizes = { mtuBytes, mtuHintBytes, loopbackWindowBytesMax }
  const core = { ...rest, ...sizes, suites, random: systemRandom, ...records }
  const checkPeer = (to: PeerAddress): void => {
    if (isIP(to.host) === port.family) return
    const detail = `connect: ${to.host} cannot be reached from a socket on ${port.local.host}`
    throw new TransportError('ERR_HOLDFAST_INVALID', detail)
  }
  return new EndpointShell(port, systemClock, core, {
    checkPeer,
    onClosed: () => keyLog?.close(),
  })
}

function qlogOf(settings: QlogSettings, local: Address): Qlog {
  const folder = new QlogFolder({ ...settings, clock: systemClock })
  return new Qlog({
    wallMs: () => systemClock.wallMs(),
    local,
    open: (name) => folder.open(name),
    settled: () => folder.settled(),
  })
}

/** The same over any port, clock and randomness: a simulator's, for example. */
export function createEndpointOn(
  port: DatagramPort,
  clock: Clock,
  random: RandomBytes,
  options: Omit<EndpointOptions, 'random'>,
): TransportEndpoint {
  return new EndpointShell(port, clock, { ...options, random })
}

interface Dial {
  readonly resolve: (session: Session) => void
  readonly reject: (error: TransportError) => void
}

interface ShellHooks {
  /** Throws for an address that must not be dialled. */
  readonly checkPeer?: (to: PeerAddress) => void
  /** Socket and records are closed: no key is told any more. */
  readonly onClosed?: () => void
}

class EndpointShell implements TransportEndpoint {
  readonly #port: DatagramPort
  readonly #clock: Clock
  readonly #core: Endpoint
  readonly #log: TransportLog | undefined
  readonly #driver: Driver
  readonly #hooks: ShellHooks
  readonly #sessions = new Map<Connection, SessionShell>()
  readonly #dials = new Map<Connection, Dial>()
  /** Sessions whose close() waits for acknowledgements. */
  readonly #draining = new Set<SessionShell>()
  #handleSession: ((session: Session) => void) | null = null
  #closing: Promise<void> | null = null
  #whenFlushed: (() => void) | null = null

  constructor(port: DatagramPort, clock: Clock, options: EndpointOptions, hooks: ShellHooks = {}) {
    this.#port = port
    this.#clock = clock
    this.#hooks = hooks
    const { trainSegmentsMax, setsDontFragment = false } = port
    this.#core = createCoreEndpoint({ trainSegmentsMax, setsDontFragment, ...options })
    this.#log = options.log
    this.#driver = new Driver({
      endpoint: this.#core,
      port,
      clock,
      onEvent: (event) => this.#handleEvent(event),
      onFlushed: () => this.#handleFlushed(),
    })
  }

  get local(): Address {
    return this.#port.local
  }

  stats(): EndpointStats {
    const socket = this.#port.stats?.()
    return { ...this.#core.stats, ...(socket && { socket }) }
  }

  onSession(handle: (session: Session) => void, mayEnter?: (peer: PeerIdentity) => boolean): void {
    this.#handleSession = handle
    this.#core.mayEnter = mayEnter ?? null
  }

  setIdentity(identity: LocalIdentity): void {
    this.#core.setIdentity(identity)
  }

  async connect(to: PeerAddress, { signal }: { signal?: AbortSignal } = {}): Promise<Session> {
    if (this.#closing) throw closedError()
    if (!(Number.isInteger(to.port) && to.port > 0 && to.port < 65_536)) {
      throw new TransportError('ERR_HOLDFAST_INVALID', `connect: ${to.port} is not a port`)
    }
    this.#hooks.checkPeer?.(to)
    if (signal?.aborted) throw abortedError(signal)
    const connection = this.#core.connect(this.#clock.nowMs(), to)
    this.#driver.wake()
    const { promise, resolve, reject } = Promise.withResolvers<Session>()
    this.#dials.set(connection, { resolve, reject })
    const abort = (): void => {
      this.#dials.delete(connection)
      connection.close(this.#clock.nowMs(), 0, 'aborted')
      this.#driver.wake()
      reject(abortedError(signal))
    }
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  close({ drainMs }: { drainMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(drainMs)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #handleEvent(event: EndpointEvent): void {
    const { connection } = event
    if (event.type === 'connected') this.#handleConnected(connection)
    else if (event.type === 'accepted') this.#handleAccepted(connection)
    else this.#sessions.get(connection)?.handleEvent(event)
    if (event.type !== 'closed') return
    this.#sessions.delete(connection)
    const dial = this.#dials.get(connection)
    this.#dials.delete(connection)
    dial?.reject(event.error ?? closedError())
  }

  #handleConnected(connection: Connection): void {
    const dial = this.#dials.get(connection)
    this.#dials.delete(connection)
    if (dial) dial.resolve(this.#makeSession(connection))
    else connection.close(this.#clock.nowMs(), 0, 'aborted') // while the answer was on its way
  }

  #handleAccepted(connection: Connection): void {
    if (this.#handleSession) this.#handleSession(this.#makeSession(connection))
    else connection.close(this.#clock.nowMs(), CODE_NO_HANDLER, 'nobody accepts sessions here')
  }

  #makeSession(connection: Connection): SessionShell {
    const session = new SessionShell({
      connection,
      clock: this.#clock,
      wake: () => this.#driver.wake(),
      setDraining: (isDraining) => {
        if (isDraining) this.#draining.add(session)
        else this.#draining.delete(session)
      },
    })
    this.#sessions.set(connection, session)
    return session
  }

  #handleFlushed(): void {
    for (const session of this.#draining) session.handleProgress()
    this.#whenFlushed?.()
  }

  async #close(drainMs: number | undefined): Promise<void> {
    this.#core.refuseNew()
    for (const [connection, dial] of this.#dials) {
      connection.close(this.#clock.nowMs(), 0, '')
      dial.reject(closedError())
    }
    this.#dials.clear()
    const options = drainMs === undefined ? {} : { drainMs }
    await Promise.all([...this.#sessions.values()].map((session) => session.close(options)))
    await this.#linger()
    this.#driver.stop()
    await this.#port.close()
    await this.#log?.close()
    this.#hooks.onClosed?.()
  }

  /** Until the core has forgotten all connections, whose peers may not have heard the CLOSE. */
  async #linger(): Promise<void> {
    if (this.#core.connectionCount === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#clock.setTimer(resolve, LINGER_MS_MAX)
    this.#whenFlushed = () => {
      if (this.#core.connectionCount === 0) resolve()
    }
    this.#driver.wake()
    await promise
    this.#whenFlushed = null
    timer.cancel()
  }
}

const closedError = (): TransportError =>
  new TransportError('ERR_HOLDFAST_CLOSED', 'the endpoint is closed')

const abortedError = (signal?: AbortSignal): TransportError =>
  new TransportError('ERR_HOLDFAST_ABORTED', 'the caller aborted', { cause: signal?.reason })
