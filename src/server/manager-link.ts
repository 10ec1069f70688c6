// src/server/manager-link.ts — how does a server stay known to its manager?
//
// One connection, dialled again whenever it is lost: register first, then a heartbeat every 2 s.
// Heartbeats overlap (the deadline is longer than the period), so a manager that dies is noticed
// after two of them, not after the sum of their deadlines. Requests wait for the registration.
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { Ask, Member } from '../identity/index.ts'
import type { Method, RequestOf, ResponseOf } from '../messages.ts'
import {
  type Clock,
  call,
  dial,
  failureOf,
  isStranger,
  type Session,
  type TransportEndpoint,
} from '../rpc/index.ts'
import type { Log } from './log.ts'
import type { ManagerState } from './manager-state.ts'
import type { ServerTiming } from './timing.ts'
import { childController, sleep } from './waiting.ts'

const MISSES_MAX = 2
/** Nothing here ends by waiting: a person must do something. */
const FINAL = new Set(['WRONG_CLUSTER', 'CLOCK_WRONG', 'NOT_ENROLLED', 'REVOKED'])

export interface ManagerLinkOptions {
  readonly endpoint: TransportEndpoint
  readonly manager: { readonly host: string; readonly port: number }
  readonly member: Member
  readonly clock: Clock
  readonly log: Log
  readonly timing: ServerTiming
  readonly state: ManagerState
  /** What to say of ourselves, as of now. */
  readonly registration: () => Promise<RequestOf<'server.register'>>
  readonly heartbeat: () => Promise<RequestOf<'server.heartbeat'>>
  /** The manager asks for a full block report. Not called again before it has resolved. */
  readonly report: (session: Session) => Promise<void>
}

export class ManagerLink {
  readonly #options: ManagerLinkOptions
  readonly #stopping = new AbortController()
  #session: Session | null = null
  #registered = Promise.withResolvers<Session>()
  #running: Promise<void> | null = null
  #reporting = false
  #reportWanted = false
  #wasUp = true
  #isTended = true
  /** When the last registration succeeded, on the clock. */
  knownSinceMs = -Infinity
  /** Why the manager at that address is not ours, or null. */
  refusal: string | null = null
  readonly ready = Promise.withResolvers<void>()
  /** Rejects when the first contact fails for a reason that stays. */
  readonly refused = Promise.withResolvers<never>()

  constructor(options: ManagerLinkOptions) {
    this.#options = options
    this.ready.promise.catch(() => {}) // nobody has to wait for them
    this.refused.promise.catch(() => {})
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Rejects those who wait, drops the connection. Never rejects. */
  async stop(): Promise<void> {
    const error = new HoldfastError('SHUTTING_DOWN', 'the server is stopping')
    this.#stopping.abort(error)
    this.ready.reject(error)
    this.#session?.destroy()
    await this.#running
  }

  get isUp(): boolean {
    return this.#session !== null
  }

  /** Send a full block report soon, as something on disk is not as the manager believes. */
  wantReport(): void {
    this.#reportWanted = true
    if (this.#session) this.#startReport(this.#session)
  }

  /** One request, on the connection that is registered. UNREACHABLE when there is none in time. */
  async call<M extends Method>(
    method: M,
    request: RequestOf<M>,
    { deadlineMs, signal }: { deadlineMs: number; signal: AbortSignal },
  ): Promise<ResponseOf<M>> {
    const { clock } = this.#options
    const untilMs = clock.nowMs() + deadlineMs
    const session = this.#session ?? (await this.#nextSession(deadlineMs, signal))
    const leftMs = Math.max(1, untilMs - clock.nowMs())
    return ask(session, method, request, { clock, deadlineMs: leftMs, signal })
  }

  async #nextSession(deadlineMs: number, signal: AbortSignal): Promise<Session> {
    using waiting = childController(signal)
    const timeout = sleep(this.#options.clock, deadlineMs, waiting.signal).then(() => {
      throw new HoldfastError('UNREACHABLE', this.refusal ?? `no connection to ${this.#where}`)
    })
    timeout.catch(() => {})
    try {
      return await Promise.race([this.#registered.promise, timeout])
    } finally {
      waiting.abort()
    }
  }

  async #run(): Promise<void> {
    const { clock, timing } = this.#options
    const stop = this.#stopping.signal
    let delayMs = timing.redialMsMin
    while (!stop.aborted) {
      try {
        const session = await this.#dial()
        try {
          const { heartbeatMs } = await this.#register(session)
          delayMs = timing.redialMsMin
          await this.#beat(session, heartbeatMs)
        } finally {
          this.#handleDown()
          session.destroy()
        }
      } catch (error) {
        this.#judge(error)
        this.#complain(error)
      }
      const pauseMs = this.refusal ? timing.refusedMs : delayMs
      await sleep(clock, pauseMs, stop).catch(() => {})
      delayMs = Math.min(delayMs * 2, timing.redialMsMax)
    }
    this.#registered.promise.catch(() => {})
    this.#registered.reject(new HoldfastError('SHUTTING_DOWN', 'the server is stopping'))
  }

  async #dial(): Promise<Session> {
    const { clock, endpoint, manager, member, timing } = this.#options
    const { managerKey, successorKey } = member.trust.directory
    using attempt = childController(this.#stopping.signal)
    const timer = clock.setTimer(() => attempt.abort(), timing.dialMs)
    const { signal } = attempt
    const keys = { to: Buffer.from(managerKey, 'hex'), successor: Buffer.from(successorKey, 'hex') }
    const to = { host: manager.host, port: manager.port, publicKey: keys.to }
    const session = await dial(endpoint, to, { signal, clock, successorKey: keys.successor })
      .catch((error) => {
        throw isStranger(error) ? member.strangerAt(this.#where) : failureOf(error, this.#where)
      })
      .finally(() => timer.cancel())
    try {
      await member.admitManager(session, this.#askOn(session))
      return session
    } catch (error) {
      session.destroy()
      throw error
    }
  }

  #askOn(session: Session): Ask {
    const { clock, timing } = this.#options
    const deadlineMs = timing.heartbeatDeadlineMs
    const signal = this.#stopping.signal
    return (method, request) => ask(session, method, request, { clock, deadlineMs, signal })
  }

  async #register(session: Session): Promise<ResponseOf<'server.register'>> {
    const { clock, log, member, registration, state, timing } = this.#options
    const { clusterId } = member.trust
    const answer = await ask(session, 'server.register', await registration(), {
      clock,
      deadlineMs: timing.heartbeatDeadlineMs,
      signal: this.#stopping.signal,
    })
    if (answer.clusterId !== clusterId) {
      const detail =
        `the manager at ${this.#where} belongs to cluster ${answer.clusterId}, ` +
        `this server to ${clusterId}: check the config, or the data folder`
      throw new HoldfastError('WRONG_CLUSTER', detail)
    }
    this.refusal = null
    const older = await state.note({ clusterId, epoch: answer.epoch, operation: answer.operation })
    if (older) log.warn(older)
    this.#session = session
    this.knownSinceMs = this.#options.clock.nowMs()
    this.#wasUp = true
    this.refused.resolve(new Promise<never>(() => {})) // never, from now on
    log.info('registered with the manager', { epoch: answer.epoch })
    this.#registered.resolve(session)
    this.ready.resolve()
    if (answer.wantsReport || this.#reportWanted) this.#startReport(session)
    return answer
  }

  /** Returns when the connection is of no use any more. */
  async #beat(session: Session, heartbeatMs: number): Promise<void> {
    const { clock, timing } = this.#options
    using lost = childController(this.#stopping.signal)
    session.closed.then(() => lost.abort())
    let misses = 0
    const beat = async (): Promise<void> => {
      try {
        await this.#beatOnce(session, timing.heartbeatDeadlineMs, lost.signal)
        misses = 0
      } catch (error) {
        misses += 1
        // An answer, but a refusal: the manager does not know us (any more).
        const refused = isHoldfastError(error) && error.remote && error.retry === 'never'
        if (misses >= MISSES_MAX || refused) lost.abort()
      }
    }
    while (!lost.signal.aborted) {
      await sleep(clock, heartbeatMs, lost.signal).catch(() => {})
      if (!lost.signal.aborted) void beat()
    }
  }

  async #beatOnce(session: Session, deadlineMs: number, signal: AbortSignal): Promise<void> {
    const { clock, heartbeat, log, member, state } = this.#options
    const request = await heartbeat()
    const answer = await ask(session, 'server.heartbeat', request, { clock, deadlineMs, signal })
    if (answer.wantsReport || this.#reportWanted) this.#startReport(session)
    const { epoch, operation, trustVersion } = answer
    void this.#tend(session, trustVersion)
    const { clusterId } = member.trust
    const older = await state.note({ clusterId, epoch, operation })
    if (older) log.warn(older)
  }

  /** Complains once, not with every heartbeat. */
  async #tend(session: Session, trustVersion: number): Promise<void> {
    try {
      await this.#options.member.tend(this.#askOn(session), trustVersion)
      this.#isTended = true
    } catch (error) {
      const { log } = this.#options
      if (this.#isTended) log.warn('no news of the cluster yet', { error: String(error) })
      this.#isTended = false
    }
  }

  #startReport(session: Session): void {
    if (this.#reporting) return
    this.#reporting = true
    this.#reportWanted = false
    this.#options
      .report(session)
      .catch((error: unknown) => {
        this.#reportWanted = true // with the next registration or heartbeat
        this.#options.log.warn('block report failed', { error: String(error) })
      })
      .finally(() => {
        this.#reporting = false
      })
  }

  #handleDown(): void {
    if (this.#session) this.#registered = Promise.withResolvers<Session>()
    this.#registered.promise.catch(() => {})
    this.#session = null
  }

  #judge(error: unknown): void {
    this.refusal = null
    if (!isHoldfastError(error) || !FINAL.has(error.code)) return
    this.refusal = error.detail
    this.refused.reject(error)
  }

  /** Once per loss, not once per attempt. */
  #complain(error: unknown): void {
    if (!this.#wasUp || this.#stopping.signal.aborted) return
    this.#wasUp = false
    this.#options.log.warn(`no manager at ${this.#where}; waiting for it`, { error: String(error) })
  }

  get #where(): string {
    return `${this.#options.manager.host}:${this.#options.manager.port}`
  }
}

/** One request without bulk data. */
export async function ask<M extends Method>(
  session: Session,
  method: M,
  request: RequestOf<M>,
  options: { clock: Clock; deadlineMs: number; signal: AbortSignal },
): Promise<ResponseOf<M>> {
  const result = await call(session, method, request, { ...options, urgency: 0 })
  result.discard()
  return result.response
}
