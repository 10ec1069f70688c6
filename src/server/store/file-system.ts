// src/server/store/file-system.ts — which disk operations does the store need, and who does them?
//
// Narrow on purpose: tests and the simulator stand in here with disks that fill up, fail, tear
// writes or forget what was not synced. Nothing here is ever called in its sync form: a slow disk
// must not hold up the transport.
import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises'

const FILE_MODE = 0o600 // what is stored is sealed, but its sizes are nobody else's business
const FOLDER_MODE = 0o700

/** One open file. Errors are Node's own, with `code` ENOSPC, EIO, … */
export interface OpenFile {
  /** Writes all pieces, one after the other from `position`. Resolves when the system has all. */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>
  /** Fills `into` from `position`; resolves with the bytes read, fewer only at the file's end. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Bytes and length are on the platter once this resolves. */
  datasync(): Promise<void>
  close(): Promise<void>
}

export interface FolderEntry {
  readonly name: string
  readonly isFile: boolean
}

export interface FileSystem {
  /** A new file for writing and reading back; EEXIST when the name is taken. */
  create(path: string): Promise<OpenFile>
  openRead(path: string): Promise<OpenFile>
  /** The whole of a small file. */
  readSmall(path: string): Promise<Uint8Array>
  /** A name is safe in its folder only once the folder is synced. */
  syncFolder(path: string): Promise<void>
  /** False when it exists already; parents are not made. */
  makeFolder(path: string): Promise<boolean>
  list(path: string): Promise<FolderEntry[]>
  sizeBytes(path: string): Promise<number>
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** What an unprivileged writer may still use on the disk that holds `path`. */
  freeBytes(path: string): Promise<number>
}

export const realFileSystem: FileSystem = {
  async create(path) {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR
    return wrap(await open(path, flags, FILE_MODE))
  },
  openRead: async (path) => wrap(await open(path, 'r')),
  async readSmall(path) {
    await using handle = await open(path, 'r')
    return handle.readFile()
  },
  async syncFolder(path) {
    await using handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    await handle.sync()
  },
  async makeFolder(path) {
    try {
      await mkdir(path, FOLDER_MODE)
      return true
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      return false
    }
  },
  async list(path) {
    const entries = await readdir(path, { withFileTypes: true })
    return entries.map((entry) => ({ name: entry.name, isFile: entry.isFile() }))
  },
  sizeBytes: async (path) => (await stat(path)).size,
  rename,
  remove: unlink,
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
}

/** The system's error code, or '' for anything else. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}

function wrap(handle: Awaited<ReturnType<typeof open>>): OpenFile {
  return {
    async write(pieces, position) {
      let rest = pieces
      let at = position
      while (rest.length > 0) {
        const { bytesWritten } = await handle.writev([...rest], at)
        // A disk that has just filled up takes a part first and says ENOSPC to the next call.
        if (bytesWritten === 0) throw Object.assign(new Error('wrote nothing'), { code: 'EIO' })
        at += bytesWritten
        rest = after(rest, bytesWritten)
      }
    },
    async read(into, position) {
      let filled = 0
      while (filled < into.length) {
        const { bytesRead } = await handle.read(
          into,
          filled,
          into.length - filled,
          position + filled,
        )
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return filled
    },
    datasync: () => handle.datasync(),
    close: () => handle.close(),
  }
}

/** What is left of `pieces` when the first `taken` bytes are gone. */
function after(pieces: readonly Uint8Array[], taken: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = taken
  for (const piece of pieces) {
    if (skip >= piece.length) skip -= piece.length
    else {
      rest.push(skip === 0 ? piece : piece.subarray(skip))
      skip = 0
    }
  }
  return rest
}
