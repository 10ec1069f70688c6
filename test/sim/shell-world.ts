// test/sim/shell-world.ts — how do sessions and Node streams run over a simulated network?
//
// Streams go on in ticks and microtasks, which virtual time must wait for: after every happening
// the real event loop turns once. Slower than the core alone, and still many times real time.
import { createEndpointOn } from '../../protocol/endpoint.ts'
import { keysFrom } from '../../protocol/handshake/noise.ts'
import type { LocalIdentity, TransportEndpoint } from '../../protocol/types.ts'
import { Host } from './host.ts'
import { Link, type LinkOptions } from './link.ts'
import { Random } from './random.ts'
import { Schedule } from './schedule.ts'

const MTU_BYTES = 1_472

export interface ShellNode {
  readonly endpoint: TransportEndpoint
  readonly identity: LocalIdentity
  readonly host: Host
}

export class ShellWorld {
  readonly schedule = new Schedule()
  readonly links = new Map<string, Link>()
  readonly #seed: number
  readonly #options: Partial<LinkOptions>
  readonly #nodes = new Map<string, ShellNode>()

  constructor(seed: number, options: Partial<LinkOptions>) {
    this.#seed = seed
    this.#options = options
  }

  addNode(name: string): ShellNode {
    const number = this.#nodes.size + 1
    const address = { host: `10.0.0.${number}`, port: 7_000 + number }
    const host: Host = new Host(
      address,
      {},
      {
        schedule: this.schedule,
        random: new Random(this.#seed, `host ${name}`),
        send: (bytes, to) => {
          const target = this.#nodes.get(`${to.host}:${to.port}`)
          if (target) this.#link(host, target.host).send(bytes)
        },
      },
    )
    const random = new Random(this.#seed, `endpoint ${name}`)
    const keys = keysFrom(new Random(this.#seed, `key ${name}`).bytes(32))
    const identity = { ...keys, certificate: new Uint8Array(0) }
    const draw = (lengthBytes: number): Uint8Array => random.bytes(lengthBytes)
    const options = { identity, mtuBytes: MTU_BYTES }
    const endpoint = createEndpointOn(host.port, host.clock, draw, options)
    const node = { endpoint, identity, host }
    this.#nodes.set(`${address.host}:${address.port}`, node)
    return node
  }

  /** Lets the world go on until `work` has settled; gives up after `forMs` of virtual time. */
  async during<T>(work: Promise<T>, forMs = 600_000): Promise<T> {
    let isSettled = false
    const settled = work.finally(() => {
      isSettled = true
    })
    settled.catch(() => {})
    const deadlineMs = this.schedule.nowMs + forMs
    await turn()
    while (!isSettled) {
      if (!this.schedule.step(deadlineMs)) throw new Error(`nothing for ${forMs} virtual ms`)
      await turn()
    }
    return settled
  }

  async pass(forMs: number): Promise<void> {
    const deadlineMs = this.schedule.nowMs + forMs
    await turn()
    while (this.schedule.step(deadlineMs)) await turn()
  }

  get dropped(): number {
    return [...this.links.values()].reduce((sum, link) => sum + link.counts.dropped, 0)
  }

  #link(from: Host, to: Host): Link {
    const ends = `${from.address.host}>${to.address.host}`
    const known = this.links.get(ends)
    if (known) return known
    const link = new Link(this.#options, {
      schedule: this.schedule,
      random: new Random(this.#seed, `link ${ends}`),
      deliver: (bytes) => to.receive(bytes, from.address),
    })
    this.links.set(ends, link)
    return link
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
