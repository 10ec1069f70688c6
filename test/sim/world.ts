// test/sim/world.ts — a whole network in one process and in virtual time: how is it built and run?
import { crc32 } from 'node:zlib'
import type { EndpointOptions } from '../../protocol/connection/api.ts'
import { createCoreEndpoint } from '../../protocol/connection/endpoint.ts'
import { keysFrom } from '../../protocol/handshake/noise.ts'
import type { Address } from '../../protocol/types.ts'
import { CheckedEndpoint } from './checked-endpoint.ts'
import { Host, type HostOptions } from './host.ts'
import { Link, type LinkCounts, type LinkOptions } from './link.ts'
import { Party } from './party.ts'
import { plainSuite } from './plain-suite.ts'
import { Random } from './random.ts'
import { Schedule } from './schedule.ts'

const MTU_BYTES = 1_472
/** More happenings than this without an end is a livelock. */
const STEPS_MAX = 30_000_000
/** How long closed connections may linger before their memory must be free. */
const LINGER_MS_MAX = 120_000

export interface PartyOptions {
  readonly host?: Partial<HostOptions>
  readonly endpoint?: Partial<EndpointOptions>
  /** Default 10.0.0.n. */
  readonly address?: string
}

export interface Report extends LinkCounts {
  retransmittedBytes: number
  spurious: number
  probes: number
  crcErrors: number
  eagain: number
  virtualMs: number
}

export class World {
  readonly seed: number
  readonly schedule = new Schedule()
  readonly parties: Party[] = []
  readonly links: Link[] = []
  /** Grows with every datagram sent: equal for equal seeds, to the last bit. */
  traceHash = 0
  readonly #linkOptions: Partial<LinkOptions>
  readonly #byAddress = new Map<string, Party>()
  /** Where others see each party. */
  readonly #outside = new Map<Party, Address>()
  readonly #linkByEnds = new Map<string, Link>()
  readonly #shared = new Map<string, Link>()
  readonly #complaints: string[] = []
  readonly #stamp = Buffer.alloc(8)
  #steps = 0
  #endedMs: number | null = null

  /** `link` holds for every direction between two parties unless changed in `linkBetween`. */
  constructor(seed: number, link: Partial<LinkOptions> = {}) {
    this.seed = seed
    this.#linkOptions = link
  }

  get nowMs(): number {
    return this.schedule.nowMs
  }

  addParty(name: string, options: PartyOptions = {}): Party {
    const number = this.parties.length + 1
    const address = { host: options.address ?? `10.0.0.${number}`, port: 7_000 + number }
    const host = new Host(address, options.host ?? {}, {
      schedule: this.schedule,
      random: new Random(this.seed, `host ${name}`),
      send: (bytes, to) => this.#transmit(party, to, bytes),
    })
    const random = new Random(this.seed, `endpoint ${name}`)
    const keys = keysFrom(new Random(this.seed, `key ${name}`).bytes(32))
    const identity = { ...keys, certificate: new Uint8Array(0) }
    const complain = (what: string): void => this.complain(`${name}: ${what}`)
    const core = createCoreEndpoint({
      mtuBytes: MTU_BYTES,
      suites: [plainSuite],
      setsDontFragment: true,
      ...options.endpoint,
      identity,
      random: (lengthBytes) => random.bytes(lengthBytes),
    })
    const endpoint = new CheckedEndpoint(core, complain)
    const nowMs = (): number => this.nowMs
    const party: Party = new Party({ name, host, endpoint, identity, nowMs, complain })
    this.parties.push(party)
    this.#byAddress.set(keyOf(address), party)
    this.#outside.set(party, address)
    return party
  }

  /** As a NAT that forgets: from now on others see the party at another address, and what they send
   * to the old one reaches nobody. */
  rebind(party: Party, to: Partial<Address>): void {
    const before = this.#outside.get(party) ?? party.host.address
    const now = { ...before, ...to }
    this.#byAddress.delete(keyOf(before))
    this.#byAddress.set(keyOf(now), party)
    this.#outside.set(party, now)
  }

  /** A datagram that nobody of this world sent: a forgery with any sender. */
  inject(to: Party, bytes: Uint8Array, from: Address): void {
    this.schedule.after(0, () => to.host.receive(bytes, from))
  }

  /** Everything sent so far to an address where nobody is. */
  readonly strayBytes = new Map<string, number>()

  /** The direction from one party to another. */
  linkBetween(from: Party, to: Party): Link {
    const ends = `${from.name}>${to.name}`
    const known = this.#linkByEnds.get(ends)
    if (known) return known
    const link = new Link(this.#linkOptions, {
      schedule: this.schedule,
      random: new Random(this.seed, `link ${ends}`),
      deliver: (bytes) => this.#deliver(from, to, bytes),
    })
    this.links.push(link)
    this.#linkByEnds.set(ends, link)
    return link
  }

  /** From now on what `from` sends to `to` passes this link, beside what passes it anyway. */
  share(link: Link, from: Party, to: Party): void {
    this.#shared.set(`${from.name}>${to.name}`, link)
  }

  at(atMs: number, act: () => void): void {
    this.schedule.at(atMs, act)
  }

  /** Runs until `isDone`; false when that was not within `forMs`. Throws what was complained of. */
  runUntil(isDone: () => boolean, forMs: number): boolean {
    const deadlineMs = this.nowMs + forMs
    while (!isDone()) {
      if (!this.schedule.step(deadlineMs)) return isDone()
      this.#steps += 1
      if (this.#steps > STEPS_MAX) this.complain(`no end after ${STEPS_MAX} steps`)
      if (this.#complaints.length > 0) this.#fail()
    }
    return true
  }

  run(forMs: number): void {
    this.runUntil(() => false, forMs)
  }

  complain(what: string): void {
    this.#complaints.push(`${what} (at ${this.nowMs.toFixed(3)} ms)`)
  }

  /** Closes what is open, and sees that all memory is given back. */
  finish(): void {
    for (const party of this.parties) {
      for (const connection of party.connections) {
        if (!party.endings.has(connection)) party.close(connection)
      }
    }
    const isEmpty = (): boolean => this.parties.every((p) => p.endpoint.connectionCount === 0)
    if (!this.runUntil(isEmpty, LINGER_MS_MAX)) this.complain('connections outlive their close')
    this.#endedMs = this.nowMs
    this.#checkIdle()
    if (this.#complaints.length > 0) this.#fail()
  }

  report(): Report {
    const report: Report = {
      sent: 0,
      sentBytes: 0,
      delivered: 0,
      dropped: 0,
      overflowed: 0,
      duplicated: 0,
      corrupted: 0,
      reordered: 0,
      queueBytesMax: 0,
      retransmittedBytes: 0,
      spurious: 0,
      probes: 0,
      crcErrors: 0,
      eagain: 0,
      virtualMs: this.#endedMs ?? this.nowMs,
    }
    for (const { counts } of this.links) {
      for (const name of Object.keys(counts) as (keyof LinkCounts)[]) report[name] += counts[name]
    }
    for (const party of this.parties) {
      report.crcErrors += party.endpoint.stats.crcErrors
      report.eagain += party.host.counts.eagain
      report.dropped += party.host.counts.overflowed
      for (const connection of party.connections) {
        const stats = connection.stats()
        report.retransmittedBytes += stats.bytesRetransmitted
        report.spurious += stats.spuriousLosses
        report.probes += stats.ptoCount
      }
    }
    return report
  }

  #transmit(from: Party, to: Address, bytes: Uint8Array): void {
    const { port } = from.host.address
    this.#stamp.writeDoubleLE(this.nowMs)
    this.traceHash = crc32(bytes, crc32(this.#stamp, (this.traceHash ^ port) >>> 0))
    const target = this.#byAddress.get(keyOf(to))
    const shared = target && this.#shared.get(`${from.name}>${target.name}`)
    if (shared) shared.send(bytes, (arriving) => this.#deliver(from, target, arriving))
    else if (target) this.linkBetween(from, target).send(bytes)
    else this.strayBytes.set(keyOf(to), (this.strayBytes.get(keyOf(to)) ?? 0) + bytes.length)
  }

  #deliver(from: Party, to: Party, bytes: Uint8Array): void {
    to.host.receive(bytes, this.#outside.get(from) ?? from.host.address)
  }

  /** A world without connections must come to rest. */
  #checkIdle(): void {
    const before = this.parties.map((party) => party.host.counts.turns)
    this.run(60_000)
    for (const [index, party] of this.parties.entries()) {
      const turns = party.host.counts.turns - before[index]!
      if (turns > 10) this.complain(`${party.name}: ${turns} turns of an idle loop`)
    }
  }

  #fail(): never {
    throw new Error(`seed ${this.seed}: ${this.#complaints.join('; ')}`)
  }
}

const keyOf = (address: Address): string => `${address.host}:${address.port}`
