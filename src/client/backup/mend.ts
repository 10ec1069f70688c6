// src/client/backup/mend.ts — what about pieces of older snapshots that lost a copy?
//
// A backup asks about everything that it reaches itself. When a server is gone for good, records
// and folders of older snapshots have lost a copy too; while the manager can't repair by itself,
// the client that comes by makes a second copy from the one that is left.
import { type Compressor, nodeEdges, type RepositoryKeys } from '../../chunk/index.ts'
import { LIMITS, type ResponseOf } from '../../messages.ts'
import type { BackupSession } from '../remote/backup-session.ts'
import { ChunkReader, isLoss } from '../remote/chunk-reader.ts'
import { type Context, throwIfAborted } from '../remote/context.ts'
import type { ManagerLink } from '../remote/manager-link.ts'
import { StoredTree } from '../remote/stored-tree.ts'
import { TreeCache } from '../remote/tree-cache.ts'
import type { ChunkSink, NewChunk } from './chunk-sink.ts'

export interface MendDeps {
  readonly link: ManagerLink
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
  readonly session: BackupSession
  readonly sink: ChunkSink
}

type Snapshot = ResponseOf<'snapshots.list'>['snapshots'][number]

/** Costs one request while nothing is thin. Otherwise walks all snapshots, and offers what lacks a
 * copy to the sink. What has no copy left is passed over: nobody can mend it. */
export async function mend(context: Context, deps: MendDeps): Promise<void> {
  const { blobs } = await deps.link.call('status', {})
  if (blobs.underReplicated === 0) return
  const { repositoryId } = deps.keys
  const { snapshots } = await deps.link.call('snapshots.list', { repositoryId })
  await new Mender(context, deps).run(snapshots)
}

class Mender {
  readonly #context: Context
  readonly #deps: MendDeps
  readonly #reader: ChunkReader
  readonly #cache: TreeCache
  /** Nodes met so far: snapshots share most of theirs. About 100 bytes each. */
  readonly #seen = new Set<string>()
  #data: string[] = []

  constructor(context: Context, deps: MendDeps) {
    this.#context = context
    this.#deps = deps
    const quiet = { ...context, onEvent: () => undefined }
    this.#reader = new ChunkReader(quiet, deps.link, deps)
    this.#cache = new TreeCache(quiet, this.#reader)
  }

  async run(snapshots: readonly Snapshot[]): Promise<void> {
    // Newest first: if this is interrupted, what matters most is done.
    for (const snapshot of snapshots.toReversed()) await this.#snapshot(snapshot)
    await this.#mendData()
  }

  async #snapshot(snapshot: Snapshot): Promise<void> {
    const { snapshotId, ...fields } = snapshot
    let root: string
    try {
      root = (await new StoredTree(this.#cache).snapshot(snapshotId)).root
      const plaintext = await this.#cache.load(snapshotId)
      const record = { id: snapshotId, kind: 'snapshot', plaintext, edges: [root] } as const
      await this.#offerThin([{ ...record, snapshot: fields }])
    } catch (error) {
      if (!isLoss(error)) throw error
      return
    }
    let level = [root]
    while (level.length > 0) {
      const fresh = level.filter((id) => !this.#seen.has(id))
      level = []
      for (let at = 0; at < fresh.length; at += LIMITS.chunksPerQuery) {
        level.push(...(await this.#nodes(fresh.slice(at, at + LIMITS.chunksPerQuery))))
      }
    }
  }

  /** Mends these nodes and returns those below them. */
  async #nodes(ids: readonly string[]): Promise<string[]> {
    throwIfAborted(this.#context.signal)
    this.#cache.prefetch(ids)
    const below: string[] = []
    const chunks: NewChunk[] = []
    for (const id of ids) {
      this.#seen.add(id)
      try {
        const plaintext = await this.#cache.load(id)
        const { nodes, data } = await nodeEdges(id, plaintext)
        chunks.push({ id, kind: 'tree', plaintext, edges: [...nodes, ...data] })
        below.push(...nodes)
        this.#data.push(...data)
      } catch (error) {
        if (!isLoss(error)) throw error
      }
    }
    await this.#offerThin(chunks)
    if (this.#data.length >= LIMITS.chunksPerQuery) await this.#mendData()
    return below
  }

  async #offerThin(chunks: readonly NewChunk[]): Promise<void> {
    const thin = await this.#thin(chunks.map((chunk) => chunk.id))
    for (const chunk of chunks) if (thin.has(chunk.id)) await this.#offer(chunk)
  }

  async #mendData(): Promise<void> {
    const ids = [...new Set(this.#data)]
    this.#data = []
    const thin = await this.#thin(ids)
    await this.#reader.read(
      'data',
      thin,
      (id, plaintext) => this.#offer({ id, kind: 'data', plaintext, edges: [] }),
      () => undefined, // No copy left: a later backup of the file may bring it back.
    )
  }

  async #offer(chunk: NewChunk): Promise<void> {
    const { sink } = this.#deps
    while (!sink.hasRoom) await sink.change()
    // The reader's buffers may be used again; the sink keeps what it is given.
    sink.offer({ ...chunk, plaintext: Uint8Array.from(chunk.plaintext) })
  }

  /** Those that the manager wants sent; it has claimed them for this session. */
  async #thin(ids: readonly string[]): Promise<Set<string>> {
    const thin = new Set<string>()
    for (let at = 0; at < ids.length; at += LIMITS.chunksPerQuery) {
      const chunkIds = ids.slice(at, at + LIMITS.chunksPerQuery)
      const { answers } = await this.#deps.session.call('chunks.missing', { chunkIds })
      for (const [index, id] of chunkIds.entries()) if (answers[index] === 'send') thin.add(id)
    }
    return thin
  }
}
