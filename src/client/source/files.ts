// src/client/source/files.ts — what does a backup need from the file system it reads?
import {
  type BigIntStats,
  constants,
  fstatSync,
  lstatSync,
  read,
  readdirSync,
  readlinkSync,
  readSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { closeQuietly, type NativeFiles, openForReading } from '../os/native.ts'

/** The part of BigIntStats that a backup looks at; ns times, so nothing is rounded. */
export type SourceStat = Pick<
  BigIntStats,
  | 'dev'
  | 'ino'
  | 'mode'
  | 'nlink'
  | 'uid'
  | 'gid'
  | 'rdev'
  | 'size'
  | 'blocks'
  | 'mtimeNs'
  | 'ctimeNs'
>

/** An open regular file. Reads may be short; 0 means the end. */
export interface SourceFile {
  stat(): SourceStat
  /** At once, from the page cache if all is well: for small files. */
  readNow(into: Uint8Array, position: number): number
  /** On the thread pool: for large files. */
  read(into: Uint8Array, position: number): Promise<number>
  /** The next stretch of data at or after `position`, or null when only a hole is left. */
  nextData(position: number, sizeBytes: number): { start: number; end: number } | null
  close(): void
}

/** All calls throw system errors with `code`. Paths are bytes, absolute. Nothing follows symlinks
 * but `stat`. The small calls are synchronous: a promise costs more than the call, and the engine
 * gives the event loop its turn between them. */
export interface SourceFiles {
  lstat(path: Buffer): SourceStat
  stat(path: Buffer): SourceStat
  /** Names in a folder as latin1 text, in any order. */
  readNames(path: Buffer): string[]
  readLink(path: Buffer): Buffer
  open(path: Buffer): SourceFile
  /** True for what the kernel makes up while it is read (/proc, /sys): nothing to back up there. */
  isVirtual(path: Buffer): boolean
  hasXattrs(path: Buffer): boolean
}

// linux/magic.h: file systems whose files hold no data of anybody's.
const VIRTUAL_TYPES = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0x62656570, // configfs
  0x1cd1, // devpts
  0x19800202, // mqueue
])

/** The file system of this machine. */
export function openSourceFiles(native: NativeFiles): SourceFiles {
  return {
    lstat: (path) => lstatSync(path, { bigint: true }),
    stat: (path) => statSync(path, { bigint: true }),
    readNames: (path) => readdirSync(path, { encoding: 'latin1' }),
    readLink: (path) => readlinkSync(path, { encoding: 'buffer' }),
    open: (path) => openFile(path, native),
    isVirtual(path) {
      try {
        return VIRTUAL_TYPES.has(Number(statfsSync(path).type))
      } catch {
        return false
      }
    },
    hasXattrs: (path) => native.hasXattrs(path),
  }
}

function openFile(path: Buffer, native: NativeFiles): SourceFile {
  const fd = openForReading(path)
  return {
    stat: () => fstatSync(fd, { bigint: true }),
    readNow: (into, position) => readSync(fd, into, 0, into.length, position),
    read: (into, position) =>
      new Promise((resolve, reject) => {
        read(fd, into, 0, into.length, position, (error, count) =>
          error ? reject(error) : resolve(count),
        )
      }),
    nextData(position, sizeBytes) {
      if (position >= sizeBytes) return null
      const start = native.seekData(fd, position)
      if (start === null || start >= sizeBytes) return null
      return { start, end: Math.min(native.seekHole(fd, start) ?? sizeBytes, sizeBytes) }
    },
    close: () => closeQuietly(fd),
  }
}

export type SourceType = 'file' | 'dir' | 'symlink' | 'fifo' | 'socket' | 'chardev' | 'blockdev'

const TYPES: Record<number, SourceType> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'dir',
  [constants.S_IFLNK]: 'symlink',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFSOCK]: 'socket',
  [constants.S_IFCHR]: 'chardev',
  [constants.S_IFBLK]: 'blockdev',
}

/** Null for a type that no kernel we know has. */
export const typeOf = (stat: SourceStat): SourceType | null =>
  TYPES[Number(stat.mode) & constants.S_IFMT] ?? null

/** The code of a system error, for reports. */
export const codeOf = (error: unknown): string =>
  (error as NodeJS.ErrnoException | null)?.code ?? 'UNKNOWN'
