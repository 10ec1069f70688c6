// protocol/udp/native-port.ts — how do many datagrams pass the kernel with one call, and what if not?
//
// A socket made and used by native calls. dgram adopts it, wakes us when something came (and brings
// the first datagram with that), and closes it. Trains that the kernel will not cut are sent one by
// one within the same call; a port whose calls fail for good goes on as a plain one.
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import type { RemoteInfo } from 'dgram-as-promised'
import {
  OPTION,
  type Option,
  RECEIVE_SLOTS_MAX,
  type SocketCalls,
  TRAIN_SEGMENTS_MAX,
} from '../native/libc.ts'
import { newSlab } from '../native/slab.ts'
import type { Address, PortStats } from '../types.ts'
import { HELLO_BYTES_MIN } from '../wire/header.ts'
import { type Adopted, adopt, PlainPort, SOCKET_BUFFER_BYTES } from './plain-port.ts'
import { encodeAddress, SocketAddresses } from './socket-addresses.ts'

const { EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EIO, EMSGSIZE } = constants.errno
const { ECONNREFUSED, ENOBUFS, ENOMEM, ENOSYS, ENOTSOCK } = constants.errno
const PMTUDISC_PROBE = 3 // set DF and leave the MTU to us (ip(7))
/** Runs of 64 KiB each: so many stay in the second-level cache. */
const RUNS_PER_CALL = 16
/** One turn's share of the loop for reading. */
const RECEIVE_BYTES_MAX = 8 * 1024 * 1024
/** So many trains refused while their datagrams went: the kernel cuts none here. */
const REFUSALS_MAX = 3
const TRIES_MAX = 8
const NAME_WORDS = 8
const REST_BYTES_MAX = 65_536

interface NativeWish {
  readonly bind: Address
  readonly family: 4 | 6
  readonly calls: SocketCalls
  readonly driver: PortStats['driver'] | undefined
}

/** Null when this machine has no such socket. Rejects with the system's error when it cannot be
 * bound. */
export async function openNativePort(wish: NativeWish): Promise<NativePort | null> {
  const { bind, family, calls } = wish
  const fd = calls.socket(family)
  if (fd < 0) return null
  const canCut = calls.getOption(fd, OPTION.segment) >= 0
  if (wish.driver === 'segmented' && !canCut) {
    calls.close(fd)
    return null
  }
  const driver = wish.driver === 'batched' || !canCut ? 'batched' : 'segmented'
  const discover = family === 6 ? OPTION.mtuDiscover6 : OPTION.mtuDiscover
  const setsDontFragment = calls.setOption(fd, discover, PMTUDISC_PROBE) >= 0
  if (driver === 'segmented') calls.setOption(fd, OPTION.joinRuns, 1)
  const bound = calls.bind(fd, encodeAddress(bind))
  if (bound < 0) {
    calls.close(fd)
    const code = getSystemErrorName(bound)
    throw Object.assign(new Error(`bind ${code}`), { code, errno: bound, syscall: 'bind' })
  }
  try {
    const adopted = await adopt(family, { fd })
    return new NativePort(adopted, family, { calls, fd, driver, setsDontFragment })
  } catch {
    calls.close(fd) // still ours
    return null
  }
}

interface NativeParts {
  readonly calls: SocketCalls
  readonly fd: number
  readonly driver: 'segmented' | 'batched'
  readonly setsDontFragment: boolean
}

/** Datagrams that the socket had no room for after those before them were sent. */
interface Rest {
  readonly bytes: Buffer
  readonly to: Address
  readonly segmentBytes: number
}

export class NativePort extends PlainPort {
  readonly setsDontFragment: boolean
  readonly #calls: SocketCalls
  readonly #fd: number
  readonly #addresses = new SocketAddresses()
  readonly #slots: number
  readonly #views: Buffer[] = []
  #driver: PortStats['driver']
  #refusals = 0
  #rest: Rest | null = null
  #restMemory: Buffer | null = null
  #turnBytes = 0
  #isTurnCounted = false

  constructor(adopted: Adopted, family: number, parts: NativeParts) {
    super(adopted, family)
    this.#calls = parts.calls
    this.#fd = parts.fd
    this.#driver = parts.driver
    this.#slots = parts.driver === 'segmented' ? RUNS_PER_CALL : RECEIVE_SLOTS_MAX
    this.setsDontFragment = parts.setsDontFragment
    this.#grow(OPTION.receiveBufferForce)
    this.#grow(OPTION.sendBufferForce)
  }

  /** Beyond what net.core.rmem_max allows, where we may. */
  #grow(option: Option): void {
    this.#calls.setOption(this.#fd, option, SOCKET_BUFFER_BYTES)
  }

  override get driver(): PortStats['driver'] {
    return this.#driver
  }

  override get trainSegmentsMax(): number {
    return this.#driver === 'plain' ? 1 : TRAIN_SEGMENTS_MAX
  }

  // — sending —

  override send(bytes: Uint8Array, to: Address, segmentBytes: number): boolean {
    if (this.#driver === 'plain') return super.send(bytes, to, segmentBytes)
    if (this.isClosed) return true
    if (this.isWaiting) return false
    const isTrain = segmentBytes < bytes.length
    if (isTrain && !(segmentBytes >= 1 && bytes.length <= segmentBytes * TRAIN_SEGMENTS_MAX)) {
      throw new RangeError(`no train: ${bytes.length} bytes by ${segmentBytes}`)
    }
    if (!isTrain) return this.#sendOne(bytes, to)
    return this.#driver === 'segmented'
      ? this.#sendTrain(bytes, to, segmentBytes)
      : this.#sendEach(bytes, to, segmentBytes, false)
  }

  #sendOne(bytes: Uint8Array, to: Address): boolean {
    const sent = this.#trySend(bytes, to, bytes.length)
    return sent >= 0 || this.#handleFailure(sent, bytes, to, bytes.length)
  }

  #sendTrain(bytes: Uint8Array, to: Address, segmentBytes: number): boolean {
    const sent = this.#trySend(bytes, to, segmentBytes)
    if (sent >= 0) {
      this.#refusals = 0
      this.counts.gsoTrains += 1
      this.counts.segments += Math.ceil(bytes.length / segmentBytes)
      return true
    }
    // EIO: no checksum offload on the way out. EINVAL and EMSGSIZE also mean a route whose MTU
    // shrank: then a single datagram is refused just as well.
    if (sent !== -EIO && sent !== -EINVAL && sent !== -EMSGSIZE) {
      return this.#handleFailure(sent, bytes, to, segmentBytes)
    }
    const first = this.#trySend(bytes.subarray(0, segmentBytes), to, segmentBytes)
    if (first < 0) return this.#handleFailure(first, bytes, to, segmentBytes)
    this.counts.gsoFallbacks += 1
    this.#refusals += 1
    const isHopeless = sent === -EIO || segmentBytes <= HELLO_BYTES_MIN
    if (isHopeless || this.#refusals >= REFUSALS_MAX) this.#driver = 'batched'
    return this.#sendEach(bytes.subarray(segmentBytes), to, segmentBytes, true)
  }

  /** One by one, many in a call. What the socket has no room for is kept, once some have left. */
  #sendEach(bytes: Uint8Array, to: Address, segmentBytes: number, hasBegun: boolean): boolean {
    const sockaddr = this.#addresses.encode(to)
    let at = 0
    for (let tries = 0; at < bytes.length; ) {
      const left = at === 0 ? bytes : bytes.subarray(at)
      const sent = this.#calls.sendEach(this.#fd, left, sockaddr, segmentBytes)
      if (sent > 0) {
        at += sent * segmentBytes
        tries = 0
      } else if (isPassing(sent) && tries < TRIES_MAX) tries += 1
      else if (isFull(sent) && (hasBegun || at > 0)) {
        this.#keep(left, to, segmentBytes)
        return true
      } else return this.#handleFailure(sent, left, to, segmentBytes)
    }
    return true
  }

  #trySend(bytes: Uint8Array, to: Address, segmentBytes: number): number {
    const sockaddr = this.#addresses.encode(to)
    let sent = this.#calls.sendTrain(this.#fd, bytes, sockaddr, segmentBytes)
    for (let tries = 0; isPassing(sent) && tries < TRIES_MAX; tries += 1) {
      sent = this.#calls.sendTrain(this.#fd, bytes, sockaddr, segmentBytes)
    }
    return sent
  }

  /** What send() answers when nothing of `bytes` has left. */
  #handleFailure(error: number, bytes: Uint8Array, to: Address, segmentBytes: number): boolean {
    if (isFull(error)) {
      this.retryLater()
      return false
    }
    if (isFatal(error)) {
      this.#driver = 'plain'
      return super.send(bytes, to, segmentBytes)
    }
    this.counts.sendErrors += Math.ceil(bytes.length / segmentBytes)
    if (error === -EMSGSIZE) this.onTooLarge?.(to, Math.min(segmentBytes, bytes.length))
    return true
  }

  #keep(bytes: Uint8Array, to: Address, segmentBytes: number): void {
    this.#restMemory ??= newSlab(REST_BYTES_MAX)
    this.#restMemory.set(bytes) // perhaps from further behind in the same memory
    this.#rest = { bytes: this.#restMemory.subarray(0, bytes.length), to, segmentBytes }
    this.retryLater()
  }

  protected override sendWaiting(): boolean {
    const rest = this.#rest
    if (rest === null) return super.sendWaiting()
    this.#rest = null
    if (this.#driver !== 'plain') this.#sendEach(rest.bytes, rest.to, rest.segmentBytes, true)
    if (this.#driver === 'plain') {
      this.#restMemory = null // libuv may have it now
      this.#rest = null
    }
    return this.#rest === null && super.sendWaiting()
  }

  // — receiving —

  /** dgram has read one datagram, or one run, whose stride it cannot tell. */
  protected override handleMessage(bytes: Uint8Array, from: RemoteInfo): void {
    super.handleMessage(bytes, from)
    this.#beginTurn()
    this.#turnBytes += bytes.length
    this.receive()
  }

  receive(): boolean {
    if (this.#driver === 'plain' || this.isClosed || isReading) return false
    this.#beginTurn()
    isReading = true
    try {
      for (let tries = 0; this.#turnBytes < RECEIVE_BYTES_MAX; ) {
        const count = this.#calls.receive(this.#fd, this.#slots)
        if (count === -EINTR && tries < TRIES_MAX) tries += 1
        else if (count < 0) return this.#handleReceiveFailure(count)
        else {
          for (let i = 0; i < count && !this.isClosed; i += 1) this.#deliver(i)
          if (count < this.#slots || this.isClosed) return true
        }
      }
    } finally {
      isReading = false
    }
    this.counts.recvBatchFull += 1
    return false
  }

  #handleReceiveFailure(error: number): boolean {
    if (error === -EAGAIN) return true
    if (isFatal(error)) this.#driver = 'plain'
    return false
  }

  #deliver(index: number): void {
    const { received } = this.#calls
    const lengthBytes = received.lengthBytes(index)
    this.#turnBytes += lengthBytes
    const from = this.#addresses.decode(received.names, index * NAME_WORDS)
    let view = this.#views[index] // mostly as long as the one before
    if (view?.length !== lengthBytes) {
      const at = received.at(index)
      view = received.bytes.subarray(at, at + lengthBytes)
      this.#views[index] = view
    }
    const stride = received.strideBytes(index)
    this.onDatagram?.(view, from, stride < lengthBytes ? stride : 0)
  }

  #beginTurn(): void {
    if (this.#isTurnCounted) return
    this.#isTurnCounted = true
    setImmediate(this.#endTurn)
  }

  readonly #endTurn = (): void => {
    this.#isTurnCounted = false
    this.#turnBytes = 0
  }
}

/** Slots are shared by all sockets of this thread: whoever handles one must not fill them again. */
let isReading = false

/** No room now. */
const isFull = (result: number): boolean =>
  result === -EAGAIN || result === -ENOBUFS || result === -ENOMEM

/** Nothing was sent, and the same call may do better: a signal, or an ICMP error of another time. */
const isPassing = (result: number): boolean => result === -EINTR || result === -ECONNREFUSED

/** No such call, no such memory, no such descriptor: it will not get better. */
const isFatal = (result: number): boolean =>
  result === -ENOSYS || result === -EFAULT || result === -EBADF || result === -ENOTSOCK
