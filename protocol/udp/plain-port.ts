// protocol/udp/plain-port.ts — how do datagrams reach the kernel by Node's own means, on any system?
import type { Socket } from 'node:dgram'
import { DgramAsPromised, type RemoteInfo, type SocketAsPromised } from 'dgram-as-promised'
import type { Address, DatagramPort, PortStats } from '../types.ts'
import { DATAGRAM_BYTES_MAX } from '../wire/header.ts'

/** Asked for; the kernel grants what net.core.rmem_max and wmem_max allow (and doubles it). The
 * usual default of 208 KiB holds three datagrams of 64 KiB. */
export const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
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

export interface Adopted {
  readonly promised: SocketAsPromised
  readonly local: Address
}

/** A bound dgram socket: of its own, or around a descriptor, which it closes from then on.
 * Rejects with the system's error. */
export async function adopt(
  family: number,
  bind: { readonly address: string; readonly port: number } | { readonly fd: number },
): Promise<Adopted> {
  const promised = DgramAsPromised.createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: lookup as never, // @types/node wants dns.lookup's shape, which dgram never calls it with
  })
  const { address: host, port } = await promised.bind({ exclusive: true, ...bind })
  return { promised, local: { host, port } }
}

/**
 * dgram-as-promised opens and closes; datagrams pass it by. Its `recv()` listens for one event at a
 * time and loses what arrives in between, and its `send()` makes a promise per datagram.
 */
export class PlainPort implements DatagramPort {
  onDatagram: DatagramPort['onDatagram'] = null
  onWritable: (() => void) | null = null
  onTooLarge: ((to: Address, sizeBytes: number) => void) | null = null
  /** True after a send() that libuv queued: it will read the bytes later. */
  keepsBytes = false
  readonly local: Address
  readonly family: number
  /** What the kernel granted for arriving datagrams, bytes. */
  readonly receiveBufferBytes: number
  protected readonly counts = {
    ...{ gsoTrains: 0, segments: 0, gsoFallbacks: 0 },
    ...{ sendEagain: 0, sendErrors: 0, recvBatchFull: 0 },
  }
  protected isClosed = false
  readonly #promised: SocketAsPromised
  readonly #socket: Socket
  #retry: NodeJS.Timeout | null = null
  #closing: Promise<void> | null = null
  /** Most datagrams come from where the last one came from. */
  #lastFrom: Address = { host: '', port: 0 }

  constructor({ promised, local }: Adopted, family: number) {
    this.#promised = promised
    this.#socket = promised.socket
    this.local = local
    this.family = family
    this.receiveBufferBytes = growBuffers(promised)
    this.#socket.on('message', (bytes, from) => this.handleMessage(bytes, from))
    // ICMP errors (ECONNREFUSED) are forgeable and concern one peer of many: never fatal here.
    this.#socket.on('error', () => {
      this.counts.sendErrors += 1
    })
  }

  get driver(): PortStats['driver'] {
    return 'plain'
  }

  get trainSegmentsMax(): number {
    return 1
  }

  stats(): PortStats {
    const { driver, receiveBufferBytes, counts } = this
    return { driver, receiveBufferBytes, ...counts }
  }

  /** A 1500-byte frame less the IP and UDP headers. */
  get ethernetBytesMax(): number {
    return this.family === 6 ? 1_452 : 1_472
  }

  /** Largest datagram worth sending to peers on this machine; measured in protocol/README.md. */
  get loopbackBytesMax(): number {
    if (this.receiveBufferBytes < ROOM_FOR_LARGEST_BYTES) return LOOPBACK_BYTES_SMALL
    return this.family === 6 ? IPV6_PAYLOAD_BYTES_MAX : DATAGRAM_BYTES_MAX
  }

  send(bytes: Uint8Array, to: Address, segmentBytes: number): boolean {
    if (this.isClosed) return true // goes nowhere, like any datagram that is lost
    if (this.isWaiting) return false
    // Without a callback Node makes neither a closure nor a tick per datagram.
    if (segmentBytes >= bytes.length) this.#socket.send(bytes, to.port, to.host)
    else {
      for (let at = 0; at < bytes.length; at += segmentBytes) {
        this.#socket.send(bytes.subarray(at, at + segmentBytes), to.port, to.host)
      }
    }
    this.keepsBytes = this.#socket.getSendQueueCount() > 0
    if (this.keepsBytes) this.retryLater()
    return true
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  protected handleMessage(bytes: Uint8Array, from: RemoteInfo): void {
    const last = this.#lastFrom
    if (last.port !== from.port || last.host !== from.address) {
      this.#lastFrom = { host: from.address, port: from.port }
    }
    this.onDatagram?.(bytes, this.#lastFrom)
  }

  /** Sending has to wait until the socket has room. */
  protected get isWaiting(): boolean {
    return this.#retry !== null
  }

  /** True when what could not be sent before is on its way. */
  protected sendWaiting(): boolean {
    return this.#socket.getSendQueueCount() === 0
  }

  /** EAGAIN or ENOBUFS. libuv sends what it holds as soon as it can, and tells nobody. */
  protected retryLater(): void {
    this.counts.sendEagain += 1
    const retry = (): void => {
      this.#retry = null
      if (this.isClosed) return
      if (this.sendWaiting() && this.#retry === null) this.onWritable?.()
      else this.#retry ??= setTimeout(retry, RETRY_MS)
    }
    this.#retry ??= setTimeout(retry, RETRY_MS)
  }

  async #close(): Promise<void> {
    this.isClosed = true
    if (this.#retry) clearTimeout(this.#retry)
    this.onDatagram = null
    this.onWritable = null
    this.onTooLarge = null
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
