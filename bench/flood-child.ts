// bench/flood-child.ts — one part in a flood: the server, its real clients, or the flood itself
import { createSocket, type Socket } from 'node:dgram'
import { createEndpoint, type Session } from '../protocol/index.ts'
import { keyPairFrom } from '../src/identity/index.ts'
import type { Words } from './flood-cast.ts'
import { hello, noise, unknownConnection } from './flood-packets.ts'

export type Kind = 'hello' | 'hello-unknown-key' | 'unknown-connection' | 'noise'

const CLIENTS = 50
/** All clients together: a 100 Mbit/s link that is full. */
const OFFERED_BYTES_PER_SECOND = 12_500_000
const TICK_MS = 20
const SOCKETS = 200
const BATCH_MS = 5

const identityOf = (number: number) => ({
  ...keyPairFrom(new Uint8Array(32).fill(number)),
  certificate: new Uint8Array(0),
})
const say = (words: Words): void => void process.send?.(words)

process.once('disconnect', () => process.exit(0))

const [role = '', port = '', host = '', source = ''] = process.argv.slice(2)
const PORT = Number(port)
if (role === 'server') await serve()
else if (role === 'clients') await beClients()
else await flood()

/** Answers each message with what happened since the last one. */
async function serve(): Promise<void> {
  const endpoint = await createEndpoint({
    bind: { host: '0.0.0.0', port: PORT },
    identity: identityOf(2),
  })
  let readBytes = 0
  endpoint.onSession((session) =>
    session.onStream((stream) => {
      stream.on('data', (bytes: Buffer) => {
        readBytes += bytes.length
      })
      stream.on('end', () => stream.end())
    }),
  )
  let cpu = process.cpuUsage()
  process.on('message', () => {
    const { user, system } = process.cpuUsage(cpu)
    cpu = process.cpuUsage()
    const { socket, ...strangers } = endpoint.stats()
    say({
      readBytes,
      cpuUs: user + system,
      rssBytes: process.memoryUsage.rss(),
      ...strangers,
    })
    readBytes = 0
  })
  say({ ready: 1 })
}

/** Fifty programs of their own, as far as the server can tell, that send at a steady rate; one
 * more connects again and again. */
async function beClients(): Promise<void> {
  const to = { host, port: PORT, publicKey: identityOf(2).publicKey }
  const bind = { host: '0.0.0.0', port: 0 }
  const streams = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const endpoint = await createEndpoint({ bind, identity: identityOf(10 + index) })
      return (await endpoint.connect(to)).openStream({ urgency: 5 })
    }),
  )
  const piece = Buffer.alloc((OFFERED_BYTES_PER_SECOND * TICK_MS) / 1_000 / CLIENTS, 7)
  let debt = 0
  let lastMs = performance.now()
  setInterval(() => {
    const nowMs = performance.now()
    debt += (nowMs - lastMs) / TICK_MS
    lastMs = nowMs
    for (; debt >= 1; debt -= 1) {
      for (const stream of streams) if (!stream.writableNeedDrain) stream.write(piece)
    }
  }, TICK_MS)
  let handshakes = 0
  let handshakeMs = 0
  void connectForEver(to, (tookMs) => {
    handshakes += 1
    handshakeMs += tookMs
  })
  process.on('message', () => {
    say({ handshakes, handshakeMs: handshakes === 0 ? 0 : handshakeMs / handshakes })
    handshakes = 0
    handshakeMs = 0
  })
  say({ ready: 1 })
}

async function connectForEver(
  to: { host: string; port: number; publicKey: Uint8Array },
  onDone: (tookMs: number) => void,
): Promise<void> {
  const endpoint = await createEndpoint({
    bind: { host: '0.0.0.0', port: 0 },
    identity: identityOf(9),
  })
  for (;;) {
    const startMs = performance.now()
    const session: Session | null = await endpoint.connect(to).catch(() => null)
    if (session) onDone(performance.now() - startMs)
    await session?.close({ drainMs: 0 })
    await new Promise((wake) => setTimeout(wake, 20))
  }
}

/** Datagrams with other people's addresses as their sender; what comes back for those is counted. */
async function flood(): Promise<void> {
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, (_, index) => openAt(`${source}.${index >> 6}.${index & 63}`)),
  )
  let backBytes = 0
  for (const socket of sockets) {
    socket.on('message', (bytes) => {
      backBytes += bytes.length
    })
    socket.on('error', () => {})
  }
  let perSecond = 0
  let make: () => Buffer = noise
  let sent = 0
  let sentBytes = 0
  let debt = 0
  let lastMs = performance.now()
  setInterval(() => {
    const nowMs = performance.now()
    debt = Math.min(perSecond, debt + ((nowMs - lastMs) / 1_000) * perSecond)
    lastMs = nowMs
    const untilMs = nowMs + 4 * BATCH_MS
    for (; debt >= 1 && performance.now() < untilMs; debt -= 1) {
      const packet = make()
      sockets[sent % SOCKETS]?.send(packet, PORT, host)
      sent += 1
      sentBytes += packet.length
    }
  }, BATCH_MS)
  process.on('message', (order: { perSecond?: number; kind?: Kind }) => {
    say({ sent, sentBytes, backBytes })
    sent = 0
    sentBytes = 0
    backBytes = 0
    if (order.kind) make = MAKERS[order.kind]
    if (order.perSecond !== undefined) perSecond = order.perSecond
  })
  say({ ready: 1 })
}

function openAt(address: string): Promise<Socket> {
  const socket = createSocket('udp4')
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(0, address, () => resolve(socket))
  })
}

const SERVER_KEY = identityOf(2).publicKey
const OTHER_KEY = identityOf(3).publicKey
const MAKERS: Record<Kind, () => Buffer> = {
  hello: () => hello(SERVER_KEY),
  'hello-unknown-key': () => hello(OTHER_KEY),
  'unknown-connection': unknownConnection,
  noise,
}
