// src/manager/membership.ts — which servers are there, and can they be relied on?
import type { RequestOf, ServerAddress, ServerState } from '../messages.ts'
import type { ServerRow } from './catalog/catalog.ts'

export type Load = RequestOf<'server.heartbeat'>['load']

export interface MembershipTiming {
  readonly heartbeatMs: number
  /** Missed heartbeats until a server is suspect. */
  readonly suspectAfterMissed: number
  readonly deadMs: number
}

export interface Member {
  readonly number: number
  name: string
  host: string
  port: number
  publicKey: string
  /** On the manager's monotonic clock; null: not heard of since this manager started. */
  heardMs: number | null
  lastSeenWallMs: number
  load: Load | null
  /** Has it sent a full block report to this manager? */
  hasReported: boolean
  wantsReport: boolean
  /** Bytes assigned to it that its own reports do not show yet. */
  assignedBytes: number
  /** Others failed to reach it: avoided until then. */
  avoidedUntilMs: number
}

export class Membership {
  readonly #members = new Map<number, Member>()
  readonly #timing: MembershipTiming
  /** Keys of servers that were revoked: their copies count no more, as if they were dead. */
  readonly #retired = new Set<string>()
  /** Silence counts from here for servers that this manager has not heard yet. */
  readonly #startedMs: number

  constructor(timing: MembershipTiming, nowMs: number, rows: readonly ServerRow[]) {
    this.#timing = timing
    this.#startedMs = nowMs
    for (const row of rows) {
      this.#members.set(row.number, {
        number: row.number,
        name: row.name,
        host: row.host,
        port: row.port,
        publicKey: row.publicKey,
        heardMs: null,
        lastSeenWallMs: row.lastSeenMs,
        load: null,
        hasReported: false,
        wantsReport: true,
        assignedBytes: 0,
        avoidedUntilMs: 0,
      })
    }
  }

  get all(): Member[] {
    return [...this.#members.values()].sort((a, b) => a.number - b.number)
  }

  get(number: number): Member | undefined {
    return this.#members.get(number)
  }

  /** A server says who and where it is. */
  register(
    server: { number: number; name: string; host: string; port: number; publicKey: string },
    load: Load,
    nowMs: number,
  ): Member {
    const known = this.#members.get(server.number)
    const member: Member = known ?? {
      ...server,
      heardMs: nowMs,
      lastSeenWallMs: 0,
      load,
      hasReported: false,
      wantsReport: true,
      assignedBytes: 0,
      avoidedUntilMs: 0,
    }
    Object.assign(member, server, { heardMs: nowMs, load, wantsReport: true, avoidedUntilMs: 0 })
    this.#members.set(server.number, member)
    return member
  }

  heartbeat(number: number, load: Load, nowMs: number): Member | undefined {
    const member = this.#members.get(number)
    if (!member || member.heardMs === null) return undefined
    // What it used before this sign of life now shows in its own figures.
    const grownBytes = Math.max(0, load.usedBytes - (member.load?.usedBytes ?? load.usedBytes))
    member.assignedBytes = Math.max(0, member.assignedBytes - grownBytes)
    if (load.active === 0) member.assignedBytes = 0
    member.heardMs = nowMs
    member.load = load
    return member
  }

  /** The server of this key is shut out; another key may take its number. */
  retire(publicKey: string): void {
    this.#retired.add(publicKey)
  }

  state(member: Member, nowMs: number): ServerState {
    if (this.#retired.has(member.publicKey)) return 'retired'
    const silentMs = nowMs - (member.heardMs ?? this.#startedMs)
    if (silentMs >= this.#timing.deadMs) return 'dead'
    const suspectMs = this.#timing.heartbeatMs * this.#timing.suspectAfterMissed
    if (member.heardMs === null || silentMs >= suspectMs) return 'suspect'
    return 'up'
  }

  up(nowMs: number): Member[] {
    return this.all.filter((member) => this.state(member, nowMs) === 'up')
  }

  /** Servers whose replicas count: all that are neither dead nor retired. */
  live(nowMs: number): number[] {
    return this.all.filter((m) => this.isLive(m, nowMs)).map((m) => m.number)
  }

  isLive(member: Member, nowMs: number): boolean {
    return !['dead', 'retired'].includes(this.state(member, nowMs))
  }

  address(number: number): ServerAddress | null {
    const member = this.#members.get(number)
    if (!member) return null
    const { name, host, port, publicKey } = member
    return { number, name, host, port, publicKey }
  }

  byPublicKey(publicKey: string): Member | undefined {
    return this.all.find((member) => member.publicKey === publicKey)
  }

  /** Somebody could not use it just now. */
  avoid(number: number, untilMs: number): void {
    const member = this.#members.get(number)
    if (member) member.avoidedUntilMs = Math.max(member.avoidedUntilMs, untilMs)
  }
}
