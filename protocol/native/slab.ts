// protocol/native/slab.ts — which bytes may the system's own functions touch, and where are they?
//
// The native surface of the transport is this folder. Its rules: functions get numeric addresses,
// which never leave the folder; an address is only made here, of a slab and after a check that the
// whole range lies in it; whoever passes one holds its slab meanwhile. All calls are synchronous, so
// that nobody keeps an address after a call.
import { createRequire } from 'node:module'
import { endianness } from 'node:os'
import { markAsUntransferable } from 'node:worker_threads'

/** What is used of koffi, which has types that fit no numeric address. */
export interface Koffi {
  load(path: string | null): NativeLibrary
  address(bytes: Uint8Array): bigint
  errno(): number
  struct(members: Record<string, string>): unknown
  sizeof(type: unknown): number
  offsetof(type: unknown, member: string): number
  readonly decode: { uint32(address: number): number }
}

export interface NativeLibrary {
  /** `prototype` is C; addresses are `uintptr_t`. Throws when there is no such function. */
  func(prototype: string): (...values: readonly number[]) => number
}

/** Larger than any typed array that V8 keeps on its moving heap (64 bytes). */
const SLAB_BYTES_MIN = 4_096

/** Null where there is no koffi for the machine, or a machine that nobody has tried this on. */
export const koffi = loadKoffi()

function loadKoffi(): Koffi | null {
  if (process.platform !== 'linux' || endianness() !== 'LE') return null
  if (process.arch !== 'x64' && process.arch !== 'arm64') return null
  try {
    return createRequire(import.meta.url)('koffi') as Koffi
  } catch {
    return null
  }
}

const addresses = new WeakMap<ArrayBufferLike, number>()
/** The slab asked for last: most questions are about it, and it cannot go while in use. */
let lastSlab: ArrayBufferLike | null = null
let lastAddress = 0

/** Memory of its own that native functions may be pointed to; without them it is plain memory. */
export function newSlab(sizeBytes: number): Buffer {
  const memory = new ArrayBuffer(Math.max(sizeBytes, SLAB_BYTES_MIN))
  const bytes = Buffer.from(memory, 0, sizeBytes)
  if (koffi === null) return bytes
  markAsUntransferable(memory)
  const address = Number(koffi.address(bytes))
  if (isAddressOf(koffi, address, memory)) addresses.set(memory, address)
  return bytes
}

/** Does what JavaScript writes at both ends show up there? */
function isAddressOf({ decode }: Koffi, address: number, memory: ArrayBuffer): boolean {
  if (!Number.isSafeInteger(address) || address <= 0) return false
  const view = new DataView(memory)
  const last = memory.byteLength - 4
  view.setUint32(0, 0x600d_b17e, true)
  view.setUint32(last, 0x0bad_b17e, true)
  const isThere =
    decode.uint32(address) === 0x600d_b17e && decode.uint32(address + last) === 0x0bad_b17e
  view.setUint32(0, 0, true)
  view.setUint32(last, 0, true)
  return isThere
}

/** The address of `bytes[at, at + lengthBytes)`; 0 when that is not (wholly) in a slab. It holds
 * until the next question. */
export function addressIn(bytes: Uint8Array, at: number, lengthBytes: number): number {
  // Neither negative, nor fractional, nor NaN.
  if (at >>> 0 !== at || lengthBytes >>> 0 !== lengthBytes) return 0
  if (at + lengthBytes > bytes.length) return 0
  const { buffer } = bytes
  if (buffer !== lastSlab) {
    const address = addresses.get(buffer)
    if (address === undefined) return 0
    lastSlab = buffer
    lastAddress = address
  }
  return lastAddress + bytes.byteOffset + at
}

/** The same for slabs of this folder itself, where anything else is a mistake. */
export function addressOf(bytes: Uint8Array, at = 0, lengthBytes = bytes.length - at): number {
  const address = addressIn(bytes, at, lengthBytes)
  if (address === 0) throw new RangeError(`${at}+${lengthBytes} is not in a slab`)
  return address
}
