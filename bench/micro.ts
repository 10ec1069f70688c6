// bench/micro.ts — how many packets does one core build, seal, open and parse, with no socket at all?
//
//   npm run bench -- --micro [--record]
//
// Two endpoints of the core in one process, joined in memory, on a clock that goes on by a step per
// turn: frames, packets, ciphers, ACKs, recovery, congestion control and streams, and nothing of the
// kernel. What other programs do to caches and clocks is small here, so that a change of some percent
// shows. It informs: no test depends on it.
import { readFileSync, writeFileSync } from 'node:fs'
import { systemRandom } from '../protocol/clock.ts'
import type { Connection, Endpoint, Transmit } from '../protocol/connection/api.ts'
import { createCoreEndpoint } from '../protocol/connection/endpoint.ts'
import { keysFrom } from '../protocol/index.ts'
import { newSlab } from '../protocol/native/slab.ts'
import { suitesOfThisMachine } from '../protocol/protection/suites.ts'
import { median } from './median.ts'
import { table } from './table.ts'

const RECORD = new URL('./micro.json', import.meta.url)
const ROUNDS = 5
const WARM_UP_MS = 500
const ROUND_MS = 700
/** The clock's step: the round trip of the joined endpoints is a few of them. */
const STEP_MS = 0.1
const TURN_TRANSMITS = 16
const BLOCK = Buffer.alloc(64 * 1024, 'holdfast')
const TRANSMIT_BYTES = 65_536

const CASES = [
  { name: '1472 bytes, trains, CRC full', mtuBytes: 1_472, trainSegmentsMax: 44, crc: 'full' },
  { name: '1472 bytes, trains, CRC header', mtuBytes: 1_472, trainSegmentsMax: 44, crc: 'header' },
  { name: '1472 bytes, one at a time', mtuBytes: 1_472, trainSegmentsMax: 1, crc: 'full' },
  { name: '65507 bytes, CRC full', mtuBytes: 65_507, trainSegmentsMax: 1, crc: 'full' },
] as const

export interface MicroRow {
  readonly name: string
  /** DATA packets, and their content, per second of one core; both ends' work is in it. */
  readonly packetsPerSecond: number
  readonly megabytesPerSecond: number
  /** Packets per second when it was last recorded; null: never. */
  readonly recorded: number | null
}

interface Recorded {
  readonly machine: string
  readonly date: string
  readonly packetsPerSecond: Readonly<Record<string, number>>
}

export function benchMicro({ quick = false } = {}): MicroRow[] {
  const known = readRecord()?.packetsPerSecond ?? {}
  return CASES.map((setting) => {
    const rounds: { packets: number; bytes: number }[] = []
    const pair = new JoinedPair(setting)
    pair.run(WARM_UP_MS)
    for (let round = 0; round < (quick ? 2 : ROUNDS); round += 1) rounds.push(pair.run(ROUND_MS))
    return {
      name: setting.name,
      packetsPerSecond: Math.round(median(rounds.map(({ packets }) => packets))),
      megabytesPerSecond: median(rounds.map(({ bytes }) => bytes)) / 1e6,
      recorded: known[setting.name] ?? null,
    }
  })
}

const identityOf = (number: number) => ({
  ...keysFrom(new Uint8Array(32).fill(number)),
  certificate: new Uint8Array(0),
})

/** On loopback addresses the search for the path's MTU goes up to what a datagram can hold. */
const NEAR = { host: '127.0.0.1', port: 1 }
const FAR = { host: '127.0.0.1', port: 2 }

class JoinedPair {
  readonly #near: Endpoint
  readonly #far: Endpoint
  readonly #out: Transmit = {
    // A view of memory that native ciphers work in, as the driver's is.
    bytes: new Uint8Array(newSlab(TRANSMIT_BYTES).buffer, 0, TRANSMIT_BYTES),
    lengthBytes: 0,
    segmentBytes: 0,
    to: FAR,
  }
  readonly #sender: Connection
  #streamId = -1
  #nowMs = 1_000
  #readBytes = 0

  constructor(setting: (typeof CASES)[number]) {
    const { mtuBytes, trainSegmentsMax, crc } = setting
    const suites = suitesOfThisMachine()
    const options = { mtuBytes, trainSegmentsMax, crc, suites, random: systemRandom }
    this.#near = createCoreEndpoint({ ...options, identity: identityOf(1) })
    this.#far = createCoreEndpoint({ ...options, identity: identityOf(2) })
    const to = { ...FAR, publicKey: identityOf(2).publicKey }
    this.#sender = this.#near.connect(this.#nowMs, to)
    for (let turn = 0; this.#streamId < 0; turn += 1) {
      if (turn > 1_000) throw new Error('the joined endpoints do not connect')
      this.#turn()
      if (this.#sender.state === 'open') this.#streamId = this.#sender.openStream('uni', 5) ?? -1
    }
  }

  /** Per second of this process's CPU time. */
  run(forMs: number): { packets: number; bytes: number } {
    const cpu = process.cpuUsage()
    const startMs = performance.now()
    const packets = this.#sender.stats().packetsSent
    const bytes = this.#readBytes
    while (performance.now() - startMs < forMs) for (let i = 0; i < 20; i += 1) this.#turn()
    const { user, system } = process.cpuUsage(cpu)
    const seconds = (user + system) / 1e6
    return {
      packets: (this.#sender.stats().packetsSent - packets) / seconds,
      bytes: (this.#readBytes - bytes) / seconds,
    }
  }

  #turn(): void {
    this.#nowMs += STEP_MS
    if (this.#streamId >= 0) {
      while (this.#sender.write(this.#streamId, BLOCK) === BLOCK.length);
    }
    this.#carry(this.#near, this.#far, NEAR)
    this.#carry(this.#far, this.#near, FAR)
  }

  #carry(from: Endpoint, to: Endpoint, address: typeof NEAR): void {
    const out = this.#out
    if (from.pollTimeout() <= this.#nowMs) from.handleTimeout(this.#nowMs)
    for (let count = 0; count < TURN_TRANSMITS; count += 1) {
      if (!from.pollTransmit(this.#nowMs, out)) break
      const datagrams = out.bytes.subarray(0, out.lengthBytes)
      to.handleDatagram(this.#nowMs, datagrams, address, out.segmentBytes)
    }
    this.#handleEvents(from)
    this.#handleEvents(to)
  }

  #handleEvents(endpoint: Endpoint): void {
    for (;;) {
      const event = endpoint.pollEvent()
      if (event === null) return
      if (event.type === 'closed') throw new Error(`closed: ${event.error?.message}`)
      if (event.type !== 'stream-readable') continue
      for (;;) {
        const bytes = event.connection.read(event.streamId, BLOCK.length)
        if (bytes === null) break
        this.#readBytes += bytes.length
      }
    }
  }
}

function readRecord(): Recorded | null {
  try {
    return JSON.parse(readFileSync(RECORD, 'utf8'))
  } catch {
    return null
  }
}

export function recordMicro(rows: readonly MicroRow[], machine: string, date: string): void {
  const packetsPerSecond = Object.fromEntries(rows.map((row) => [row.name, row.packetsPerSecond]))
  const record: Recorded = { machine, date, packetsPerSecond }
  writeFileSync(RECORD, `${JSON.stringify(record, null, 2)}\n`)
}

export function formatMicro(rows: readonly MicroRow[]): string {
  const record = readRecord()
  const head = ['core to core, one process', 'packets/s', 'MB/s', 'recorded', 'now/then']
  const lines = rows.map((row) => [
    row.name,
    String(row.packetsPerSecond),
    row.megabytesPerSecond.toFixed(0),
    row.recorded === null ? '–' : String(row.recorded),
    row.recorded === null ? '–' : (row.packetsPerSecond / row.recorded).toFixed(2),
  ])
  const note = record ? `\nrecorded ${record.date} on ${record.machine}` : ''
  return `${table([head, ...lines])}${note}`
}
