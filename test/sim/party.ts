// test/sim/party.ts — one simulated process with the transport in it: who sends what, who reads?
import type { Connection, Endpoint, EndpointEvent } from '../../protocol/connection/api.ts'
import { Driver } from '../../protocol/driver.ts'
import type { LocalIdentity, TransportError } from '../../protocol/types.ts'
import type { Complain } from './checked-endpoint.ts'
import { contentSlice, isContent } from './content.ts'
import type { Host } from './host.ts'

const READ_BYTES_MAX = 65_536

/** One half of a stream, as its sender sees it. */
export interface Flow {
  readonly connection: Connection
  readonly streamId: number
  readonly totalBytes: number
  readonly writeBytes: number
  readonly startedMs: number
  writtenBytes: number
  /** All bytes and FIN acknowledged, at this time. */
  doneMs: number | null
  stoppedCode: number | null
  isReset: boolean
}

/** One half of a stream, as its receiver sees it. */
export interface Intake {
  readonly connection: Connection
  readonly streamId: number
  receivedBytes: number
  finishedMs: number | null
  resetCode: number | null
}

export interface Ending {
  readonly error: TransportError | null
  readonly reason: string
  readonly atMs: number
}

export interface FlowOptions {
  readonly totalBytes: number
  /** Bytes per write() call. Default 65 536. */
  readonly writeBytes?: number
  readonly urgency?: number
  readonly direction?: 'bidi' | 'uni'
  /** More will be written later (`writeMore`); no FIN yet. */
  readonly keepOpen?: boolean
}

/** Which content a half of a stream carries. */
const keyOf = (streamId: number, isFromInitiator: boolean): number =>
  streamId * 2 + (isFromInitiator ? 1 : 0)

export class Party {
  readonly name: string
  readonly host: Host
  readonly endpoint: Endpoint
  readonly identity: LocalIdentity
  readonly driver: Driver
  readonly connections: Connection[] = []
  readonly endings = new Map<Connection, Ending>()
  readonly flows: Flow[] = []
  readonly intakes: Intake[] = []
  /** False: streams fill up their windows. `resumeReading()` goes on. */
  isReading = true
  /** What to answer on a bidi stream when all of it arrived. Default nothing, and FIN. */
  answerBytes: ((intake: Intake) => number) | null = null
  onFinished: ((intake: Intake) => void) | null = null
  onAccepted: ((connection: Connection) => void) | null = null
  readonly #complain: Complain
  readonly #nowMs: () => number
  readonly #open = new Map<Connection, { flows: Map<number, Flow>; intakes: Map<number, Intake> }>()
  readonly #unopened: { connection: Connection; options: FlowOptions }[] = []
  readonly #unfinished = new Set<Flow>()

  constructor(parts: {
    name: string
    host: Host
    endpoint: Endpoint
    identity: LocalIdentity
    nowMs: () => number
    complain: Complain
  }) {
    this.name = parts.name
    this.host = parts.host
    this.endpoint = parts.endpoint
    this.identity = parts.identity
    this.#nowMs = parts.nowMs
    this.#complain = parts.complain
    const { endpoint, host } = parts
    const onEvent = (event: EndpointEvent): void => this.#handleEvent(event)
    this.driver = new Driver({ endpoint, port: host.port, clock: host.clock, onEvent })
  }

  /** `publicKey`: the one that is expected there. Default: the true one. */
  connect(to: Party, publicKey = to.identity.publicKey): Connection {
    const address = { ...to.host.address, publicKey }
    const connection = this.endpoint.connect(this.host.clock.nowMs(), address)
    this.#track(connection)
    this.driver.wake()
    return connection
  }

  /** Opens a stream and sends; when the stream limit is reached, as soon as there is one. */
  send(connection: Connection, options: FlowOptions): Flow | null {
    const streamId = connection.openStream(options.direction ?? 'bidi', options.urgency ?? 5)
    if (streamId === null) {
      this.#unopened.push({ connection, options })
      return null
    }
    return this.#startFlow(connection, streamId, options)
  }

  /** Ends a flow that was kept open. */
  finish(flow: Flow): void {
    this.#unfinished.delete(flow)
    flow.connection.finish(flow.streamId)
    this.driver.wake()
  }

  writeMore(flow: Flow, bytes: number): void {
    ;(flow as { totalBytes: number }).totalBytes += bytes
    this.#write(flow)
  }

  resumeReading(): void {
    this.isReading = true
    for (const intake of this.intakes) if (intake.finishedMs === null) this.#read(intake)
    this.driver.wake()
  }

  close(connection: Connection, code = 0, reason = ''): void {
    connection.close(this.host.clock.nowMs(), code, reason)
    this.driver.wake()
  }

  get receivedBytes(): number {
    return this.intakes.reduce((sum, intake) => sum + intake.receivedBytes, 0)
  }

  #track(connection: Connection): void {
    this.connections.push(connection)
    this.#open.set(connection, { flows: new Map(), intakes: new Map() })
  }

  #handleEvent(event: EndpointEvent): void {
    const { connection } = event
    if (event.type === 'accepted') {
      this.#track(connection)
      this.onAccepted?.(connection)
    } else if (event.type === 'closed') {
      const { error, reason } = event
      this.endings.set(connection, { error, reason, atMs: this.#nowMs() })
    } else if (event.type === 'streams-available') this.#openMore()
    else if ('streamId' in event) this.#handleStreamEvent(event)
  }

  #handleStreamEvent(event: EndpointEvent & { streamId: number }): void {
    const { connection, streamId } = event
    const open = this.#open.get(connection)!
    const flow = open.flows.get(streamId)
    if (event.type === 'stream-opened') this.#startIntake(connection, streamId)
    const intake = open.intakes.get(streamId)
    if (event.type === 'stream-readable' && intake) this.#read(intake)
    else if (event.type === 'stream-writable' && flow) this.#write(flow)
    else if (event.type === 'stream-acknowledged' && flow) flow.doneMs = this.#nowMs()
    else if (event.type === 'stream-stopped' && flow) flow.stoppedCode = event.code
    else if (event.type === 'stream-reset' && intake) intake.resetCode = event.code
  }

  #openMore(): void {
    for (const { connection, options } of this.#unopened.splice(0)) this.send(connection, options)
  }

  #startIntake(connection: Connection, streamId: number): void {
    const intake = { connection, streamId, receivedBytes: 0, finishedMs: null, resetCode: null }
    this.intakes.push(intake)
    this.#open.get(connection)!.intakes.set(streamId, intake)
  }

  #startFlow(connection: Connection, streamId: number, options: FlowOptions): Flow {
    const flow: Flow = {
      connection,
      streamId,
      totalBytes: options.totalBytes,
      writeBytes: options.writeBytes ?? 65_536,
      startedMs: this.#nowMs(),
      writtenBytes: 0,
      doneMs: null,
      stoppedCode: null,
      isReset: false,
    }
    this.flows.push(flow)
    const open = this.#open.get(connection)!
    open.flows.set(streamId, flow)
    const isOurs = (streamId & 1) === (connection.isInitiator ? 0 : 1)
    if (isOurs && options.direction !== 'uni') this.#startIntake(connection, streamId)
    if (options.keepOpen) this.#unfinished.add(flow)
    this.#write(flow)
    return flow
  }

  #write(flow: Flow): void {
    const { connection, streamId } = flow
    if (flow.stoppedCode !== null || flow.isReset) return
    const key = keyOf(streamId, connection.isInitiator)
    while (flow.writtenBytes < flow.totalBytes) {
      const wanted = Math.min(flow.writeBytes, flow.totalBytes - flow.writtenBytes)
      const taken = connection.write(streamId, contentSlice(key, flow.writtenBytes, wanted))
      flow.writtenBytes += taken
      if (taken < wanted) break
    }
    this.driver.wake()
    if (flow.writtenBytes < flow.totalBytes || this.#unfinished.has(flow)) return
    connection.finish(streamId)
  }

  #read(intake: Intake): void {
    const { connection, streamId } = intake
    if (!this.isReading || intake.finishedMs !== null) return
    for (;;) {
      const bytes = connection.read(streamId, READ_BYTES_MAX)
      if (bytes === null) break
      const key = keyOf(streamId, !connection.isInitiator)
      if (!isContent(key, intake.receivedBytes, bytes)) {
        this.#complain(`stream ${streamId}: wrong bytes at ${intake.receivedBytes}`)
      }
      intake.receivedBytes += bytes.length
    }
    this.driver.wake()
    if (connection.isReadFinished(streamId) && intake.resetCode === null) this.#end(intake)
  }

  #end(intake: Intake): void {
    const { connection, streamId } = intake
    intake.finishedMs = this.#nowMs()
    this.onFinished?.(intake)
    const isOurs = (streamId & 1) === (connection.isInitiator ? 0 : 1)
    if (isOurs || (streamId & 2) !== 0) return
    const totalBytes = this.answerBytes?.(intake) ?? 0
    this.#startFlow(connection, streamId, { totalBytes })
  }
}
