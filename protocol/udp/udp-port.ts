// protocol/udp/udp-port.ts — how do datagrams reach the kernel? The only file that opens a socket.
import type { Socket } from 'node:dgram'
import { isIP } from 'node:net'
import { DgramAsPromised, type RemoteInfo, type SocketAsPromised } from 'dgram-as-promised'
import { type Address, type DatagramPort, TransportError } from '../types.ts'
import { DATAGRAM_BYTES_MAX } from '../wire/header.ts'

/** Asked for; the kernel grants what net.core.rmem_max and wmem_max allow (and doubles it). The
 * usual default of 208 KiB holds three datagrams of 64 KiB. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
/** How soon a full socket is looked at again. libuv sends what waits as soon as it can. */
const RETRY_MS = 1

/** The MTU of lo, 65 536 bytes, less the IPv6 and UDP headers; over IPv4 its length field is the
 * limit, and DATAGRAM_BYTES_MAX the payload. */
const IPV6_PAYLOAD_BYTES_MAX = 65_488
/** With less room than this for arriving datagrams a burst of the largest would be lost. */
const ROOM_FOR_LARGEST_BYTES = 2 * 1024 * 1024
/** Then a quarter of the size: 24 of them fit the usual default buffer. */
const LOOPBACK_BYTES_SMALL = 16_384

type Lookup = (
  host: string,
  family: number,
  callback: (error: Error | null, address: string, family: number) => void,
) => void

/** dgram resolves even literals, through a thread, unless it is told how. Ours are all literals. */
const lookup: Lookup = (host, family, callback) => callback(null, host, family)

/** Opens and binds. Rejects with ERR_HOLDFAST_SOCKET (`cause` is the system's error). */
export async function openUdpPort(bind: Address): Promise<UdpPort> {
  const family = isIP(bind.host)
  if (family === 0) {
    const detail = `bind: ${bind.host} is not an IP address; write for example 127.0.0.1`
    throw new TransportError('ERR_HOLDFAST_INVALID', detail)
  }
  return UdpPort.open(bind, family)
}

/**
 * dgram-as-promised opens and closes; datagrams pass it by. Its `recv()` listens for one event at a
 * time and loses what arrives in between, and its `send()` makes a promise per datagram.
 */
export class UdpPort implements DatagramPort {
  onDatagram: DatagramPort['onDatagram'] = null
  onWritable: (() => void) | null = null
  /** True after a send() that libuv queued: it will read the bytes later. */
  keepsBytes = false
  readonly trainSegmentsMax = 1
  readonly local: Address
  readonly family: number
  /** What the kernel granted for arriving datagrams, bytes. */
  readonly receiveBufferBytes: number
  /** Sends that failed outright (no route, too large, …): a loss to the transport. */
  sendErrors = 0
  readonly #promised: SocketAsPromised
  readonly #socket: Socket
  #retry: NodeJS.Timeout | null = null
  #closed: Promise<void> | null = null
  /** Most datagrams come from where the last one came from. */
  #lastFrom: Address = { host: '', port: 0 }

  private constructor(promised: SocketAsPromised, local: Address, family: number) {
    this.#promised = promised
    this.#socket = promised.socket
    this.local = local
    this.family = family
    this.receiveBufferBytes = growBuffers(promised)
    // ICMP errors (ECONNREFUSED) are forgeable and concern one peer of many: never fatal here.
    this.#socket.on('error', () => {
      this.sendErrors += 1
    })
  }

  static async open(bind: Address, family: number): Promise<UdpPort> {
    let port: UdpPort | null = null
    const promised = DgramAsPromised.createSocket(
      // @types/node wants dns.lookup's shape, which dgram never calls it with.
      { type: family === 6 ? 'udp6' : 'udp4', lookup: lookup as never },
      (bytes, from) => port?.handleMessage(bytes, from),
    )
    try {
      const { address, port: number } = await promised.bind({
        address: bind.host,
        port: bind.port,
        exclusive: true,
      })
      port = new UdpPort(promised, { host: address, port: number }, family)
      return port
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      const where = `${bind.host}:${bind.port}/udp`
      const detail =
        code === 'EADDRINUSE' ? `port in use: ${where} (${code})` : `cannot open ${where}: ${code}`
      throw new TransportError('ERR_HOLDFAST_SOCKET', detail, { cause })
    }
  }

  /** Largest datagram worth sending to peers on this machine; measured in protocol/README.md. */
  /** A 1500-byte frame less the IP and UDP headers. */
  get ethernetBytesMax(): number {
    return this.family === 6 ? 1_452 : 1_472
  }

  get loopbackBytesMax(): number {
    if (this.receiveBufferBytes < ROOM_FOR_LARGEST_BYTES) return LOOPBACK_BYTES_SMALL
    return this.family === 6 ? IPV6_PAYLOAD_BYTES_MAX : DATAGRAM_BYTES_MAX
  }

  send(bytes: Uint8Array, to: Address): boolean {
    if (this.#closed) return true // goes nowhere, like any datagram that is lost
    if (this.#retry !== null) return false
    // Without a callback Node makes neither a closure nor a tick per datagram.
    this.#socket.send(bytes, to.port, to.host)
    this.keepsBytes = this.#socket.getSendQueueCount() > 0
    if (this.keepsBytes) this.#retryLater()
    return true
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  handleMessage(bytes: Uint8Array, from: RemoteInfo): void {
    const last = this.#lastFrom
    if (last.port !== from.port || last.host !== from.address) {
      this.#lastFrom = { host: from.address, port: from.port }
    }
    this.onDatagram?.(bytes, this.#lastFrom)
  }

  /** EAGAIN or ENOBUFS: libuv holds that datagram and tells nobody when it went out. */
  #retryLater(): void {
    this.#retry = setTimeout(() => {
      this.#retry = null
      if (this.#closed) return
      if (this.#socket.getSendQueueCount() > 0) this.#retryLater()
      else this.onWritable?.()
    }, RETRY_MS)
  }

  async #close(): Promise<void> {
    if (this.#retry) clearTimeout(this.#retry)
    this.onDatagram = null
    this.onWritable = null
    await this.#promised.close()
  }
}

/** getSendBufferSize() of dgram-as-promised calls itself for ever; the socket's own does not. */
function growBuffers(promised: SocketAsPromised): number {
  for (const grow of ['setRecvBufferSize', 'setSendBufferSize'] as const) {
    try {
      promised.socket[grow](SOCKET_BUFFER_BYTES)
    } catch {
      // Some systems refuse instead of granting less. What is there is read back below.
    }
  }
  return promised.socket.getRecvBufferSize()
}
