// src/server/arriving-blob.ts — how do bytes go to disk and to the backup server at the same time?
//
//   push ─▶ ┌──────────── window in memory ────────────┐ ─▶ tail(): a reader that keeps up
//           │ on disk already (≤ 1 MiB) │ not yet (≤ 1 MiB) │
//           └──────────────────────────────────────────┘
//           └─▶ draft on disk ─────────────────────────────▶ tail(): a reader that lags or starts late
//
// A slow disk holds up the sender; a slow backup server holds up nobody and costs no memory, for
// it reads what it has missed from the draft.
import { HoldfastError } from '../errors.ts'
import type { BlobDraft, BlobStore } from './store/blob-store.ts'

/** Small writes cost a round through the thread pool each. */
const WRITE_BYTES_MIN = 256 * 1024
/** Twice what one write takes: the next fills up while one is under way. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024
const WRITTEN_WINDOW_BYTES_MAX = 1024 * 1024
const READ_BACK_BYTES = 256 * 1024

/** Where the bytes for a backup server come from; every call reads from the beginning. */
export interface BlobSource {
  readonly sizeBytes: number
  /** Ends after sizeBytes; throws what made that impossible. */
  tail(): AsyncIterable<Uint8Array>
}

/** A blob on its way in: one writer, any number of readers. Memory: at most 2 MiB and a piece,
 * and 256 KiB for each reader that lags. */
export class ArrivingBlob implements BlobSource {
  readonly sizeBytes: number
  readonly #draft: BlobDraft
  /** The window, gapless; `offset` is the place in the blob. */
  readonly #pieces: { offset: number; bytes: Uint8Array }[] = []
  #windowOffset = 0
  #writtenBytes = 0
  #arrivedBytes = 0
  #writing: Promise<void> | null = null
  #failure: unknown = null
  #waiters: (() => void)[] = []

  constructor(draft: BlobDraft) {
    this.#draft = draft
    this.sizeBytes = draft.sizeBytes
  }

  get arrivedBytes(): number {
    return this.#arrivedBytes
  }

  /** With the operating system, not yet synced. */
  get writtenBytes(): number {
    return this.#writtenBytes
  }

  get isComplete(): boolean {
    return this.#arrivedBytes >= this.sizeBytes
  }

  /** Takes the next bytes without a copy. Resolves when more may come. Rejects as
   * BlobDraft.append does. */
  async push(bytes: Uint8Array): Promise<void> {
    this.#throwFailure()
    this.#pieces.push({ offset: this.#arrivedBytes, bytes })
    this.#arrivedBytes += bytes.length
    this.#wake()
    if (this.#arrivedBytes - this.#writtenBytes >= WRITE_BYTES_MIN) this.#startWriting()
    while (this.#arrivedBytes - this.#writtenBytes > UNWRITTEN_BYTES_MAX) {
      await this.#change()
      this.#throwFailure()
    }
  }

  /** All bytes have come: verified and durable once this resolves. */
  async commit(): Promise<{ index: Uint8Array }> {
    try {
      while (this.#writtenBytes < this.#arrivedBytes) {
        this.#throwFailure()
        this.#startWriting()
        await this.#writing
      }
      this.#throwFailure()
      return await this.#draft.commit()
    } catch (error) {
      this.fail(error)
      throw error
    }
  }

  /** Ends all readers with that error, and push() and commit() too. */
  fail(error: unknown): void {
    this.#failure ??= error
    this.#wake()
  }

  /** Ends readers; removes what was not committed. Never rejects. */
  async close(): Promise<void> {
    this.fail(new HoldfastError('CANCELLED', 'the blob is no longer taken in'))
    await this.#writing
    this.#pieces.length = 0
    await this.#draft.close()
  }

  async *tail(): AsyncGenerator<Uint8Array, void, void> {
    let offset = 0
    while (offset < this.sizeBytes) {
      this.#throwFailure()
      if (offset < this.#windowOffset) {
        const lengthBytes = Math.min(READ_BACK_BYTES, this.#windowOffset - offset)
        const bytes = await this.#draft.read(offset, lengthBytes)
        offset += bytes.length
        yield bytes
      } else if (offset < this.#arrivedBytes) {
        const bytes = this.#pieceAt(offset)
        offset += bytes.length
        yield bytes
      } else await this.#change()
    }
  }

  #startWriting(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null
      this.#wake()
    })
  }

  /** Writes what waits, in one go, and goes on while it is worth a write. */
  async #write(): Promise<void> {
    try {
      do {
        const waiting = this.#pieces.filter(({ offset }) => offset >= this.#writtenBytes)
        await this.#draft.append(waiting.map(({ bytes }) => bytes))
        const last = waiting.at(-1)
        if (last) this.#writtenBytes = last.offset + last.bytes.length
        this.#shrinkWindow()
        this.#wake()
      } while (this.#arrivedBytes - this.#writtenBytes >= WRITE_BYTES_MIN && !this.#failure)
    } catch (error) {
      this.fail(error)
    }
  }

  /** Forgets the oldest pieces that are on disk. */
  #shrinkWindow(): void {
    let gone = 0
    for (const { offset, bytes } of this.#pieces) {
      const endOffset = offset + bytes.length
      const keptBytes = this.#writtenBytes - endOffset
      if (keptBytes < WRITTEN_WINDOW_BYTES_MAX) break
      this.#windowOffset = endOffset
      gone += 1
    }
    this.#pieces.splice(0, gone)
  }

  /** The bytes from there to the end of the piece that holds them. */
  #pieceAt(wanted: number): Uint8Array {
    let low = 0
    let high = this.#pieces.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#pieces[middle]?.offset ?? Infinity) <= wanted) low = middle
      else high = middle - 1
    }
    const piece = this.#pieces[low]
    if (!piece) throw new Error('the window has a gap')
    return piece.offset === wanted ? piece.bytes : piece.bytes.subarray(wanted - piece.offset)
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  #wake(): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

/** A blob that is held already, as a source for another server. */
export class HeldBlob implements BlobSource {
  readonly sizeBytes: number
  readonly #store: BlobStore
  readonly #blobId: string

  constructor(store: BlobStore, blobId: string, sizeBytes: number) {
    this.#store = store
    this.#blobId = blobId
    this.sizeBytes = sizeBytes
  }

  async *tail(): AsyncGenerator<Uint8Array, void, void> {
    const reader = await this.#store.open(this.#blobId)
    try {
      for (let offset = 0; offset < this.sizeBytes; offset += READ_BACK_BYTES) {
        yield await reader.read(offset, Math.min(READ_BACK_BYTES, this.sizeBytes - offset))
      }
    } finally {
      await reader.close()
    }
  }
}
