// src/client/client.ts — what can a command or a screen ask of one client?
import { type Compressor, type RepositoryKeys, zstd } from '../chunk/index.ts'
import { HoldfastError } from '../errors.ts'
import type { RequestOf, ResponseOf } from '../messages.ts'
import type { Clock, PeerAddress, Peers } from '../rpc/index.ts'
import { type BackupRequest, backup } from './backup/backup.ts'
import type { BackupSummary, OnEvent, RestoreSummary } from './events.ts'
import { CLIENT_LIMITS, CLIENT_TIMING, type ClientLimits, type ClientTiming } from './limits.ts'
import { type ListedFile, listFiles, listSnapshots, type SnapshotInfo } from './listing.ts'
import { type NativeFiles, openNativeFiles } from './os/native.ts'
import { type Context, throwIfAborted } from './remote/context.ts'
import { ManagerLink } from './remote/manager-link.ts'
import { openForReading, openForWriting } from './remote/repository.ts'
import { type RestoreRequest, restore } from './restore/restore.ts'
import { openSourceFiles, type SourceFiles } from './source/files.ts'
import { type Whereabouts, whereIs } from './where.ts'

export type ClusterStatus = ResponseOf<'status'>

/** Of every command. */
export interface CommandOptions {
  /** Interrupts it: CANCELLED, exit 130. */
  readonly signal?: AbortSignal
  readonly onEvent?: OnEvent
}

export interface ClientOptions {
  readonly peers: Pick<Peers, 'call'>
  readonly manager: PeerAddress
  readonly clock: Clock
  readonly clientName: string
  /** Where the repository key lies; see remote/repository.ts. */
  readonly dataDir: string
  readonly limits?: Partial<ClientLimits>
  readonly timing?: Partial<ClientTiming>
  /** Default: the real ones. Tests and the simulator bring their own. */
  readonly compressor?: Compressor
  readonly files?: SourceFiles
  readonly native?: NativeFiles
  /** Instead of the key file. */
  readonly keys?: RepositoryKeys
  /** Closes what `openClient` opened. */
  readonly onClose?: () => Promise<void>
}

const STATUS_DEADLINE_MS = 3_000

/** One client of the cluster. Several commands may run at once, here or in other processes: they
 * share nothing but the key file. */
export class Client implements AsyncDisposable {
  readonly clientName: string
  readonly #options: ClientOptions
  readonly #native: NativeFiles
  readonly #files: SourceFiles
  readonly #closing = new AbortController()

  constructor(options: ClientOptions) {
    this.#options = options
    this.clientName = options.clientName
    this.#native = options.native ?? openNativeFiles()
    this.#files = options.files ?? openSourceFiles(this.#native)
  }

  /** Resolves only when the snapshot is committed: every piece on two servers, on disk. */
  async backup(request: BackupRequest & CommandOptions): Promise<BackupSummary> {
    const { context, link } = this.#begin(request)
    context.onEvent({ type: 'phase', phase: 'connect', pass: 1 })
    const { dataDir, keys } = this.#options
    return await backup(
      context,
      {
        link,
        keys: keys ?? (await openForWriting(context, link, dataDir)),
        compressor: this.#compressor,
        clientName: this.clientName,
        files: this.#files,
      },
      request,
    )
  }

  async restore(request: RestoreRequest & CommandOptions): Promise<RestoreSummary> {
    const { context, link } = this.#begin(request)
    context.onEvent({ type: 'phase', phase: 'connect', pass: 1 })
    const keys = await this.#keysForReading(link)
    if (keys === null) throw nothingStored()
    const deps = { link, keys, compressor: this.#compressor, native: this.#native }
    return await restore(context, deps, request)
  }

  /** Newest last; none when nothing was ever stored. */
  async listSnapshots(options: CommandOptions = {}): Promise<SnapshotInfo[]> {
    const { context, link } = this.#begin(options)
    const keys = await this.#keysForReading(link)
    if (keys === null) return []
    return await listSnapshots(context, { link, keys, compressor: this.#compressor })
  }

  /** Every entry with its absolute path, folders before their content. */
  async *listFiles(options: CommandOptions & { snapshot: string }): AsyncGenerator<ListedFile> {
    const { context, link } = this.#begin(options)
    const keys = await this.#keysForReading(link)
    if (keys === null) throw nothingStored()
    const deps = { link, keys, compressor: this.#compressor }
    yield* listFiles(context, deps, options.snapshot)
  }

  /** On which servers a snapshot rests, from its first chunks. `snapshot` is the whole id. */
  async whereIs(options: CommandOptions & { snapshot: string }): Promise<Whereabouts> {
    const { context, link } = this.#begin(options)
    const keys = await this.#keysForReading(link)
    if (keys === null) throw nothingStored()
    return await whereIs(context, { link, keys, compressor: this.#compressor }, options.snapshot)
  }

  /** Answers or fails within `deadlineMs`; needs no key. */
  async status(options: CommandOptions & { deadlineMs?: number } = {}): Promise<ClusterStatus> {
    const { link } = this.#begin(options)
    const deadlineMs = options.deadlineMs ?? STATUS_DEADLINE_MS
    return await link.call('status', {}, { deadlineMs, waitMs: 0 })
  }

  /** A token for one node elsewhere. Needs the role of an operator, as the two below. */
  async createToken(request: RequestOf<'token.create'>): Promise<ResponseOf<'token.create'>> {
    return await this.#begin({}).link.call('token.create', request, { waitMs: 0 })
  }

  async revoke(node: string): Promise<ResponseOf<'node.revoke'>> {
    return await this.#begin({}).link.call('node.revoke', { node }, { waitMs: 0 })
  }

  async rotateClusterKey(): Promise<ResponseOf<'cluster.rotate'>> {
    return await this.#begin({}).link.call('cluster.rotate', {}, { waitMs: 0 })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#options.onClose?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  get #compressor(): Compressor {
    return this.#options.compressor ?? zstd
  }

  #begin(options: CommandOptions): { context: Context; link: ManagerLink } {
    const { peers, manager, clock, limits, timing } = this.#options
    const closing = this.#closing.signal
    const context: Context = {
      peers,
      manager,
      clock,
      limits: { ...CLIENT_LIMITS, ...limits },
      timing: { ...CLIENT_TIMING, ...timing },
      onEvent: options.onEvent ?? (() => undefined),
      signal: options.signal ? AbortSignal.any([options.signal, closing]) : closing,
    }
    throwIfAborted(context.signal)
    return { context, link: new ManagerLink(context) }
  }

  async #keysForReading(link: ManagerLink): Promise<RepositoryKeys | null> {
    return this.#options.keys ?? (await openForReading(link, this.#options.dataDir))
  }
}

const nothingStored = (): HoldfastError =>
  new HoldfastError('NOT_FOUND', 'nothing is stored in this cluster yet; see holdfast backup')
