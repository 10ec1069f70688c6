// test/protocol/scenarios/stage.ts — how does one scenario run, and what does it have to show?
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection } from '../../../protocol/connection/api.ts'
import { type FrameSink, parseFrames } from '../../../protocol/wire/frames.ts'
import type { Link, LinkOptions } from '../../sim/link.ts'
import type { Flow, FlowOptions, Party } from '../../sim/party.ts'
import { chosenSeed } from '../../sim/random.ts'
import { type PartyOptions, type Report, World } from '../../sim/world.ts'

const HEADER_BYTES = 24
const TAG_BYTES = 16
const CONNECT_MS_MAX = 10_000
export const MIB = 1024 * 1024

export interface Scenario {
  readonly name: string
  readonly link?: Partial<LinkOptions>
  readonly client?: PartyOptions
  readonly server?: PartyOptions
  /** Plays it and asserts what a user would lose. */
  readonly act: (stage: Stage) => void
  /** Did the trouble that it is about really happen? A scenario without its trouble fails. */
  readonly happened: (report: Report, stage: Stage) => boolean
}

/** One suite, one test per scenario, one line of what happened each. */
export function runScenarios(area: string, scenarios: readonly Scenario[]): void {
  const seed = chosenSeed()
  const test = suite(`protocol: ${area}, replay with SEED=${seed}`)
  for (const scenario of scenarios) {
    test(scenario.name, () => {
      const startMs = performance.now()
      const stage = new Stage(seed, scenario)
      try {
        scenario.act(stage)
        stage.world.finish()
      } catch (error) {
        console.error(`${scenario.name}: failed with SEED=${seed}`)
        throw error
      }
      const report = stage.world.report()
      console.log(
        `${describe(scenario.name, report)}, ${Math.round(performance.now() - startMs)} ms real`,
      )
      assert.ok(scenario.happened(report, stage), `its trouble never came, with SEED=${seed}`)
    })
  }
  test.run()
}

function describe(name: string, r: Report): string {
  const what = [
    `sent ${r.sent}`,
    `dropped ${r.dropped}`,
    `reordered ${r.reordered}`,
    `duplicated ${r.duplicated}`,
    `corrupted ${r.corrupted}`,
    `retransmitted ${Math.ceil(r.retransmittedBytes / 1024)} KiB`,
    `probes ${r.probes}`,
    `${(r.virtualMs / 1000).toFixed(1)} virtual s`,
  ]
  return `  ${name}: ${what.join(', ')}`
}

/** A client and a server; more may join. */
export class Stage {
  readonly world: World
  readonly client: Party
  readonly server: Party
  /** From client to server, and back. */
  readonly up: Link
  readonly down: Link

  constructor(seed: number, scenario: Pick<Scenario, 'link' | 'client' | 'server'>) {
    this.world = new World(seed, scenario.link)
    this.client = this.world.addParty('client', scenario.client)
    this.server = this.world.addParty('server', scenario.server)
    this.up = this.world.linkBetween(this.client, this.server)
    this.down = this.world.linkBetween(this.server, this.client)
  }

  get nowMs(): number {
    return this.world.nowMs
  }

  /** Until the client may send. */
  dial(forMs: number): Connection {
    const connection = this.client.connect(this.server)
    this.waitFor('the handshake', () => connection.state === 'open', forMs)
    return connection
  }

  /** Until both sides have the session. */
  connect(forMs = CONNECT_MS_MAX): Connection {
    const before = this.server.connections.length
    const connection = this.dial(forMs)
    this.waitFor('the session', () => this.server.connections.length > before, forMs)
    return connection
  }

  send(connection: Connection, options: FlowOptions): Flow {
    const flow = this.client.send(connection, options)
    assert.ok(flow, 'no stream could be opened')
    return flow
  }

  /** Sends and waits until all of it was read and acknowledged; milliseconds it took. */
  transfer(connection: Connection, totalBytes: number, forMs: number): number {
    const startMs = this.nowMs
    const before = this.server.receivedBytes
    const flow = this.send(connection, { totalBytes })
    this.waitFor(`${totalBytes} bytes`, () => flow.doneMs !== null, forMs)
    assert.is(this.server.receivedBytes - before, totalBytes, 'bytes read by the server')
    return this.nowMs - startMs
  }

  waitFor(what: string, isDone: () => boolean, forMs: number): void {
    if (this.world.runUntil(isDone, forMs)) return
    const states = this.world.parties.map((party) => {
      const stats = party.connections.map((c) => `${c.state} ${JSON.stringify(c.stats())}`)
      const ends = [...party.endings.values()].map(({ error, atMs }) => `${error?.message} ${atMs}`)
      return `${party.name}: read ${party.receivedBytes}; ${stats.join('; ')}; ends: ${ends}`
    })
    throw new Error(`no ${what} within ${forMs} virtual ms\n${states.join('\n')}`)
  }
}

/** Which packet is it? Header byte 1: version(3) type(4) key phase(1). */
export const typeOf = (packet: Uint8Array): number => (packet[1]! >> 1) & 15

export type FrameName =
  | 'ping'
  | 'ack'
  | 'ack-frequency'
  | 'fin'
  | 'stream'
  | 'max-data'
  | 'max-stream-data'
  | 'data-blocked'
  | 'stream-data-blocked'
  | 'close'
  | 'handshake-done'
  | 'reset'
  | 'stop'
  | 'drain'

/** The frames of a DATA packet under the plain suite. */
export function framesOf(packet: Uint8Array): FrameName[] {
  const names: FrameName[] = []
  const note = (name: FrameName) => (): void => {
    names.push(name)
  }
  const sink: FrameSink = {
    handlePing: note('ping'),
    handleAck: note('ack'),
    handleAckFrequency: note('ack-frequency'),
    handleImmediateAck: () => {},
    handleStream: (_id, _offset, _start, _end, fin) => names.push(fin ? 'fin' : 'stream'),
    handleResetStream: note('reset'),
    handleStopSending: note('stop'),
    handleMaxData: note('max-data'),
    handleMaxStreamData: note('max-stream-data'),
    handleMaxStreams: () => {},
    handleDataBlocked: note('data-blocked'),
    handleStreamDataBlocked: note('stream-data-blocked'),
    handleStreamsBlocked: () => {},
    handlePathChallenge: () => {},
    handlePathResponse: () => {},
    handleNewCid: () => {},
    handleRetireCid: () => {},
    handleClose: note('close'),
    handleHandshakeDone: note('handshake-done'),
    handleDrain: note('drain'),
    handleStreamPriority: () => {},
  }
  const buffer = Buffer.from(packet.buffer, packet.byteOffset, packet.length)
  parseFrames(buffer, HEADER_BYTES, packet.length - TAG_BYTES, sink)
  return names
}

/** Drops the first `count` packets that are like this. */
export function dropFirst(
  count: number,
  isLike: (packet: Uint8Array) => boolean,
): (packet: Uint8Array) => boolean {
  let left = count
  return (packet) => {
    if (left === 0 || !isLike(packet)) return false
    left -= 1
    return true
  }
}

/** Drops the first `count` DATA packets with such a frame. */
export const dropFrames = (count: number, name: FrameName): ((packet: Uint8Array) => boolean) =>
  dropFirst(count, (packet) => typeOf(packet) === PACKET_DATA && framesOf(packet).includes(name))

export const PACKET_HELLO = 0
export const PACKET_ACCEPT = 2
export const PACKET_DATA = 3
