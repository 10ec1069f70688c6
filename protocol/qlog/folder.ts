// protocol/qlog/folder.ts — how do records reach files without ever holding up the transport?
//
// Writes are gathered, run beside the event loop and are bounded in memory and on the disk. The
// first error ends a file's recording; the connection goes on as if there had been no log.
import { close, mkdirSync, openSync, write } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Clock, Timer } from '../types.ts'
import type { RecordSink } from './qlog.ts'

/** Gathered until so much waits, or for so long. */
const GATHER_BYTES = 64 * 1024
const GATHER_MS = 1_000
/** A disk slower than the connection: what is beyond this is left out, and counted. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024
/** Enough for some million packets; a log must not fill the disk that backups need. */
const FILE_BYTES_MAX = 1024 * 1024 * 1024

/** One open file; a test's own, or the disk's. */
export interface LogFile {
  /** Tells how many of the bytes from `from` on were written; may be fewer than all. */
  write(bytes: Buffer, from: number, done: (error: Error | null, count: number) => void): void
  close(done: () => void): void
}

export interface QlogFolderOptions {
  /** Made when it is not there, readable by its owner only. */
  readonly dir: string
  readonly clock: Pick<Clock, 'setTimer'>
  /** Told of every file that could not be made or written. */
  readonly onError?: ((error: Error) => void) | undefined
  readonly fileBytesMax?: number
  /** Throws when it cannot be made. Default: a new file of that path with mode 0600. */
  readonly openFile?: (path: string) => LogFile
}

export class QlogFolder {
  readonly #options: QlogFolderOptions
  readonly #files = new Set<QlogFile>()

  constructor(options: QlogFolderOptions) {
    this.#options = options
  }

  /** DIR/NAME.sqlog, mode 0600, never over another file; null when that fails. */
  open(name: string): RecordSink | null {
    const { dir, clock, onError, fileBytesMax = FILE_BYTES_MAX } = this.#options
    try {
      const disk = (this.#options.openFile ?? openOnDisk)(join(dir, `${name}.sqlog`))
      const onDone = (error: Error | null): void => {
        this.#files.delete(file)
        if (error) onError?.(error)
      }
      const file: QlogFile = new QlogFile({ disk, clock, fileBytesMax, onDone })
      this.#files.add(file)
      return file
    } catch (error) {
      onError?.(error as Error)
      return null
    }
  }

  /** Resolves when all files that were ended are written and closed; never rejects. */
  async settled(): Promise<void> {
    await Promise.all([...this.#files].map((file) => file.done))
  }
}

function openOnDisk(path: string): LogFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const fd = openSync(path, 'wx', 0o600)
  return {
    write: (bytes, from, done) => write(fd, bytes, from, bytes.length - from, null, done),
    close: (done) => close(fd, () => done()),
  }
}

interface FileParts {
  readonly disk: LogFile
  readonly clock: Pick<Clock, 'setTimer'>
  readonly fileBytesMax: number
  readonly onDone: (error: Error | null) => void
}

class QlogFile implements RecordSink {
  readonly done: Promise<void>
  readonly #parts: FileParts
  readonly #resolve: () => void
  #waiting: string[] = []
  #waitingBytes = 0
  #totalBytes = 0
  leftOut = 0
  #timer: Timer | null = null
  #isWriting = false
  #isEnding = false
  #isClosed = false

  constructor(parts: FileParts) {
    this.#parts = parts
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#resolve = resolve
  }

  write(record: string): void {
    if (this.#isEnding || this.#isClosed) return
    const isTooMuch = this.#waitingBytes + record.length > WAITING_BYTES_MAX
    if (isTooMuch || this.#totalBytes + record.length > this.#parts.fileBytesMax) {
      this.leftOut += 1
      return
    }
    this.#waiting.push(record)
    this.#waitingBytes += record.length
    this.#totalBytes += record.length
    const isFirst = this.#totalBytes === record.length // a killed process leaves no empty file
    if (isFirst || this.#waitingBytes >= GATHER_BYTES) this.#flush()
    else this.#timer ??= this.#parts.clock.setTimer(() => this.#flush(), GATHER_MS)
  }

  end(lastRecord: string): void {
    if (this.#isEnding || this.#isClosed) return
    this.#waiting.push(lastRecord)
    this.#isEnding = true
    this.#flush()
  }

  #flush(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#isWriting || this.#isClosed) return
    if (this.#waiting.length === 0) {
      if (this.#isEnding) this.#close(null)
      return
    }
    const bytes = Buffer.from(this.#waiting.join(''))
    this.#waiting = []
    this.#waitingBytes = 0
    this.#isWriting = true
    this.#writeAll(bytes, 0)
  }

  #writeAll(bytes: Buffer, from: number): void {
    this.#parts.disk.write(bytes, from, (error, count) => {
      if (error) this.#close(error)
      else if (from + count < bytes.length) this.#writeAll(bytes, from + count)
      else {
        this.#isWriting = false
        const isDue = this.#waiting.length > 0 && this.#timer === null
        if (isDue || this.#isEnding || this.#waitingBytes >= GATHER_BYTES) this.#flush()
      }
    })
  }

  #close(error: Error | null): void {
    this.#isClosed = true
    this.#waiting = []
    this.#parts.disk.close(() => {
      this.#parts.onDone(error)
      this.#resolve()
    })
  }
}
