// src/client/os/native.ts — what can the system do for a backup that Node's own calls can't?
//
// The only file that uses koffi. Without it (no prebuilt binary for the machine) everything still
// works, but what `dropped` lists is lost, and restore says so.
import { closeSync, constants, lutimesSync, openSync } from 'node:fs'
import { createRequire } from 'node:module'
import { getSystemErrorName } from 'node:util'

/** What a file system can do beyond Node: exact times, holes, special files. Paths are bytes. */
export interface NativeFiles {
  /** What is lost without the native calls, in words for a person; empty when nothing is. */
  readonly dropped: readonly string[]
  /** Sets mtime (ns since 1970, may be negative) and leaves atime; never follows a symlink. */
  setMtimeNs(path: Uint8Array, mtimeNs: bigint): void
  /** Where data begins at or after `offset`: null when only a hole is left until the end. */
  seekData(fd: number, offset: number): number | null
  /** Where the hole at or after `offset` begins; the end of the file counts as one. */
  seekHole(fd: number, offset: number): number | null
  /** Makes a fifo or device node. Throws a system error; ENOSYS without native calls. */
  makeNode(path: Uint8Array, type: 'fifo' | 'chardev' | 'blockdev', device: DeviceNumber): void
  /** True when the entry has extended attributes (ACLs are such); never follows a symlink. */
  hasXattrs(path: Uint8Array): boolean
}

export interface DeviceNumber {
  readonly major: number
  readonly minor: number
}

const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const UTIME_OMIT = (1n << 30n) - 2n
const SEEK_DATA = 3
const SEEK_HOLE = 4
const NODE_TYPES = { fifo: 0o010000, chardev: 0o020000, blockdev: 0o060000 } as const
const BILLION = 1_000_000_000n

/** A Node-like system error: `code` is the name of errno. */
export function systemError(errno: number, call: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno)
  return Object.assign(new Error(`${code}: ${call} failed`), { code, errno: -errno, syscall: call })
}

type Call = (...args: unknown[]) => number
interface Library {
  func(prototype: string): Call
}

/** The native calls where koffi and the C library have them, the plain ones elsewhere. */
export function openNativeFiles(): NativeFiles {
  if (process.platform !== 'linux') return plainFiles
  try {
    const koffi = createRequire(import.meta.url)('koffi')
    return bind(koffi.load(null) as Library, () => koffi.errno() as number)
  } catch {
    return plainFiles
  }
}

const M_MMAP_THRESHOLD = -3 // malloc.h
const MAPPED_BYTES_MIN = 128 * 2 ** 10

/** Has large buffers go back to the system when they are free. The C library of Linux keeps ever
 * larger ones for itself the more of them come and go: pieces of files leave holes of their sizes,
 * and the process grows with what it has moved. Nothing happens where that library is another. */
export function returnFreeMemory(): void {
  if (process.platform !== 'linux') return
  try {
    const koffi = createRequire(import.meta.url)('koffi')
    const library = koffi.load(null) as Library
    library.func('int mallopt(int, int)')(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
  } catch {
    // It works without, in more memory.
  }
}

function bind(library: Library, errno: () => number): NativeFiles {
  const utimensat = library.func('int utimensat(int, const uint8_t *, const int64_t *, int)')
  const seek = library.func('int64_t lseek64(int, int64_t, int)')
  const mknod = library.func('int mknod(const uint8_t *, uint32_t, uint64_t)')
  const llistxattr = library.func('int64_t llistxattr(const uint8_t *, uint8_t *, size_t)')
  const seekTo = (fd: number, offset: number, whence: number): number | null => {
    const found = Number(seek(fd, offset, whence))
    return found < 0 ? null : found
  }
  return {
    dropped: [],
    setMtimeNs(path, mtimeNs) {
      let seconds = mtimeNs / BILLION
      if (mtimeNs % BILLION < 0n) seconds -= 1n // timespec wants nanoseconds from 0 up
      const times = new BigInt64Array([0n, UTIME_OMIT, seconds, mtimeNs - seconds * BILLION])
      if (utimensat(AT_FDCWD, terminated(path), times, AT_SYMLINK_NOFOLLOW) !== 0) {
        throw systemError(errno(), 'utimensat')
      }
    },
    seekData: (fd, offset) => seekTo(fd, offset, SEEK_DATA),
    seekHole: (fd, offset) => seekTo(fd, offset, SEEK_HOLE),
    makeNode(path, type, device) {
      if (mknod(terminated(path), NODE_TYPES[type] | 0o600, packDevice(device)) !== 0) {
        throw systemError(errno(), 'mknod')
      }
    },
    hasXattrs: (path) => Number(llistxattr(terminated(path), null, 0)) > 0,
  }
}

/** Node alone: microseconds at best, no holes, no special files, and no look at attributes. */
export const plainFiles: NativeFiles = {
  dropped: [
    'mtimes are exact to the microsecond only',
    'holes of sparse files are not looked for when backing up',
    'fifos and device nodes are not restored',
  ],
  setMtimeNs(path, mtimeNs) {
    const seconds = Number(mtimeNs) / 1e9
    lutimesSync(Buffer.from(path), seconds, seconds)
  },
  seekData: (_fd, offset) => offset,
  seekHole: () => null,
  makeNode() {
    throw systemError(38, 'mknod') // ENOSYS
  },
  hasXattrs: () => false,
}

const terminated = (path: Uint8Array): Buffer => {
  const bytes = Buffer.alloc(path.length + 1)
  bytes.set(path)
  return bytes
}

/** dev_t of Linux, as makedev() of glibc and musl packs it. */
export function packDevice({ major, minor }: DeviceNumber): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)]
  return (
    ((high & 0xfffff000n) << 32n) |
    ((high & 0xfffn) << 8n) |
    ((low & 0xffffff00n) << 12n) |
    (low & 0xffn)
  )
}

export function unpackDevice(device: bigint): DeviceNumber {
  return {
    major: Number(((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn)),
    minor: Number(((device >> 12n) & 0xffffff00n) | (device & 0xffn)),
  }
}

/** Opens a regular file for reading: never through a symlink, never waiting for a fifo's writer,
 * and without touching its atime where the system allows that. */
export function openForReading(path: Buffer): number {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  try {
    return openSync(path, flags | (constants.O_NOATIME ?? 0))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error // O_NOATIME: owner only
    return openSync(path, flags)
  }
}

export const closeQuietly = (fd: number): void => {
  try {
    closeSync(fd)
  } catch {
    // Nothing is lost: read-only, or the error came earlier with the write.
  }
}
