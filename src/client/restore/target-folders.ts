// src/client/restore/target-folders.ts — how does a restore stay inside its target folder?
//
// Every folder is opened below its parent's descriptor and never through a symlink (on Linux by way
// of /proc/self/fd, which works as openat does). Whoever swaps a folder for a symlink meanwhile
// changes nothing: we go on in the folder that we opened. Elsewhere, and without /proc, device and
// inode of each folder up to the target are compared before each use: a narrow race is left there.
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
} from 'node:fs'
import { HoldfastError } from '../../errors.ts'
import { makeFolder } from '../../identity/index.ts'
import type { NativeFiles } from '../os/native.ts'
import { displayPath, joinPath } from '../path.ts'
import { codeOf } from '../source/files.ts'
import { EntryProblem } from './entry-problem.ts'

/** What all entries have, and restore sets last. */
export interface EntryMetadata {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
}

const O_PATH = 0o10000000 // Linux; neither Node nor a missing read permission hinders it.
const OPEN_FOLDER = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW
const PERMISSIONS = 0o7777
const SETUID_SETGID = 0o6000

export interface TargetFolder {
  readonly parent: TargetFolder | null
  /** For messages, and for calls where there is no /proc. */
  readonly path: Buffer
  readonly fd: number | null
  readonly device: bigint
  readonly inode: bigint
  /** Null: the target itself, or a folder on the way to an included path; left as it is. */
  readonly metadata: EntryMetadata | null
  /** What is still to come inside: the walk, subfolders, files under way. */
  pending: number
}

export class TargetFolders {
  readonly #native: NativeFiles
  readonly #onProblem: (path: Buffer, error: unknown) => void
  readonly #byDescriptor = process.platform === 'linux' && existsSync('/proc/self/fd')
  readonly isRoot = process.getuid?.() === 0
  open = 0
  /** Entries whose owner or setuid bits could not be given, since we are not root. */
  ownersDropped = 0

  constructor(native: NativeFiles, onProblem: (path: Buffer, error: unknown) => void) {
    this.#native = native
    this.#onProblem = onProblem
  }

  /** The target, made when it is absent. The user chose it: symlinks on the way to it are fine. */
  openTarget(path: Buffer): TargetFolder {
    try {
      makeFolder(path)
      return this.#open(realpathSync(path, { encoding: 'buffer' }), null, null, null)
    } catch (cause) {
      const what = `the target ${displayPath(path)} cannot be used (${codeOf(cause)})`
      throw new HoldfastError('BAD_USAGE', `${what}; name a folder that you may write to`, {
        cause,
      })
    }
  }

  /** A folder in another; made when absent. Throws an EntryProblem when something else, a symlink
   * too, is in the way. `metadata` is set when all of it is done. */
  enter(parent: TargetFolder, name: Uint8Array, metadata: EntryMetadata | null): TargetFolder {
    const path = joinPath(parent.path, name)
    const at = this.at(parent, name)
    const there = lstatSync(at, { bigint: true, throwIfNoEntry: false })
    if (!there) mkdirSync(at, { mode: 0o700 })
    else if (there.isSymbolicLink()) {
      throw new EntryProblem('ELOOP', `${displayPath(path)} is a symlink; not followed`)
    } else if (!there.isDirectory()) {
      throw new EntryProblem('ENOTDIR', `${displayPath(path)} is no folder but in its place`)
    }
    const folder = this.#open(path, parent, metadata, at)
    parent.pending += 1
    return folder
  }

  /** How to name an entry of a folder in a call. Throws when the folder is not what it was. */
  at(folder: TargetFolder, name: Uint8Array): Buffer {
    if (folder.fd !== null) return joinPath(Buffer.from(`/proc/self/fd/${folder.fd}`), name)
    for (let up: TargetFolder | null = folder; up !== null; up = up.parent) {
      const now = lstatSync(up.path, { bigint: true })
      if (!now.isDirectory() || now.dev !== up.device || now.ino !== up.inode) {
        throw new EntryProblem('ELOOP', `${displayPath(up.path)} was exchanged meanwhile`)
      }
    }
    return joinPath(folder.path, name)
  }

  /** One thing less to come; the last one sets the metadata, which its content would disturb. */
  release(folder: TargetFolder): void {
    folder.pending -= 1
    if (folder.pending > 0) return
    try {
      // "/." ends at the folder itself where the bare descriptor would be a link to it.
      const at = folder.fd === null ? folder.path : Buffer.from(`/proc/self/fd/${folder.fd}/.`)
      if (folder.metadata) this.applyMetadata(at, folder.metadata)
    } catch (error) {
      this.#onProblem(folder.path, error)
    } finally {
      this.open -= 1
      if (folder.fd !== null) closeSync(folder.fd)
    }
    if (folder.parent) this.release(folder.parent)
  }

  /** Owner (as root), mode, mtime, in this order: chown clears setuid. `isLink`: it has no mode. */
  applyMetadata(at: Buffer, metadata: EntryMetadata, isLink = false): void {
    const { uid, gid, mtimeNs } = metadata
    let mode = metadata.mode & PERMISSIONS
    if (this.isRoot) lchownSync(at, uid, gid)
    else if (uid !== process.getuid?.() || gid !== process.getgid?.()) {
      this.ownersDropped += 1
      if (uid !== process.getuid?.()) mode &= ~SETUID_SETGID // Meant for another owner.
    }
    if (!isLink) chmodSync(at, mode)
    this.#native.setMtimeNs(at, mtimeNs)
  }

  #open(
    path: Buffer,
    parent: TargetFolder | null,
    metadata: EntryMetadata | null,
    at: Buffer | null,
  ): TargetFolder {
    const fd = this.#byDescriptor ? openSync(at ?? path, OPEN_FOLDER) : null
    const stat = fd === null ? lstatSync(path, { bigint: true }) : fstatSync(fd, { bigint: true })
    this.open += 1
    return { parent, path, fd, device: stat.dev, inode: stat.ino, metadata, pending: 1 }
  }
}
