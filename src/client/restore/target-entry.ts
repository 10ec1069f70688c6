// src/client/restore/target-entry.ts — how does one file, link or fifo appear complete or not at all?
import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { closeQuietly, type DeviceNumber, type NativeFiles } from '../os/native.ts'
import { displayPath, joinPath } from '../path.ts'
import { codeOf } from '../source/files.ts'
import { EntryProblem } from './entry-problem.ts'
import type { EntryMetadata, TargetFolder, TargetFolders } from './target-folders.ts'

const CREATE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)

const SYNC_BYTES_MAX = 256 * 2 ** 10

/** The same for the same entry in each run, so that what a killed restore left is cleared away. */
const partName = (name: Uint8Array): Buffer =>
  Buffer.from(`.holdfast-${createHash('sha256').update(name).digest('hex').slice(0, 24)}.part`)

export interface LinkSource {
  readonly path: Buffer
  readonly device: bigint
  readonly inode: bigint
}

/** A place in the target where something is made under a temporary name and then put. */
export class TargetEntry {
  readonly #folders: TargetFolders
  readonly #folder: TargetFolder
  readonly #name: Uint8Array
  readonly path: Buffer

  constructor(folders: TargetFolders, folder: TargetFolder, name: Uint8Array) {
    this.#folders = folders
    this.#folder = folder
    this.#name = name
    this.path = joinPath(folder.path, name)
  }

  get folder(): TargetFolder {
    return this.#folder
  }

  /** The entry's own place, for calls. */
  get at(): Buffer {
    return this.#folders.at(this.#folder, this.#name)
  }

  createFile(sizeBytes: number): PartFile {
    const part = this.#clearPart()
    const fd = openSync(part, CREATE, 0o600)
    return new PartFile(fd, sizeBytes, {
      put: (metadata) => this.#put(part, metadata),
      drop: () => unlinkQuietly(part),
    })
  }

  putSymlink(target: Uint8Array, metadata: EntryMetadata): void {
    const there = lstatSync(this.at, { throwIfNoEntry: false })
    const same =
      there?.isSymbolicLink() &&
      Buffer.compare(readlinkSync(this.at, { encoding: 'buffer' }), target) === 0
    if (same) {
      this.#folders.applyMetadata(this.at, metadata, true)
      return
    }
    const part = this.#clearPart()
    symlinkSync(Buffer.from(target), part)
    this.#put(part, metadata, true)
  }

  putNode(
    type: 'fifo' | 'chardev' | 'blockdev',
    device: DeviceNumber,
    metadata: EntryMetadata,
    native: NativeFiles,
  ): void {
    const part = this.#clearPart()
    native.makeNode(part, type, device)
    this.#put(part, metadata)
  }

  /** What later names of the same file link to. */
  identity(): LinkSource {
    const { dev, ino } = lstatSync(this.at, { bigint: true })
    return { path: this.path, device: dev, inode: ino }
  }

  /** Another name for what `first` is. Its folder may be closed by now, so it goes by the path;
   * should that lead elsewhere meanwhile, the inode tells, and nothing is put. */
  putLink(first: LinkSource): void {
    const isFirst = (at: Buffer): boolean => {
      const there = lstatSync(at, { bigint: true, throwIfNoEntry: false })
      return there?.dev === first.device && there.ino === first.inode
    }
    if (isFirst(this.at)) return
    const part = this.#clearPart()
    linkSync(first.path, part)
    if (!isFirst(part)) {
      unlinkQuietly(part)
      throw new EntryProblem('ELOOP', `${displayPath(first.path)} was exchanged meanwhile`)
    }
    this.#rename(part)
  }

  #clearPart(): Buffer {
    const part = this.#folders.at(this.#folder, partName(this.#name))
    unlinkQuietly(part)
    return part
  }

  #put(part: Buffer, metadata: EntryMetadata, isLink = false): void {
    try {
      this.#folders.applyMetadata(part, metadata, isLink)
    } catch (error) {
      unlinkQuietly(part)
      throw error
    }
    this.#rename(part)
  }

  #rename(part: Buffer): void {
    try {
      renameSync(part, this.at)
    } catch (error) {
      unlinkQuietly(part)
      throw error
    }
  }
}

/** A file that is being written under its temporary name. */
export class PartFile {
  #fd: number
  readonly #sizeBytes: number
  readonly #then: { put(metadata: EntryMetadata): void; drop(): void }

  constructor(
    fd: number,
    sizeBytes: number,
    then: { put(metadata: EntryMetadata): void; drop(): void },
  ) {
    this.#fd = fd
    this.#sizeBytes = sizeBytes
    this.#then = then
  }

  /** Small pieces at once, large ones on the thread pool: the disk may take its time. */
  writeAt(bytes: Uint8Array, position: number): void | Promise<void> {
    if (bytes.length > SYNC_BYTES_MAX) return this.#writeLarge(bytes, position)
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(this.#fd, bytes, at, bytes.length - at, position + at)
    }
  }

  async #writeLarge(bytes: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      at += await new Promise<number>((resolve, reject) => {
        write(this.#fd, bytes, at, bytes.length - at, position + at, (error, count) =>
          error ? reject(error) : resolve(count),
        )
      })
    }
  }

  /** Sets size (what was not written is a hole), owner, mode and mtime, then the name. */
  finish(metadata: EntryMetadata): void {
    try {
      ftruncateSync(this.#fd, this.#sizeBytes)
      closeSync(this.#fd)
    } catch (error) {
      this.drop()
      throw error
    }
    this.#fd = -1
    this.#then.put(metadata)
  }

  drop(): void {
    if (this.#fd >= 0) closeQuietly(this.#fd)
    this.#fd = -1
    this.#then.drop()
  }
}

function unlinkQuietly(path: Buffer): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    // In the way for good (a folder of that name?): creating the file says so.
  }
}
