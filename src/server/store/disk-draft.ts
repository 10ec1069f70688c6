// src/server/store/disk-draft.ts — how does one blob come to rest on disk?
//
// tmp/<id>.<n>.part grows; commit(): verify, fdatasync, rename, fsync of the folder. Killed at any
// moment, this leaves a part that the next start removes, or a whole blob.
import { HoldfastError } from '../../errors.ts'
import type { ReachFailpoint } from '../failpoints.ts'
import type { BlobDraft } from './blob-store.ts'
import type { DiskHealth } from './disk-health.ts'
import { readFailure } from './disk-health.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { BlobVerifier } from './verify.ts'

export interface DiskDraftParts {
  readonly blobId: string
  readonly sizeBytes: number
  readonly file: OpenFile
  readonly path: string
  readonly fs: FileSystem
  readonly health: DiskHealth
  readonly reach: ReachFailpoint
  /** Gives the part its final name, or drops it where the blob is held by now. */
  readonly publish: (path: string) => Promise<void>
  /** Called once, when the draft owes the disk nothing more. */
  readonly released: () => void
}

export class DiskDraft implements BlobDraft {
  readonly blobId: string
  readonly sizeBytes: number
  readonly #parts: DiskDraftParts
  readonly #verifier: BlobVerifier
  #writtenBytes = 0
  #committed = false
  #failed = false
  #closing: Promise<void> | null = null

  constructor(parts: DiskDraftParts) {
    this.blobId = parts.blobId
    this.sizeBytes = parts.sizeBytes
    this.#parts = parts
    this.#verifier = new BlobVerifier(parts.blobId, parts.sizeBytes)
  }

  /** How much this draft may still write. */
  get owedBytes(): number {
    return this.#closing || this.#committed ? 0 : this.sizeBytes - this.#writtenBytes
  }

  async append(pieces: readonly Uint8Array[]): Promise<void> {
    this.#mustBeOpen()
    try {
      const lengthBytes = this.#verifier.update(pieces)
      await this.#parts.file.write(pieces, this.#writtenBytes)
      this.#writtenBytes += lengthBytes
    } catch (error) {
      this.#failed = true
      throw this.#parts.health.handleWriteFailure(error, 'writing a blob')
    }
  }

  async read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    if (this.#closing) throw new HoldfastError('CANCELLED', 'the blob is no longer taken in')
    const bytes = Buffer.allocUnsafe(lengthBytes)
    const readBytes = await this.#parts.file.read(bytes, offset).catch((error: unknown) => {
      throw readFailure(error, 'reading a blob back')
    })
    if (readBytes < lengthBytes) {
      throw new HoldfastError('STORAGE_FAILED', 'the disk gave back less than was written')
    }
    return bytes
  }

  async commit(): Promise<{ index: Uint8Array }> {
    this.#mustBeOpen()
    const { file, path, health, publish, reach } = this.#parts
    try {
      const index = this.#verifier.finish()
      reach('before-datasync')
      await file.datasync()
      await publish(path)
      this.#committed = true
      health.handleWritten()
      return { index }
    } catch (error) {
      // After a failed sync nobody knows what the file holds: it is never tried again.
      this.#failed = true
      throw health.handleWriteFailure(error, 'syncing a blob')
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { file, fs, path, released } = this.#parts
    await file.close().catch(() => {})
    // What cannot be removed now goes at the next start.
    if (!this.#committed) await fs.remove(path).catch(() => {})
    released()
  }

  #mustBeOpen(): void {
    if (this.#closing || this.#failed || this.#committed) {
      throw new HoldfastError('CANCELLED', 'the blob is no longer taken in')
    }
  }
}
