// bench/flood-cluster-child.ts — everything that strangers can throw at five nodes, from 200 addresses
import { createSocket, type Socket } from 'node:dgram'
import { systemClock, systemRandom } from '../protocol/clock.ts'
import { createEndpointOn } from '../protocol/endpoint.ts'
import type { Suite } from '../protocol/protection/suite.ts'
import type { PeerAddress, Session, TransportStream } from '../protocol/types.ts'
import { openUdpPort } from '../protocol/udp/udp-port.ts'
import { keyPairFrom } from '../src/identity/index.ts'
import type { Words } from './flood-cast.ts'
import { gapSuite } from './flood-gap.ts'
import {
  hello,
  helloThatOpens,
  noise,
  random,
  rubbish,
  unknownConnection,
} from './flood-packets.ts'

export type Packets = 'noise' | 'rubbish' | 'wrong-key' | 'hello' | 'unknown-connection'
export type Strangers = 'drip' | 'stop-short' | 'gap'
export interface Order {
  readonly kind?: Packets | Strangers | 'none'
  /** Datagrams, to each node. */
  readonly perSecond?: number
}

const SOURCES = 200
const BATCH_MS = 5
/** Handshakes that could be gone on with; in between come such as hold nothing. */
const OPENING_HELLOS = 1_500
const STRANGERS = 100
const REDIAL_MS = 200
const DRIP_MS = 20
const STREAMS = { drip: 64, 'stop-short': 256, gap: 4 } as const
/** Just below what waits for no room (src/rpc/header-room.ts). */
const HEADER_BYTES = 60_000
/** Sent again and again: a stream does not copy what it is given. */
const ZEROS = Buffer.alloc(16 * 2 ** 20)

process.once('disconnect', () => process.exit(0))
const say = (words: Words): void => void process.send?.(words)

const [prefix = '', places = '[]'] = process.argv.slice(2)
const targets: PeerAddress[] = JSON.parse(places).map(
  (place: { host: string; port: number; publicKey: string }) => ({
    ...place,
    publicKey: Buffer.from(place.publicKey, 'hex'),
  }),
)
const sourceOf = (index: number): string => `${prefix}.${index >> 6}.${(index & 63) + 1}`
const counts = { sent: 0, sessions: 0 }
let endStrangers: (() => Promise<void>) | null = null
const datagrams = await datagramFlood()
process.on('message', async (order: Order) => {
  const { kind, perSecond = 0 } = order
  if (kind !== undefined) {
    datagrams.stop()
    await endStrangers?.()
    endStrangers = null
  }
  if (kind === 'drip' || kind === 'stop-short' || kind === 'gap') endStrangers = strangers(kind)
  else if (kind !== undefined && kind !== 'none') datagrams.begin(kind, perSecond)
  say({ ...counts })
  counts.sent = 0
  counts.sessions = 0
})
say({ ready: 1 })

async function datagramFlood(): Promise<{
  begin: (kind: Packets, perSecond: number) => void
  stop: () => void
}> {
  const sockets = await Promise.all(Array.from({ length: SOURCES }, (_, i) => openAt(sourceOf(i))))
  const makers = targets.map(({ publicKey }) => makersOf(publicKey))
  let timer: NodeJS.Timeout | null = null
  const begin = (kind: Packets, perSecond: number): void => {
    let debt = 0
    let lastMs = performance.now()
    timer = setInterval(() => {
      const nowMs = performance.now()
      debt = Math.min(perSecond, debt + ((nowMs - lastMs) / 1_000) * perSecond)
      lastMs = nowMs
      const untilMs = nowMs + 4 * BATCH_MS
      for (; debt >= 1 && performance.now() < untilMs; debt -= 1) {
        for (const [index, { port, host }] of targets.entries()) {
          const packet = makers[index]?.[kind]()
          if (packet) sockets[counts.sent % SOURCES]?.send(packet, port, host)
          counts.sent += 1
        }
      }
    }, BATCH_MS)
  }
  return { begin, stop: () => clearInterval(timer ?? undefined) }
}

function makersOf(serverKey: Uint8Array): Record<Packets, () => Buffer> {
  const otherKey = keyPairFrom(random(32)).publicKey
  const opening = Array.from({ length: OPENING_HELLOS }, () => helloThatOpens(serverKey))
  let next = 0
  return {
    noise,
    rubbish,
    'wrong-key': () => hello(otherKey),
    'unknown-connection': unknownConnection,
    hello: () => {
      next += 1
      const known = next % 2 === 0 ? opening[(next >> 1) % OPENING_HELLOS] : undefined
      return known ?? hello(serverKey)
    },
  }
}

function openAt(address: string): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.on('error', () => undefined)
  return new Promise((resolve) => socket.bind(0, address, () => resolve(socket)))
}

/** A hundred hosts, each of which keeps a connection with every node, or dials it anew. */
function strangers(kind: Strangers): () => Promise<void> {
  let isOver = false
  const all = Array.from({ length: STRANGERS }, async (_, index) => {
    const port = await openUdpPort({ host: sourceOf(index), port: 0 })
    const suites: Suite[] | undefined = kind === 'gap' ? [gapSuite] : undefined
    const identity = { ...keyPairFrom(random(32)), certificate: new Uint8Array(0) }
    const options = { identity, mtuBytes: port.ethernetBytesMax, ...(suites && { suites }) }
    const endpoint = createEndpointOn(port, systemClock, systemRandom, options)
    const visits = targets.map(async (target) => {
      while (!isOver) {
        const session = await endpoint.connect(target).catch(() => null)
        if (session) {
          counts.sessions += 1
          visit(session, kind)
          await session.closed
        }
        await new Promise((wake) => setTimeout(wake, REDIAL_MS))
      }
    })
    return { endpoint, visits }
  })
  return async () => {
    isOver = true
    const strangers = await Promise.all(all)
    await Promise.all(strangers.map(({ endpoint }) => endpoint.close({ drainMs: 0 })))
  }
}

function visit(session: Session, kind: Strangers): void {
  const streams = Array.from({ length: STREAMS[kind] }, () => openStream(session))
  const head = Buffer.alloc(4)
  head.writeUInt32LE(HEADER_BYTES)
  if (kind === 'gap') for (const stream of streams) stream?.write(ZEROS)
  else for (const stream of streams) stream?.write(head)
  if (kind === 'stop-short') {
    for (const stream of streams) stream?.write(ZEROS.subarray(0, HEADER_BYTES - 1))
  }
  if (kind !== 'drip') return
  const byte = Buffer.alloc(1)
  const timer = setInterval(() => {
    for (const stream of streams) if (stream?.writable) stream.write(byte)
  }, DRIP_MS)
  void session.closed.then(() => clearInterval(timer))
}

function openStream(session: Session): TransportStream | null {
  if (!session.isOpen) return null
  const stream = session.openStream()
  stream.on('error', () => undefined)
  stream.resume()
  return stream
}
