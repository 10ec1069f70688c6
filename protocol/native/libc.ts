// protocol/native/libc.ts — which system calls does a fast UDP socket make, and with which memory?
//
// All of it belongs to this thread, lives as long as it does, and is shared by its sockets: calls
// are synchronous and don't wait. Layouts are those of 64-bit Linux, glibc and musl, and checked:
//
//   mmsghdr, 64 B   0 name* · 8 u32 name length · 16 iovec* · 24 iovec count · 32 control* ·
//                   40 control length · 48 i32 flags · 56 u32 bytes moved       (msghdr: to 56)
//   iovec, 16 B     0 base* · 8 length
//   cmsghdr         0 length · 8 i32 level · 12 i32 type · 16 data
import { addressIn, addressOf, type Koffi, koffi, newSlab } from './slab.ts'

/** UDP_MAX_SEGMENTS of kernels up to 6.8; later ones take 128. */
export const TRAIN_SEGMENTS_MAX = 64
/** Datagrams or runs that one receive() brings at most. */
export const RECEIVE_SLOTS_MAX = 64
/** The room of each: a run of segments has up to 65 535 bytes. */
const SLOT_BYTES = 65_536
/** Two KiB more, so that the beginnings of short datagrams don't all fall on the same cache lines. */
const SLOT_STRIDE_BYTES = SLOT_BYTES + 2_048
const HEADER_WORDS = 16
const IOVEC_WORDS = 4
const NAME_WORDS = 8
const NAME_BYTES_MAX = 28
const CONTROL_BYTES = 64
const SEGMENT_CONTROL_BYTES = 24
const SEGMENT_CONTROL_LENGTH = 18

const SOL_UDP = 17
export const UDP_SEGMENT = 103
const UDP_GRO = 104
const MSG_DONTWAIT = 0x40
const AF_INET = 2
const AF_INET6 = 10
const SOCK_DGRAM = 2
const SOCK_FLAGS = 0o4000 | 0o2000000 // SOCK_NONBLOCK | SOCK_CLOEXEC

/** Level and number of each option that is set. */
export const OPTION = {
  receiveBuffer: [1, 8],
  receiveBufferForce: [1, 33],
  sendBuffer: [1, 7],
  sendBufferForce: [1, 32],
  mtuDiscover: [0, 10], // IP_MTU_DISCOVER
  mtuDiscover6: [41, 23], // IPV6_MTU_DISCOVER
  segment: [SOL_UDP, UDP_SEGMENT],
  joinRuns: [SOL_UDP, UDP_GRO],
} as const
export type Option = (typeof OPTION)[keyof typeof OPTION]

/** What receive() brought: valid until the next one, of any socket. */
export interface Received {
  /** The bytes of the i-th are `bytes[at(i), at(i) + lengthBytes(i))`. */
  readonly bytes: Buffer
  at(index: number): number
  lengthBytes(index: number): number
  /** Of a run: the length of each datagram but the last; 0 when it is one datagram. */
  strideBytes(index: number): number
  /** The sender's sockaddr begins at word 8 × index. */
  readonly names: Uint32Array
}

/** The calls of a socket. Each returns what the system's does, or -errno. Tests put failures here. */
export interface SocketCalls {
  socket(family: 4 | 6): number
  bind(fd: number, sockaddr: Uint8Array): number
  close(fd: number): number
  setOption(fd: number, option: Option, value: number): number
  getOption(fd: number, option: Option): number
  /** One sendmsg: the kernel cuts `bytes` into segments. Bytes sent. */
  sendTrain(fd: number, bytes: Uint8Array, sockaddr: Uint8Array, segmentBytes: number): number
  /** One sendmmsg: datagrams sent, of at most TRAIN_SEGMENTS_MAX; the last one may be shorter. */
  sendEach(fd: number, bytes: Uint8Array, sockaddr: Uint8Array, segmentBytes: number): number
  /** One recvmmsg of what waits, at most `slots`: how many came. */
  receive(fd: number, slots: number): number
  readonly received: Received
}

let shared: SocketCalls | null | undefined

/** The calls of this thread; null where they cannot be made. */
export function openSocketCalls(): SocketCalls | null {
  if (shared !== undefined) return shared
  try {
    shared = koffi !== null && areLayoutsKnown(koffi) ? new Libc(koffi) : null
  } catch {
    shared = null // no such function: a C library that nobody has tried this on
  }
  return shared
}

/** What this compiler would make of the structures: pointers of four bytes show up here. */
function areLayoutsKnown({ struct, sizeof, offsetof }: Koffi): boolean {
  const message = {
    ...{ name: 'void *', nameBytes: 'uint32_t', vectors: 'void *', vectorCount: 'size_t' },
    ...{ control: 'void *', controlBytes: 'size_t', flags: 'int' },
  }
  const header = struct(message)
  const vector = struct({ base: 'void *', bytes: 'size_t' })
  const control = struct({ bytes: 'size_t', level: 'int', type: 'int' })
  const offsets = Object.keys(message).map((member) => offsetof(header, member))
  const isHeader = offsets.join() === '0,8,16,24,32,40,48' && sizeof(header) === 56
  return isHeader && sizeof(vector) === 16 && sizeof(control) === 16
}

class Libc implements SocketCalls, Received {
  readonly received: Received = this
  readonly bytes = newSlab(RECEIVE_SLOTS_MAX * SLOT_STRIDE_BYTES)
  readonly names: Uint32Array
  readonly #inHeaders = newWords(RECEIVE_SLOTS_MAX * HEADER_WORDS)
  readonly #inVectors = newWords(RECEIVE_SLOTS_MAX * IOVEC_WORDS)
  readonly #inNames = newWords(RECEIVE_SLOTS_MAX * NAME_WORDS)
  readonly #inControls = newWords((RECEIVE_SLOTS_MAX * CONTROL_BYTES) / 4)
  /** One header more than datagrams: the last is the train's. */
  readonly #outHeaders = newWords((TRAIN_SEGMENTS_MAX + 1) * HEADER_WORDS)
  readonly #outVectors = newWords((TRAIN_SEGMENTS_MAX + 1) * IOVEC_WORDS)
  readonly #outName = newSlab(NAME_BYTES_MAX)
  readonly #outControl = newSlab(SEGMENT_CONTROL_BYTES)
  /** Bytes to send that lie in no slab. */
  readonly #copied = newSlab(SLOT_BYTES)
  readonly #value = newSlab(8)
  #sockaddr: Uint8Array | null = null
  /** Slots that the last receive() wrote to. */
  #filled = 0
  readonly #errno: () => number
  readonly #calls: ReturnType<typeof functionsOf>
  readonly #trainAddress: number
  readonly #headersAddress: number
  readonly #receiveAddress: number

  constructor(from: Koffi) {
    this.#errno = from.errno
    this.#calls = functionsOf(from)
    this.names = this.#inNames.words
    this.#trainAddress = addressOf(this.#outHeaders.bytes, TRAIN_SEGMENTS_MAX * HEADER_WORDS * 4)
    this.#headersAddress = addressOf(this.#outHeaders.bytes)
    this.#receiveAddress = addressOf(this.#inHeaders.bytes)
    this.#prepareReceiving()
    this.#prepareSending()
  }

  #prepareReceiving(): void {
    const { words } = this.#inHeaders
    for (let i = 0; i < RECEIVE_SLOTS_MAX; i += 1) {
      const header = i * HEADER_WORDS
      const vector = i * IOVEC_WORDS
      putAddress(words, header, addressOf(this.#inNames.bytes, i * NAME_WORDS * 4, NAME_BYTES_MAX))
      putAddress(words, header + 4, addressOf(this.#inVectors.bytes, vector * 4, IOVEC_WORDS * 4))
      words[header + 6] = 1
      const control = addressOf(this.#inControls.bytes, i * CONTROL_BYTES, CONTROL_BYTES)
      putAddress(words, header + 8, control)
      const slot = addressOf(this.bytes, i * SLOT_STRIDE_BYTES, SLOT_BYTES)
      putAddress(this.#inVectors.words, vector, slot)
      this.#inVectors.words[vector + 2] = SLOT_BYTES
      this.#resetSlot(i)
    }
  }

  #prepareSending(): void {
    const { words } = this.#outHeaders
    for (let i = 0; i <= TRAIN_SEGMENTS_MAX; i += 1) {
      const header = i * HEADER_WORDS
      putAddress(words, header, addressOf(this.#outName))
      const vector = addressOf(this.#outVectors.bytes, i * IOVEC_WORDS * 4, IOVEC_WORDS * 4)
      putAddress(words, header + 4, vector)
      words[header + 6] = 1
    }
    putAddress(words, TRAIN_SEGMENTS_MAX * HEADER_WORDS + 8, addressOf(this.#outControl))
    this.#outControl.writeUInt32LE(SEGMENT_CONTROL_LENGTH, 0)
    this.#outControl.writeUInt32LE(SOL_UDP, 8)
    this.#outControl.writeUInt32LE(UDP_SEGMENT, 12)
  }

  socket(family: 4 | 6): number {
    const domain = family === 6 ? AF_INET6 : AF_INET
    return this.#result(this.#calls.socket(domain, SOCK_DGRAM | SOCK_FLAGS, 0))
  }

  bind(fd: number, sockaddr: Uint8Array): number {
    this.#setName(sockaddr)
    return this.#result(this.#calls.bind(fd, addressOf(this.#outName), sockaddr.length))
  }

  close(fd: number): number {
    return this.#result(this.#calls.close(fd))
  }

  setOption(fd: number, [level, name]: Option, value: number): number {
    this.#value.writeInt32LE(value)
    return this.#result(this.#calls.setsockopt(fd, level, name, addressOf(this.#value, 0, 4), 4))
  }

  getOption(fd: number, [level, name]: Option): number {
    this.#value.writeInt32LE(0, 0)
    this.#value.writeUInt32LE(4, 4)
    const [value, length] = [addressOf(this.#value, 0, 4), addressOf(this.#value, 4, 4)]
    const result = this.#result(this.#calls.getsockopt(fd, level, name, value, length))
    return result < 0 ? result : this.#value.readInt32LE()
  }

  sendTrain(fd: number, bytes: Uint8Array, sockaddr: Uint8Array, segmentBytes: number): number {
    this.#setName(sockaddr)
    const header = TRAIN_SEGMENTS_MAX * HEADER_WORDS
    const { words } = this.#outHeaders
    const isTrain = segmentBytes < bytes.length
    words[header + 2] = sockaddr.length
    words[header + 10] = isTrain ? SEGMENT_CONTROL_BYTES : 0
    if (isTrain) this.#outControl.writeUInt16LE(segmentBytes, 16) // throws beyond 65 535
    this.#setVector(TRAIN_SEGMENTS_MAX, this.#startOf(bytes), bytes.length)
    return this.#result(this.#calls.sendmsg(fd, this.#trainAddress, MSG_DONTWAIT))
  }

  sendEach(fd: number, bytes: Uint8Array, sockaddr: Uint8Array, segmentBytes: number): number {
    const count = Math.min(Math.ceil(bytes.length / segmentBytes), TRAIN_SEGMENTS_MAX)
    if (!(segmentBytes >= 1 && count >= 1)) {
      throw new RangeError(`no datagrams: ${bytes.length} by ${segmentBytes}`)
    }
    this.#setName(sockaddr)
    const start = this.#startOf(bytes)
    const { words } = this.#outHeaders
    for (let i = 0; i < count; i += 1) {
      words[i * HEADER_WORDS + 2] = sockaddr.length
      const at = i * segmentBytes
      this.#setVector(i, start + at, Math.min(segmentBytes, bytes.length - at))
    }
    return this.#result(this.#calls.sendmmsg(fd, this.#headersAddress, count, MSG_DONTWAIT))
  }

  receive(fd: number, slots: number): number {
    const count = Math.min(Math.max(1, Math.floor(slots)), RECEIVE_SLOTS_MAX)
    // What the kernel wrote there the last time is no room for the next one.
    for (let i = 0; i < this.#filled; i += 1) this.#resetSlot(i)
    const result = this.#result(
      this.#calls.recvmmsg(fd, this.#receiveAddress, count, MSG_DONTWAIT, 0),
    )
    this.#filled = Math.max(0, result)
    return result
  }

  at(index: number): number {
    return index * SLOT_STRIDE_BYTES
  }

  lengthBytes(index: number): number {
    return this.#inHeaders.words[index * HEADER_WORDS + 14] ?? 0
  }

  strideBytes(index: number): number {
    const control = (index * CONTROL_BYTES) / 4
    const { words } = this.#inControls
    const hasControl = (this.#inHeaders.words[index * HEADER_WORDS + 10] ?? 0) >= 20
    const isStride = words[control + 2] === SOL_UDP && words[control + 3] === UDP_GRO
    return hasControl && isStride ? (words[control + 4] ?? 0) : 0
  }

  #resetSlot(index: number): void {
    const { words } = this.#inHeaders
    const header = index * HEADER_WORDS
    words[header + 2] = NAME_BYTES_MAX
    words[header + 10] = CONTROL_BYTES
    words[header + 12] = 0
  }

  #setName(sockaddr: Uint8Array): void {
    if (sockaddr === this.#sockaddr) return
    if (sockaddr.length > NAME_BYTES_MAX) throw new RangeError('no sockaddr')
    this.#outName.set(sockaddr)
    this.#sockaddr = sockaddr
  }

  /** The address of bytes to send; others than a slab's are copied into one. */
  #startOf(bytes: Uint8Array): number {
    if (bytes.length > SLOT_BYTES) throw new RangeError(`${bytes.length} bytes are no train`)
    const address = addressIn(bytes, 0, bytes.length)
    if (address !== 0) return address
    this.#copied.set(bytes)
    return addressOf(this.#copied, 0, bytes.length)
  }

  #setVector(index: number, address: number, lengthBytes: number): void {
    const { words } = this.#outVectors
    putAddress(words, index * IOVEC_WORDS, address)
    words[index * IOVEC_WORDS + 2] = lengthBytes
  }

  #result(value: number): number {
    return value < 0 ? -this.#errno() : value
  }
}

interface Words {
  readonly bytes: Buffer
  readonly words: Uint32Array
}

function newWords(count: number): Words {
  const bytes = newSlab(count * 4)
  return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, count) }
}

function putAddress(words: Uint32Array, at: number, address: number): void {
  words[at] = address // modulo 2^32
  words[at + 1] = address / 2 ** 32
}

function functionsOf(from: Koffi) {
  const library = from.load(null)
  return {
    socket: library.func('int socket(int, int, int)'),
    bind: library.func('int bind(int, uintptr_t, uint32_t)'),
    close: library.func('int close(int)'),
    setsockopt: library.func('int setsockopt(int, int, int, uintptr_t, uint32_t)'),
    getsockopt: library.func('int getsockopt(int, int, int, uintptr_t, uintptr_t)'),
    sendmsg: library.func('int sendmsg(int, uintptr_t, int)'),
    sendmmsg: library.func('int sendmmsg(int, uintptr_t, uint32_t, int)'),
    recvmmsg: library.func('int recvmmsg(int, uintptr_t, uint32_t, int, uintptr_t)'),
  }
}
