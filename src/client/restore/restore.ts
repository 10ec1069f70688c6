// src/client/restore/restore.ts — how does a snapshot become files again?
//
// The tree is walked in order; folders are made on the way, files are collected into batches whose
// chunks come from all replicas at once. An entry that fails is reported and the rest goes on.
import type { Compressor, RepositoryKeys } from '../../chunk/index.ts'
import { isHoldfastError } from '../../errors.ts'
import { Problems, type RestoreSummary } from '../events.ts'
import type { NativeFiles } from '../os/native.ts'
import { absolutePath, joinPath, ROOT } from '../path.ts'
import { ChunkReader, isLoss } from '../remote/chunk-reader.ts'
import { breathe, type Context, throwIfAborted } from '../remote/context.ts'
import type { ManagerLink } from '../remote/manager-link.ts'
import { findSnapshot } from '../remote/snapshots.ts'
import { type StoredEntry, StoredTree } from '../remote/stored-tree.ts'
import { TreeCache } from '../remote/tree-cache.ts'
import { Batches } from './batches.ts'
import { problemFor } from './entry-problem.ts'
import { holdsContent, looksRight } from './existing.ts'
import { FileJob, type FileJobHandlers } from './file-job.ts'
import { HardLinks, type Outcome } from './hard-links.ts'
import { Include } from './include.ts'
import { type LinkSource, TargetEntry } from './target-entry.ts'
import { type TargetFolder, TargetFolders } from './target-folders.ts'

export interface RestoreRequest {
  /** A unique prefix of its id, at least 4 hex digits, or 'latest'. */
  readonly snapshot: string
  /** Made when it is absent. The absolute paths of the snapshot land below it. */
  readonly target: string | Uint8Array
  /** Absolute paths as stored: what is at or below one of them. Default: everything. */
  readonly include?: readonly (string | Uint8Array)[]
}

export interface RestoreDeps {
  readonly link: ManagerLink
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
  readonly native: NativeFiles
}

const TURN_MS = 3
/** Open folders wait for files under way; each is a descriptor. */
const FOLDERS_OPEN_MAX = 400

export async function restore(
  context: Context,
  deps: RestoreDeps,
  request: RestoreRequest,
): Promise<RestoreSummary> {
  return await new RestoreRun(context, deps, request).run()
}

class RestoreRun {
  readonly #context: Context
  readonly #deps: RestoreDeps
  readonly #request: RestoreRequest
  readonly #startedMs: number
  readonly #problems: Problems
  readonly #folders: TargetFolders
  readonly #include: Include
  readonly #links = new HardLinks()
  /** Names that take the place of a first name which failed. */
  readonly #retries: (() => Promise<void>)[] = []
  readonly #reader: ChunkReader
  readonly #tree: StoredTree
  readonly #batches: Batches
  readonly #counts = { files: 0, folders: 0, others: 0, bytes: 0, writtenBytes: 0, skippedFiles: 0 }
  #sockets = 0
  #turnEndMs = 0
  #reportAtMs = 0

  constructor(context: Context, deps: RestoreDeps, request: RestoreRequest) {
    this.#context = context
    this.#deps = deps
    this.#request = request
    this.#startedMs = context.clock.nowMs()
    this.#problems = new Problems(context.onEvent)
    this.#folders = new TargetFolders(deps.native, (path, error) => this.#fail(path, error))
    this.#include = new Include(request.include ?? [])
    this.#reader = new ChunkReader(context, deps.link, deps)
    this.#tree = new StoredTree(new TreeCache(context, this.#reader))
    this.#batches = new Batches(context, this.#reader)
  }

  async run(): Promise<RestoreSummary> {
    const { link, keys } = this.#deps
    const { onEvent } = this.#context
    const snapshot = await findSnapshot(link, keys.repositoryId, this.#request.snapshot)
    const record = await this.#tree.snapshot(snapshot)
    onEvent({ type: 'phase', phase: 'restore', pass: 1 })
    const target = this.#folders.openTarget(absolutePath(this.#request.target))
    try {
      await this.#folder(record.root, ROOT, target)
      await this.#batches.drain()
      for (let retry = this.#retries.shift(); retry; retry = this.#retries.shift()) {
        await retry()
        await this.#batches.drain()
      }
    } catch (error) {
      await this.#batches.abandon(error)
      throw error
    } finally {
      this.#folders.release(target)
    }
    for (const problem of this.#include.problems()) this.#problems.add(problem)
    this.#report(true)
    onEvent({ type: 'phase', phase: 'done', pass: 1 })
    return this.#summary(snapshot)
  }

  async #folder(node: string, path: Buffer, folder: TargetFolder): Promise<void> {
    if (this.#include.begins(path)) this.#tree.readAhead(node)
    for await (const entry of this.#tree.entries(node)) {
      await this.#turn()
      const at = joinPath(path, entry.name)
      const relation = this.#include.relation(at)
      if (relation === 'outside') continue
      if (entry.type === 'dir') await this.#subfolder(entry, at, folder, relation === 'above')
      else if (relation === 'inside') await this.#entry(entry, folder)
    }
  }

  async #subfolder(
    entry: StoredEntry,
    path: Buffer,
    parent: TargetFolder,
    isAbove: boolean,
  ): Promise<void> {
    let folder: TargetFolder
    try {
      folder = this.#folders.enter(parent, entry.name, isAbove ? null : entry)
    } catch (error) {
      this.#fail(joinPath(parent.path, entry.name), error)
      return
    }
    if (!isAbove) this.#counts.folders += 1
    try {
      await this.#folder(entry.subtree!, path, folder)
    } catch (error) {
      if (!isLoss(error)) throw error
      this.#fail(folder.path, error)
    } finally {
      this.#folders.release(folder)
    }
  }

  async #entry(entry: StoredEntry, folder: TargetFolder): Promise<void> {
    const place = new TargetEntry(this.#folders, folder, entry.name)
    folder.pending += 1
    const { hardlink } = entry
    const key = hardlink ? `${hardlink.device}:${hardlink.inode}` : null
    if (hardlink && key !== null) {
      const role = this.#links.meet(key, hardlink.links, (first) => {
        if (first === 'again') this.#retries.push(() => this.#content(entry, place, key))
        else this.#link(entry, place, first)
      })
      if (role === 'link') return
    }
    await this.#content(entry, place, key)
  }

  async #content(entry: StoredEntry, place: TargetEntry, key: string | null): Promise<void> {
    const end = (error: unknown | null): void => this.#end(entry, place, key, error)
    try {
      if (entry.type === 'file') await this.#file(entry, place, end)
      else {
        this.#other(entry, place)
        end(null)
      }
    } catch (error) {
      if (isHoldfastError(error) && !isLoss(error)) throw error
      end(error)
    }
  }

  /** `end` is called once: here, or when the last chunk has come. */
  async #file(
    entry: StoredEntry,
    place: TargetEntry,
    end: (error: unknown | null) => void,
  ): Promise<void> {
    const { onEvent } = this.#context
    const { path } = place
    if (looksRight(place.at, entry)) {
      const refs = this.#tree.content(entry)
      if (await holdsContent(place.at, entry, refs, this.#deps.keys)) {
        this.#folders.applyMetadata(place.at, entry)
        this.#counts.skippedFiles += 1
        onEvent({ type: 'file', state: 'skipped', path, sizeBytes: entry.size })
        end(null)
        return
      }
    }
    onEvent({ type: 'file', state: 'started', path, sizeBytes: entry.size })
    const handlers: FileJobHandlers = {
      onRestored: () => {
        this.#counts.writtenBytes += entry.size
        onEvent({ type: 'file', state: 'finished', path, sizeBytes: entry.size })
        end(null)
      },
      onFailed: (_, error) => end(error),
    }
    const job = new FileJob(entry, place, handlers)
    let offset = 0
    try {
      for await (const ref of this.#tree.content(entry)) {
        if (job.hasFailed) break
        await this.#batches.add(job, ref, offset)
        offset += ref.length
      }
    } catch (error) {
      job.handleFailure(error)
      if (!isLoss(error)) throw error
      return
    }
    job.settle()
  }

  #other(entry: StoredEntry, place: TargetEntry): void {
    if (entry.type === 'symlink') place.putSymlink(entry.target!, entry)
    else if (entry.type === 'socket') this.#sockets += 1
    else if (entry.type !== 'file' && entry.type !== 'dir') {
      place.putNode(entry.type, entry.device ?? { major: 0, minor: 0 }, entry, this.#deps.native)
    }
  }

  #link(entry: StoredEntry, place: TargetEntry, first: LinkSource | 'lost'): void {
    let problem: unknown = null
    try {
      if (first !== 'lost') place.putLink(first)
      else problem = Object.assign(new Error('its other name failed'), { code: 'ENOENT' })
    } catch (error) {
      problem = error
    }
    this.#end(entry, place, null, problem)
  }

  /** Of every entry but folders, whichever way it went. */
  #end(entry: StoredEntry, place: TargetEntry, key: string | null, error: unknown | null): void {
    let source: Outcome = isHoldfastError(error) ? 'lost' : 'again'
    if (error !== null) this.#fail(place.path, error)
    else if (entry.type === 'file') {
      this.#counts.files += 1
      this.#counts.bytes += entry.size
    } else this.#counts.others += 1
    try {
      if (error === null && key !== null && entry.type !== 'socket') source = place.identity()
    } catch {
      // Removed meanwhile by somebody: its other names say so.
    }
    if (key !== null) this.#links.settle(key, source)
    this.#folders.release(place.folder)
  }

  #fail(path: Buffer, error: unknown): void {
    if (isHoldfastError(error, 'CANCELLED')) return // Not one entry's problem.
    this.#problems.add(problemFor(path, error))
  }

  async #turn(): Promise<void> {
    const { clock, signal } = this.#context
    if (this.#folders.open > FOLDERS_OPEN_MAX) await this.#batches.drain()
    if (clock.nowMs() < this.#turnEndMs) return
    throwIfAborted(signal)
    this.#report(false)
    await breathe(clock)
    this.#turnEndMs = clock.nowMs() + TURN_MS
  }

  #report(always: boolean): void {
    const { clock, onEvent } = this.#context
    if (!always && clock.nowMs() < this.#reportAtMs) return
    this.#reportAtMs = clock.nowMs() + 100
    const { files, bytes, writtenBytes } = this.#counts
    const storedBytes = this.#reader.fetchedBytes
    onEvent({ type: 'progress', files, bytes, newBytes: writtenBytes, storedBytes })
  }

  #summary(snapshot: string): RestoreSummary {
    const { list, count } = this.#problems
    const notices = [...this.#deps.native.dropped]
    if (this.#folders.ownersDropped > 0) {
      const entries = `${this.#folders.ownersDropped} entries`
      notices.push(`owners of ${entries} were not set: only root may give files away`)
    }
    if (this.#sockets > 0)
      notices.push(`${this.#sockets} sockets left out: programs make them anew`)
    return {
      snapshot,
      ...this.#counts,
      seconds: (this.#context.clock.nowMs() - this.#startedMs) / 1000,
      warnings: count,
      problems: list,
      notices,
      badReplicas: this.#reader.badReplicas,
      exitCode: count > 0 ? 3 : 0,
    }
  }
}
