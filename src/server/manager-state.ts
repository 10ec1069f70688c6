// src/server/manager-state.ts — what is the newest catalog that this server has ever heard of?
//
// A manager that comes back with an older catalog (a restored disk, an old copy) does not know all
// that servers hold. Remembering the highest (epoch, operation) is how a server can tell, and must
// survive the server's own restart.
import { dirname } from 'node:path'
import { HoldfastError } from '../errors.ts'
import { codeOf, type FileSystem } from './store/file-system.ts'

/** The operation counts every commit; this often is enough to recognise an old catalog. */
const SAVE_PERIOD_MS = 5_000
const VERSION = 1

export interface CatalogPosition {
  readonly clusterId: string
  readonly epoch: number
  readonly operation: number
}

export interface ManagerState {
  readonly highest: CatalogPosition | null
  /** Remembers what the manager said of itself. Resolves with a sentence when its catalog is older
   * than one seen before, else null. Never rejects: a full disk must not end the membership. */
  note(position: CatalogPosition): Promise<string | null>
  /** Writes what is not written yet. Never rejects. */
  save(): Promise<void>
}

export class MemoryManagerState implements ManagerState {
  #highest: CatalogPosition | null = null
  get highest(): CatalogPosition | null {
    return this.#highest
  }
  async note(position: CatalogPosition): Promise<string | null> {
    const older = olderThan(position, this.#highest)
    if (!older) this.#highest = position
    return older
  }
  async save(): Promise<void> {}
}

export class FileManagerState implements ManagerState {
  readonly #fs: FileSystem
  readonly #path: string
  readonly #nowMs: () => number
  #highest: CatalogPosition | null
  #saved: CatalogPosition | null
  #savedAtMs = -Infinity
  #saving: Promise<void> = Promise.resolve()

  private constructor(
    { fs, path, nowMs }: { fs: FileSystem; path: string; nowMs: () => number },
    position: CatalogPosition | null,
  ) {
    this.#fs = fs
    this.#path = path
    this.#nowMs = nowMs
    this.#highest = position
    this.#saved = position
  }

  /** Rejects with BAD_FILE when the file is there and makes no sense: a server that forgets what
   * it has seen would trust an old catalog. */
  static async open(options: {
    fs: FileSystem
    path: string
    nowMs: () => number
  }): Promise<FileManagerState> {
    try {
      const text = Buffer.from(await options.fs.readSmall(options.path)).toString('utf8')
      return new FileManagerState(options, parse(text, options.path))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return new FileManagerState(options, null)
      if (error instanceof HoldfastError) throw error
      const problem = `${options.path} cannot be read: ${codeOf(error)}`
      throw new HoldfastError('BAD_FILE', problem, { cause: error })
    }
  }

  get highest(): CatalogPosition | null {
    return this.#highest
  }

  async note(position: CatalogPosition): Promise<string | null> {
    const older = olderThan(position, this.#highest)
    if (older) return older
    this.#highest = position
    const isNewCatalog = this.#saved?.epoch !== position.epoch
    if (isNewCatalog || this.#nowMs() - this.#savedAtMs >= SAVE_PERIOD_MS) await this.save()
    return null
  }

  save(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#write().catch(() => {}))
    return this.#saving
  }

  async #write(): Promise<void> {
    const position = this.#highest
    if (!position || compare(position, this.#saved) === 0) return
    this.#savedAtMs = this.#nowMs()
    const part = `${this.#path}.part`
    await this.#fs.remove(part).catch(() => {})
    const file = await this.#fs.create(part)
    try {
      await file.write([Buffer.from(`${JSON.stringify({ version: VERSION, ...position })}\n`)], 0)
      await file.datasync()
    } finally {
      await file.close()
    }
    await this.#fs.rename(part, this.#path)
    await this.#fs.syncFolder(dirname(this.#path))
    this.#saved = position
  }
}

function parse(text: string, path: string): CatalogPosition {
  let value: Record<string, unknown> | null = null
  try {
    value = JSON.parse(text) as Record<string, unknown> | null
  } catch {} // answered below
  const { version, clusterId, epoch, operation } = value ?? {}
  const good =
    version === VERSION &&
    typeof clusterId === 'string' &&
    /^[0-9a-f]{32}$/.test(clusterId) &&
    Number.isSafeInteger(epoch) &&
    Number.isSafeInteger(operation)
  if (good) return { clusterId, epoch: epoch as number, operation: operation as number }
  throw new HoldfastError('BAD_FILE', `${path} is damaged: restore it, or ask for help`)
}

function olderThan(position: CatalogPosition, highest: CatalogPosition | null): string | null {
  if (!highest || highest.clusterId !== position.clusterId) return null
  if (compare(position, highest) >= 0) return null
  return (
    `the manager's catalog (epoch ${position.epoch}, operation ${position.operation}) is older ` +
    `than one seen before (${highest.epoch}, ${highest.operation}): was it restored from a copy?`
  )
}

function compare(left: CatalogPosition, right: CatalogPosition | null): number {
  if (!right || left.clusterId !== right.clusterId) return 1
  return left.epoch - right.epoch || left.operation - right.operation
}
