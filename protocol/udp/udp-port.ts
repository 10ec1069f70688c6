// protocol/udp/udp-port.ts — how do datagrams get in and out of this machine? The only file of the
// project that opens a socket.
import type { LookupFunction } from 'node:net'
import { isIP } from 'node:net'
import { DgramAsPromised } from 'dgram-as-promised'
import { type Address, type DatagramPort, TransportError } from '../types.ts'

/** What we ask for; the kernel grants at most net.core.rmem_max. Its default holds < 100 packets. */
const SOCKET_BUFFER_BYTES = 4 << 20
/** Datagrams handed to libuv and not yet sent: beyond it the port says that it has no room. */
const QUEUED_SENDS_MAX = 256

/** dgram asks its resolver even for literals; this one answers at once. */
const lookup: LookupFunction = (host, _options, callback) => {
  callback(null, host, isIP(host))
}

/** Opens a UDP socket. Rejects with ERR_HOLDFAST_SOCKET, the system's error as its cause. */
export async function openUdpPort(bind: Address): Promise<DatagramPort> {
  const type = isIP(bind.host) === 6 ? 'udp6' : 'udp4'
  const port = new UdpPort()
  // dgram-as-promised opens and closes; its recv() would lose datagrams, its send() is not needed.
  const options = { type, lookup: lookup as never } as const
  const socket = DgramAsPromised.createSocket(options, (bytes, from) => {
    port.onDatagram?.(bytes, { host: from.address, port: from.port })
  })
  try {
    const local = await socket.bind({ port: bind.port, address: bind.host })
    port.attach(socket, { host: local.address, port: local.port })
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
    const detail = `cannot listen on ${bind.host}:${bind.port} (UDP): ${code}`
    throw new TransportError('ERR_HOLDFAST_SOCKET', detail, { cause })
  }
  return port
}

type PromisedSocket = ReturnType<typeof DgramAsPromised.createSocket>

class UdpPort implements DatagramPort {
  onDatagram: ((bytes: Uint8Array, from: Address) => void) | null = null
  onWritable: (() => void) | null = null
  local: Address = { host: '', port: 0 }
  #socket: PromisedSocket | null = null
  #queued = 0
  #isFull = false

  attach(socket: PromisedSocket, local: Address): void {
    this.#socket = socket
    this.local = local
    // A forged ICMP error must not end a socket that many connections share.
    socket.socket.on('error', () => undefined)
    try {
      socket.setRecvBufferSize(SOCKET_BUFFER_BYTES)
      socket.setSendBufferSize(SOCKET_BUFFER_BYTES)
    } catch {
      // The kernel's own limits hold then; more packets are lost, none of them for good.
    }
  }

  send(bytes: Uint8Array, to: Address): boolean {
    const socket = this.#socket
    if (!socket) return true
    if (this.#queued >= QUEUED_SENDS_MAX) {
      this.#isFull = true
      return false
    }
    this.#queued += 1
    // libuv sends at once when it can, but may keep the bytes when the kernel has no room.
    socket.socket.send(Buffer.from(bytes), to.port, to.host, this.#handleSent)
    return true
  }

  readonly #handleSent = (): void => {
    this.#queued -= 1
    if (!this.#isFull || this.#queued > QUEUED_SENDS_MAX / 2) return
    this.#isFull = false
    this.onWritable?.()
  }

  async close(): Promise<void> {
    const socket = this.#socket
    this.#socket = null
    this.onDatagram = null
    await socket?.close()
  }
}
