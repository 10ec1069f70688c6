// bench/transport-child.ts — one end of a measured transfer, in a process of its own: what did it
// cost there? Started by bench/transport.ts with a role and a rival's name.
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { createEndpoint, type LocalIdentity, type TransportEndpoint } from '../protocol/index.ts'
import { keyPairFrom } from '../src/identity/index.ts'

const HOST = '127.0.0.1'
const WRITE_BYTES = 64 * 1024

export type Rival = 'tcp' | 'holdfast' | 'holdfast-crc-header' | 'holdfast-1472'
export type Order = { kind: 'send'; bytes: number } | { kind: 'stop' }
export type Word =
  | { kind: 'listening'; port: number }
  | { kind: 'connected' }
  | { kind: 'received'; cpuSeconds: number; bytes: number }
  | { kind: 'sent'; cpuSeconds: number; seconds: number }

const say = (word: Word): void => void process.send?.(word)

const identityOf = (number: number): LocalIdentity => ({
  ...keyPairFrom(new Uint8Array(32).fill(number)),
  certificate: new Uint8Array(0),
})

process.once('disconnect', () => process.exit(0)) // the parent is gone

const [role, rival, port] = process.argv.slice(2) as ['send' | 'receive', Rival, string]
if (role === 'receive') await receive()
else await send()

function openEndpoint(number: number): Promise<TransportEndpoint> {
  return createEndpoint({
    bind: { host: HOST, port: 0 },
    identity: identityOf(number),
    ...(rival === 'holdfast-crc-header' ? { crc: 'header' as const } : {}),
    ...(rival === 'holdfast-1472' ? { mtuBytes: 1_472 } : {}),
  })
}

async function receive(): Promise<void> {
  if (rival === 'tcp') {
    const server = createServer({ allowHalfOpen: true }, take)
    server.listen(0, HOST)
    await once(server, 'listening')
    say({ kind: 'listening', port: (server.address() as AddressInfo).port })
  } else {
    const endpoint = await openEndpoint(2)
    endpoint.onSession((session) => session.onStream(take))
    say({ kind: 'listening', port: endpoint.local.port })
  }
}

/** Counts what is really handed over, and answers with one byte when all of it was. */
function take(stream: Duplex): void {
  let bytes = 0
  let before = process.cpuUsage()
  stream.on('data', (part: Buffer) => {
    if (bytes === 0) before = process.cpuUsage()
    bytes += part.length
  })
  stream.once('end', () => {
    const { user, system } = process.cpuUsage(before)
    say({ kind: 'received', cpuSeconds: (user + system) / 1e6, bytes })
    stream.end('k')
  })
}

async function send(): Promise<void> {
  const open = await opener()
  say({ kind: 'connected' })
  process.on('message', async (order: Order) => {
    if (order.kind === 'stop') process.exit(0)
    const before = process.cpuUsage()
    const startMs = performance.now()
    await transfer(await open(), order.bytes)
    const seconds = (performance.now() - startMs) / 1_000
    const { user, system } = process.cpuUsage(before)
    say({ kind: 'sent', cpuSeconds: (user + system) / 1e6, seconds })
  })
}

/** TCP takes a connection per transfer, as holdfast takes a stream. */
async function opener(): Promise<() => Promise<Duplex>> {
  if (rival === 'tcp') {
    return async () => {
      const socket = connectTcp({ host: HOST, port: Number(port), allowHalfOpen: true })
      await once(socket, 'connect')
      return socket
    }
  }
  const endpoint = await openEndpoint(1)
  const { publicKey } = identityOf(2)
  const session = await endpoint.connect({ host: HOST, port: Number(port), publicKey })
  return () => Promise.resolve(session.openStream({ urgency: 5 }))
}

/** Until the receiver's answer says that it has read it all. */
async function transfer(stream: Duplex, bytes: number): Promise<void> {
  const block = Buffer.alloc(WRITE_BYTES, 'holdfast')
  const answered = once(stream.resume(), 'end')
  for (let left = bytes; left > 0; left -= block.length) {
    if (!stream.write(block)) await once(stream, 'drain')
  }
  stream.end()
  await answered
}
