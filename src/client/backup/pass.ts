// src/client/backup/pass.ts — how does one pass over the sources become one tree?
//
// The walk runs ahead; what it meets goes through a window of entries in order. New and changed
// files are read at once and their chunks offered to the sink. Unchanged files wait in the window
// until the manager has said that their chunks still have two replicas; those that lack some are
// read after all. Whatever is ready at the head of the window goes into the tree.
import type { RepositoryKeys } from '../../chunk/index.ts'
import type { Problems } from '../events.ts'
import type { Owners } from '../os/owners.ts'
import { bytesOfLatin1, displayPath } from '../path.ts'
import { isLoss } from '../remote/chunk-reader.ts'
import { breathe, type Context, throwIfAborted } from '../remote/context.ts'
import type { StoredEntry, StoredTree } from '../remote/stored-tree.ts'
import type { Excludes } from '../source/excludes.ts'
import { codeOf, type SourceFiles } from '../source/files.ts'
import type { Plan } from '../source/paths.ts'
import { type WalkItem, walk } from '../source/walk.ts'
import { CheckSlot } from './check-slot.ts'
import type { ChunkSink } from './chunk-sink.ts'
import { type Content, ContentReader } from './content-reader.ts'
import type { Counts } from './counts.ts'
import { type EntryHead, headOf } from './entry-head.ts'
import { EntryWindow } from './entry-window.ts'
import { ParentFolder } from './parent-folder.ts'
import { TreeBuilder } from './tree-builder.ts'

export interface PassOptions {
  readonly plan: Plan
  readonly excludes: Excludes
  readonly files: SourceFiles
  readonly owners: Owners
  readonly keys: RepositoryKeys
  readonly sink: ChunkSink
  readonly counts: Counts
  readonly problems: Problems
  /** The tree to compare with, and when its backup began. Null: everything is new. */
  readonly parent: { readonly tree: StoredTree; readonly root: string; timeMs: number } | null
}

type FileItem = Extract<WalkItem, { kind: 'entry' }>

// Half of what a heartbeat or an acknowledgement may wait unnoticed.
const TURN_MS = 3
/** Ids of unchanged files asked about and not answered: about 150 bytes each. */
const IDS_AHEAD = 32_768

export class Pass {
  readonly #context: Context
  readonly #options: PassOptions
  readonly #window = new EntryWindow()
  readonly #builder: TreeBuilder
  readonly #reader: ContentReader
  #rereads: CheckSlot[] = []
  #idsAhead = 0
  #turnEndMs = 0

  constructor(context: Context, options: PassOptions) {
    this.#context = context
    this.#options = options
    this.#builder = new TreeBuilder(options.keys, options.sink)
    this.#reader = new ContentReader(context, {
      ...options,
      builder: this.#builder,
      room: () => this.#room(),
    })
  }

  /** The id of the root node. Its chunks may still be on their way: see ChunkSink.finish. */
  async run(): Promise<string> {
    const { plan, files, excludes, parent, counts, problems } = this.#options
    if (parent) parent.tree.readAhead(parent.root)
    const folders = [new ParentFolder(parent?.tree ?? null, parent?.root ?? null)]
    for (const item of walk(plan, { files, excludes })) {
      await this.#turn()
      const above = folders.at(-1)!
      if (item.kind === 'folder') {
        const head = this.#head(item)
        const known = await above.find(head.name)
        folders.push(above.below(known))
        this.#window.push({ ready: true, run: () => this.#builder.openFolder(head) })
        counts.folders += 1
      } else if (item.kind === 'leave') {
        folders.pop()
        this.#window.push({ ready: true, run: () => this.#builder.closeFolder() })
      } else if (item.kind === 'problem') {
        problems.add(item.problem)
        counts.skipped += 1
      } else if (item.kind === 'virtual') counts.virtualFolders += 1
      else if (item.type === 'file') {
        await this.#file(item, await above.find(bytesOfLatin1(item.name)))
      } else this.#other(item)
    }
    while (this.#window.size > 0) {
      if (!(await this.#reread())) await this.#options.sink.change()
    }
    return this.#builder.finish()
  }

  /** Between two entries: lets others run, and waits while too much is under way. */
  async #turn(): Promise<void> {
    const { clock, limits, signal, onEvent } = this.#context
    const { sink, counts } = this.#options
    if (clock.nowMs() >= this.#turnEndMs) {
      counts.report(clock.nowMs(), sink.totals, onEvent)
      await breathe(clock)
      throwIfAborted(signal)
      this.#turnEndMs = clock.nowMs() + TURN_MS
    }
    while (
      this.#rereads.length > 0 ||
      !sink.hasRoom ||
      this.#window.size >= limits.entriesAhead ||
      this.#idsAhead >= IDS_AHEAD
    ) {
      if (!(await this.#reread())) await sink.change()
    }
  }

  async #room(): Promise<void> {
    const { clock, signal, onEvent } = this.#context
    const { sink, counts } = this.#options
    throwIfAborted(signal)
    counts.report(clock.nowMs(), sink.totals, onEvent)
    while (!sink.hasRoom) await sink.change()
  }

  #head(item: Extract<WalkItem, { kind: 'entry' | 'folder' }>): EntryHead {
    const { files, owners, counts } = this.#options
    if (files.hasXattrs(item.path)) counts.withXattrs += 1
    return headOf(item.name, item.stat, owners)
  }

  #other(item: FileItem): void {
    const { counts } = this.#options
    const head = this.#head(item)
    counts.others += 1
    if (item.type === 'socket') counts.sockets += 1
    const target = item.target
    this.#window.push({ ready: true, run: () => this.#builder.addOther(head, item.type, target) })
  }

  async #file(item: FileItem, known: StoredEntry | null): Promise<void> {
    const { counts, parent } = this.#options
    if (known && parent && this.#reader.isUnchanged(known, item.stat, parent.timeMs)) {
      await this.#check(item, known, parent.tree)
      return
    }
    const content = await this.#read(item)
    if (content === null) return
    if (known) counts.changedFiles += 1
    else counts.newFiles += 1
    const head = headOf(item.name, content.stat, this.#options.owners)
    this.#countFile(item, content.sizeBytes)
    this.#window.push({ ready: true, run: () => this.#builder.addFile(head, content) })
  }

  /** An unchanged file: its chunks are asked for, in order not to lean on a single replica. */
  async #check(item: FileItem, known: StoredEntry, tree: StoredTree): Promise<void> {
    const { sink, counts } = this.#options
    const slot = new CheckSlot(item, known, {
      onIds: (change) => {
        this.#idsAhead += change
      },
      onPresent: () => {
        slot.content = this.#builder.contentOf(known, item.stat)
        this.#settle(slot)
      },
      onMissing: () => void this.#rereads.push(slot),
    })
    this.#window.push(slot)
    const isWhole = await this.#eachId(tree, known, async (id) => {
      slot.ask(sink, id)
      while (this.#idsAhead >= IDS_AHEAD) await sink.change()
    })
    if (!isWhole) slot.handleUnreadable()
    slot.askedAll()
    counts.unmodifiedFiles += 1
    this.#countFile(item, known.size)
    const { path } = item
    this.#context.onEvent({ type: 'file', state: 'unmodified', path, sizeBytes: known.size })
    counts.bytes += known.size
  }

  /** Reads a file that was taken for unchanged, since a chunk of it lost a replica. */
  async #reread(): Promise<boolean> {
    const slot = this.#rereads.shift()
    if (!slot) return false
    slot.content = await this.#read(slot.item)
    this.#countAgain(slot)
    // What the file no longer holds, we shall not send.
    const tree = this.#options.parent!.tree
    await this.#eachId(tree, slot.known, (id) => this.#options.sink.forget(id))
    this.#settle(slot)
    return true
  }

  /** It was counted before it was read. */
  #countAgain({ known, content }: CheckSlot): void {
    const { counts } = this.#options
    counts.bytes -= known.size
    counts.sizes += (content?.sizeBytes ?? 0) - known.size
    if (content !== null) return
    counts.files -= 1
    counts.unmodifiedFiles -= 1
  }

  /** False when a node of the parent that lists the ids is lost: then the file itself must tell. */
  async #eachId(
    tree: StoredTree,
    known: StoredEntry,
    act: (id: string) => void | Promise<void>,
  ): Promise<boolean> {
    const ids = tree.contentIds(known)
    for (;;) {
      let step: IteratorResult<string>
      try {
        step = await ids.next()
      } catch (error) {
        if (!isLoss(error)) throw error
        return false
      }
      if (step.done) return true
      await act(step.value)
    }
  }

  #settle(slot: CheckSlot): void {
    const content = slot.content
    slot.run = () => {
      if (!content) return
      const head = headOf(slot.item.name, content.stat, this.#options.owners)
      this.#builder.addFile(head, content)
    }
    slot.ready = true
    this.#window.drain()
  }

  #countFile(item: FileItem, sizeBytes: number): void {
    const { counts, files } = this.#options
    counts.files += 1
    counts.sizes += sizeBytes
    if (files.hasXattrs(item.path)) counts.withXattrs += 1
  }

  /** Null when it could not be read, which is reported. */
  async #read(item: FileItem): Promise<Content | null> {
    const { counts, problems } = this.#options
    const { path, stat } = item
    const { onEvent } = this.#context
    onEvent({ type: 'file', state: 'started', path, sizeBytes: Number(stat.size) })
    try {
      const content = await this.#reader.read(path, stat)
      if (content.changed) {
        const message = `${displayPath(path)} changed while it was read; back it up again`
        problems.add({ path, code: 'CHANGED', message })
      }
      onEvent({ type: 'file', state: 'finished', path, sizeBytes: content.sizeBytes })
      return content
    } catch (error) {
      const code = codeOf(error)
      if (!(error instanceof Error) || !isSystemCode(code)) throw error
      const what = code === 'ENOENT' ? 'vanished before it was read' : 'cannot be read'
      const message = `${displayPath(path)} ${what} (${code})`
      problems.add({ path, code, message })
      counts.skipped += 1
      onEvent({ type: 'file', state: 'skipped', path, sizeBytes: Number(stat.size) })
      return null
    }
  }
}

/** EACCES and its like, and our own word for a file that became something else. */
const isSystemCode = (code: string): boolean => /^E[A-Z0-9]+$/.test(code) || code === 'CHANGED'
