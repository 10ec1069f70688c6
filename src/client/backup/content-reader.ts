// src/client/backup/content-reader.ts — must this file be read, how often, and what is its content?
import type { RepositoryKeys } from '../../chunk/index.ts'
import type { Context } from '../remote/context.ts'
import type { StoredEntry } from '../remote/stored-tree.ts'
import type { SourceFiles, SourceStat } from '../source/files.ts'
import type { ChunkSink } from './chunk-sink.ts'
import type { Counts } from './counts.ts'
import {
  type FileContent,
  type ReadOptions,
  readLargeFile,
  readSmallFile,
  SMALL_FILE_BYTES,
} from './file-reader.ts'
import type { StoredContent, TreeBuilder } from './tree-builder.ts'

/** A file's content as the tree refers to it. */
export interface Content {
  readonly stat: SourceStat
  readonly sizeBytes: number
  readonly changed: boolean
  readonly stored: StoredContent
}

export interface ContentReaderOptions {
  readonly files: SourceFiles
  readonly keys: RepositoryKeys
  readonly sink: ChunkSink
  readonly counts: Counts
  readonly builder: TreeBuilder
  readonly room: () => Promise<void>
}

const holeBytes = ({ stored }: Content): number =>
  stored.holes.reduce((bytes, hole) => bytes + hole.length, 0)

/** A file that changed while it was read is read once more up to this size: the second reading of
 * a larger one would only meet the next change. */
const RETRY_BYTES_MAX = 64 * 2 ** 20
/** Hard-linked files whose content is remembered, so that their other names are not read. */
const LINKS_KEPT = 4096
/** File times come from a clock that ticks every 4 to 10 ms, behind the one that we read. */
const RACY_NS = 100_000_000n

export class ContentReader {
  readonly #context: Context
  readonly #options: ContentReaderOptions
  readonly #links = new Map<string, Content>()

  constructor(context: Context, options: ContentReaderOptions) {
    this.#context = context
    this.#options = options
  }

  /** By size, mtime, ctime and inode. A file that was touched while or after the parent was made
   * may have been changed again within the same tick of its clock: such a one is read. */
  isUnchanged(known: StoredEntry, stat: SourceStat, parentTimeMs: number): boolean {
    return (
      known.type === 'file' &&
      BigInt(known.size) === stat.size &&
      known.mtimeNs === stat.mtimeNs &&
      known.ctimeNs === stat.ctimeNs &&
      known.inode === stat.ino &&
      stat.ctimeNs < BigInt(Math.floor(parentTimeMs)) * 1_000_000n - RACY_NS
    )
  }

  /** Offers all chunks to the sink. Throws system errors. */
  async read(path: Buffer, stat: SourceStat): Promise<Content> {
    const link = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : null
    const twin = link === null ? undefined : this.#links.get(link)
    if (twin && twin.stat.ctimeNs === stat.ctimeNs && twin.stat.size === stat.size) {
      this.#options.counts.bytes += twin.sizeBytes
      return twin
    }
    let content = await this.#readOnce(path, stat, false)
    if (content.changed && content.sizeBytes <= RETRY_BYTES_MAX) {
      this.#options.counts.bytes -= content.sizeBytes - holeBytes(content)
      content = await this.#readOnce(path, stat, true)
    }
    if (link !== null && !content.changed) this.#remember(link, content)
    return content
  }

  /** A small file that changed is not offered unless it is the last reading. */
  async #readOnce(path: Buffer, { size }: SourceStat, isLast: boolean): Promise<Content> {
    const { files, keys, sink, counts, builder, room } = this.#options
    const list = builder.newContent()
    const options = {
      files,
      keys,
      room,
      onChunk: (ref: { id: string; length: number }, plaintext: Uint8Array): void => {
        sink.offer({ id: ref.id, kind: 'data', plaintext, edges: [] })
        list.add(ref)
      },
      onBytes: (bytes: number): void => {
        counts.bytes += bytes
        const { clock, onEvent } = this.#context
        counts.report(clock.nowMs(), sink.totals, onEvent)
      },
    }
    let found: FileContent | null = null
    if (size <= BigInt(SMALL_FILE_BYTES)) {
      let offer = (): void => undefined
      const onChunk: ReadOptions['onChunk'] = (ref, plaintext) => {
        offer = () => options.onChunk(ref, plaintext)
      }
      found = readSmallFile(path, { ...options, onChunk })
      if (found !== null && (isLast || !found.changed)) offer()
    }
    found ??= await readLargeFile(path, options)
    const { stat, sizeBytes, holes, changed } = found
    return { stat, sizeBytes, changed, stored: list.finish(sizeBytes, holes) }
  }

  #remember(link: string, content: Content): void {
    if (this.#links.size >= LINKS_KEPT) this.#links.delete(this.#links.keys().next().value!)
    this.#links.set(link, content)
  }
}
