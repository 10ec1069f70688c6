// src/server/store/disk-store.ts — how are blobs kept in a folder?
import { BLOB_SIZE_BYTES_MAX, BLOB_SIZE_BYTES_MIN } from '../../chunk/index.ts'
import { HoldfastError } from '../../errors.ts'
import { noFailpoints, type ReachFailpoint } from '../failpoints.ts'
import type {
  BlobDraft,
  BlobEntry,
  BlobReader,
  BlobStore,
  StoreProblem,
  StoreUsage,
} from './blob-store.ts'
import { DiskDraft } from './disk-draft.ts'
import { DiskHealth, readFailure } from './disk-health.ts'
import {
  blobFolder,
  blobPath,
  makeLayout,
  moveToQuarantine,
  partPath,
  surveyStore,
} from './disk-layout.ts'
import { codeOf, type FileSystem, type OpenFile, realFileSystem } from './file-system.ts'
import { mustBeInside } from './verify.ts'

export interface DiskStoreOptions {
  /** The server's own folder; made when it is missing, its parent must exist. */
  readonly folder: string
  /** Free space that blobs never use. */
  readonly reserveBytes: number
  readonly nowMs: () => number
  readonly fs?: FileSystem
  readonly reach?: ReachFailpoint
}

/** Memory: about 150 bytes for each blob held (its id and size), nothing else that grows. */
export class DiskStore implements BlobStore {
  readonly #root: string
  readonly #fs: FileSystem
  readonly #options: DiskStoreOptions
  readonly #health: DiskHealth
  readonly #reach: ReachFailpoint
  readonly #held = new Map<string, number>()
  /** Renames under way, so that of two drafts of one blob only one is published. */
  readonly #publishing = new Map<string, Promise<void>>()
  readonly #drafts = new Set<DiskDraft>()
  #usedBytes = 0
  /** Promised to drafts that are being opened. */
  /** There was no room for a blob of this size. */
  #refusedBytes = 0
  #openingBytes = 0
  #serial = 0
  /** Called when a blob turns out to be gone from the disk: the manager must hear of it. */
  onLost: ((blobId: string) => void) | null = null

  private constructor(options: DiskStoreOptions) {
    this.#options = options
    this.#root = options.folder
    this.#fs = options.fs ?? realFileSystem
    this.#reach = options.reach ?? noFailpoints
    this.#health = new DiskHealth(options.nowMs)
  }

  /** Makes the folders at the first start, checks names and sizes at every start. Rejects with
   * STORAGE_FAILED when the folder itself cannot be used. */
  static async open(
    options: DiskStoreOptions,
  ): Promise<{ store: DiskStore; problems: StoreProblem[] }> {
    const store = new DiskStore(options)
    try {
      await makeLayout(store.#fs, store.#root)
      const sizes = { min: BLOB_SIZE_BYTES_MIN, max: BLOB_SIZE_BYTES_MAX }
      const { blobs, problems } = await surveyStore(store.#fs, store.#root, sizes)
      for (const { blobId, sizeBytes } of blobs) store.#hold(blobId, sizeBytes)
      return { store, problems }
    } catch (error) {
      throw readFailure(error, `opening the blob store in ${options.folder}`)
    }
  }

  sizeBytes(blobId: string): number | null {
    return this.#held.get(blobId) ?? null
  }

  async create(blobId: string, sizeBytes: number): Promise<BlobDraft> {
    this.#openingBytes += sizeBytes
    try {
      const refusal = this.#health.refusal() ?? (await this.#lackOfRoom(sizeBytes))
      if (refusal) throw new HoldfastError('STORAGE_FULL', refusal)
      const { file, path } = await this.#createPart(blobId)
      const draft: DiskDraft = new DiskDraft({
        blobId,
        sizeBytes,
        file,
        path,
        fs: this.#fs,
        health: this.#health,
        reach: this.#reach,
        publish: (part) => this.#publish(part, blobId, sizeBytes),
        released: () => this.#drafts.delete(draft),
      })
      this.#drafts.add(draft)
      return draft
    } catch (error) {
      throw this.#health.handleWriteFailure(error, 'beginning a blob')
    } finally {
      this.#openingBytes -= sizeBytes
    }
  }

  async open(blobId: string): Promise<BlobReader> {
    const sizeBytes = this.#held.get(blobId)
    if (sizeBytes === undefined) throw notHeld(blobId)
    try {
      return diskReader(blobId, sizeBytes, await this.#fs.openRead(blobPath(this.#root, blobId)))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw readFailure(error, 'opening a blob')
      this.#drop(blobId)
      this.onLost?.(blobId)
      throw notHeld(blobId)
    }
  }

  *list(): Iterable<BlobEntry> {
    for (const [blobId, sizeBytes] of this.#held) yield { blobId, sizeBytes }
  }

  async usage(): Promise<StoreUsage> {
    const freeBytes = await this.#fs.freeBytes(this.#root).catch(() => 0)
    return {
      usedBytes: this.#usedBytes,
      freeBytes,
      blobs: this.#held.size,
      readOnly:
        this.#health.refusal() !== null ||
        freeBytes - this.#options.reserveBytes < this.#refusedBytes,
    }
  }

  async quarantine(blobId: string): Promise<void> {
    if (!this.#held.has(blobId)) throw notHeld(blobId)
    try {
      await moveToQuarantine(this.#fs, this.#root, blobPath(this.#root, blobId), blobId)
      this.#drop(blobId)
      await this.#fs.syncFolder(blobFolder(this.#root, blobId))
    } catch (error) {
      throw this.#health.handleWriteFailure(error, 'moving a blob to quarantine')
    }
  }

  async #lackOfRoom(sizeBytes: number): Promise<string | null> {
    const freeBytes = await this.#fs.freeBytes(this.#root)
    let owedBytes = this.#openingBytes
    for (const draft of this.#drafts) owedBytes += draft.owedBytes
    const { reserveBytes } = this.#options
    if (freeBytes - owedBytes >= reserveBytes) return null
    this.#refusedBytes = sizeBytes
    return `${freeBytes} bytes are free and ${reserveBytes} are kept in reserve: read-only now`
  }

  async #createPart(blobId: string): Promise<{ file: OpenFile; path: string }> {
    for (let attempt = 1; ; attempt += 1) {
      const path = partPath(this.#root, blobId, this.#serial++)
      try {
        return { file: await this.#fs.create(path), path }
      } catch (error) {
        // Only a part that a start could not remove is in the way.
        if (codeOf(error) !== 'EEXIST' || attempt === 100) throw error
      }
    }
  }

  async #publish(part: string, blobId: string, sizeBytes: number): Promise<void> {
    for (;;) {
      if (this.#held.has(blobId)) return void (await this.#fs.remove(part).catch(() => {}))
      const other = this.#publishing.get(blobId)
      if (!other) break
      await other.catch(() => {}) // its failure is its own: then it is our turn
    }
    const publishing = this.#rename(part, blobId, sizeBytes)
    this.#publishing.set(blobId, publishing)
    await publishing.finally(() => this.#publishing.delete(blobId))
  }

  async #rename(part: string, blobId: string, sizeBytes: number): Promise<void> {
    await this.#fs.rename(part, blobPath(this.#root, blobId))
    this.#reach('after-rename')
    // When this sync fails the file stays: it is whole, a second try replaces it by its equal, and
    // the next start finds it. Until one of these it does not count as held.
    await this.#fs.syncFolder(blobFolder(this.#root, blobId))
    this.#hold(blobId, sizeBytes)
  }

  #hold(blobId: string, sizeBytes: number): void {
    this.#held.set(blobId, sizeBytes)
    this.#usedBytes += sizeBytes
  }

  #drop(blobId: string): void {
    this.#usedBytes -= this.#held.get(blobId) ?? 0
    this.#held.delete(blobId)
  }
}

function diskReader(blobId: string, sizeBytes: number, file: OpenFile): BlobReader {
  let closing: Promise<void> | null = null
  return {
    blobId,
    sizeBytes,
    async read(offset, lengthBytes) {
      mustBeInside(sizeBytes, offset, lengthBytes)
      const bytes = Buffer.allocUnsafe(lengthBytes)
      const readBytes = await file.read(bytes, offset).catch((error: unknown) => {
        throw readFailure(error, 'reading a blob')
      })
      if (readBytes < lengthBytes) throw new HoldfastError('CORRUPT', `blob ${blobId} is cut short`)
      return bytes
    },
    close() {
      closing ??= file.close().catch(() => {})
      return closing
    },
  }
}

const notHeld = (blobId: string): HoldfastError =>
  new HoldfastError('NOT_FOUND', `blob ${blobId} is not on this server`)
