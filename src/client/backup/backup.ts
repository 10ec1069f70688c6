// src/client/backup/backup.ts — what happens between "back this up" and "it is stored"?
//
//   plan paths → session → pass → all blobs on two servers → snapshot record → commit
//
// A commit that is refused because pieces lost a copy, or a session that was lost on the way, leads
// to another pass: the tree just made is its parent, so only what the manager misses is read and
// sent again. Nothing is called stored before `snapshot.commit` has answered.
import os from 'node:os'
import type { Compressor, RepositoryKeys } from '../../chunk/index.ts'
import { HoldfastError, isHoldfastError } from '../../errors.ts'
import { type BackupSummary, Problems } from '../events.ts'
import { openOwners } from '../os/owners.ts'
import { BackupSession } from '../remote/backup-session.ts'
import { type Context, sleep, throwIfAborted } from '../remote/context.ts'
import type { ManagerLink } from '../remote/manager-link.ts'
import { compileExcludes, type Excludes } from '../source/excludes.ts'
import type { SourceFiles } from '../source/files.ts'
import { type Plan, planPaths } from '../source/paths.ts'
import { scan } from '../source/scan.ts'
import { BlobSender } from './blob-sender.ts'
import { ChunkSink } from './chunk-sink.ts'
import { Counts } from './counts.ts'
import { mend } from './mend.ts'
import { findParent, openParentTree, type Parent } from './parent.ts'
import { Pass } from './pass.ts'
import { groupOf, type SnapshotOrigin, snapshotChunk } from './snapshot-record.ts'

export interface BackupRequest {
  readonly paths: readonly (string | Uint8Array)[]
  readonly tags?: readonly string[]
  readonly excludes?: readonly string[]
  /** Default os.hostname(). */
  readonly host?: string
  /** True: count everything alongside, for `total` events. */
  readonly scan?: boolean
  /** True: wait for servers without an end instead of NOT_ENOUGH_SERVERS. */
  readonly waitForServers?: boolean
}

export interface BackupDeps {
  readonly link: ManagerLink
  readonly keys: RepositoryKeys
  readonly compressor: Compressor
  readonly clientName: string
  readonly files: SourceFiles
}

// A cluster that loses a server in each of so many passes needs an operator, not patience.
const PASSES = 5
const COMMIT_DEADLINE_MS = 120_000

/** Rejects with the failure that ended it; whatever was confirmed by then is used by the next
 * backup. Resolves only when the snapshot is committed. */
export async function backup(
  context: Context,
  deps: BackupDeps,
  request: BackupRequest,
): Promise<BackupSummary> {
  const excludes = compileExcludes(request.excludes ?? [])
  const plan = planPaths(request.paths, deps.files)
  const named = { host: request.host ?? os.hostname(), paths: plan.paths }
  const startedMs = context.clock.nowMs()
  const timeMs = Math.floor(context.clock.wallMs())
  const { keys, link, clientName } = deps
  const parent = await findParent(context, deps, groupOf(keys, named))
  const origin: SnapshotOrigin = {
    ...named,
    clientName,
    tags: [...new Set(request.tags ?? [])],
    excludes: [...(request.excludes ?? [])],
    timeMs,
    parent: parent?.snapshot ?? null,
  }
  const owner = { repositoryId: keys.repositoryId, clientName }
  const session = await BackupSession.begin(context, link, owner)
  const run = new BackupRun(context, deps, { request, excludes, plan, origin, parent, session })
  try {
    const summary = await run.run()
    session.end()
    return { ...summary, seconds: (context.clock.nowMs() - startedMs) / 1000 }
  } catch (error) {
    await session.abort()
    throw error
  } finally {
    run.done = true
  }
}

interface BackupPlan {
  readonly request: BackupRequest
  readonly excludes: Excludes
  readonly plan: Plan
  readonly origin: SnapshotOrigin
  readonly parent: Parent | null
  readonly session: BackupSession
}

class BackupRun {
  readonly #context: Context
  readonly #deps: BackupDeps
  readonly #plan: BackupPlan
  readonly #totals = { newBytes: 0, storedBytes: 0, blobs: 0 }
  done = false

  constructor(context: Context, deps: BackupDeps, plan: BackupPlan) {
    this.#context = context
    this.#deps = deps
    this.#plan = plan
  }

  async run(): Promise<BackupSummary> {
    if (this.#plan.request.scan) this.#startScan()
    const { onEvent } = this.#context
    let compareWith = this.#plan.parent
    let first: Counts | null = null
    for (let pass = 1; ; pass += 1) {
      onEvent({ type: 'phase', phase: 'backup', pass })
      const counts = new Counts()
      const problems = new Problems(onEvent)
      for (const problem of this.#plan.plan.problems) problems.add(problem)
      first ??= counts
      const { snapshot, root } = await this.#pass({ counts, problems, compareWith, pass })
      if (snapshot !== null) return this.#summary({ snapshot, counts, first, problems })
      if (pass === PASSES) throw gaveUp()
      const message = 'some pieces lost a copy or their session: asking and sending again'
      onEvent({ type: 'notice', code: 'RESENDING', message })
      compareWith = { snapshot: null, root, timeMs: this.#plan.origin.timeMs }
      await sleep(this.#context, this.#context.timing.backoffMs * 2 ** pass)
    }
  }

  /** `snapshot` is null when it takes another pass. */
  async #pass(options: {
    counts: Counts
    problems: Problems
    compareWith: Parent | null
    pass: number
  }): Promise<{ root: string; snapshot: string | null }> {
    const { counts, problems, compareWith } = options
    const { session, plan, excludes } = this.#plan
    const { signal, clock, onEvent } = this.#context
    const { keys, files } = this.#deps
    const renewals = session.renewals
    const over = new AbortController()
    const sink = this.#openSink(AbortSignal.any([signal, over.signal]))
    const stopOnAbort = (): void => sink.fail(new HoldfastError('CANCELLED', 'interrupted'))
    signal.addEventListener('abort', stopOnAbort, { once: true })
    try {
      const tree = compareWith && openParentTree(this.#context, this.#deps)
      const parent = tree && compareWith ? { ...compareWith, tree } : null
      const owners = openOwners()
      const all = { plan, excludes, files, owners, keys, sink, counts, problems, parent }
      const root = await new Pass(this.#context, all).run()
      await sink.finish()
      await mend(this.#context, { ...this.#deps, session, sink })
      await sink.finish()
      counts.report(clock.nowMs(), sink.totals, onEvent, true)
      // The word `present` of a session that ended is void: ask again in the one that followed.
      const isCertain = session.renewals === renewals
      const snapshot = isCertain ? await this.#commit(sink, { root, counts }, options.pass) : null
      return { root, snapshot }
    } finally {
      signal.removeEventListener('abort', stopOnAbort)
      sink.fail(new HoldfastError('CANCELLED', 'the pass is over'))
      over.abort() // When it failed, blobs may still be on their way.
    }
  }

  /** The snapshot's id; null when pieces that it reaches have to be sent again first. */
  async #commit(
    sink: ChunkSink,
    made: { root: string; counts: Counts },
    pass: number,
  ): Promise<string | null> {
    throwIfAborted(this.#context.signal)
    this.#context.onEvent({ type: 'phase', phase: 'commit', pass })
    const chunk = snapshotChunk(this.#deps.keys, this.#plan.origin, made)
    sink.offer(chunk)
    await sink.finish()
    try {
      const request = { snapshotId: chunk.id }
      const options = { deadlineMs: COMMIT_DEADLINE_MS }
      return (await this.#plan.session.call('snapshot.commit', request, options)).snapshotId
    } catch (error) {
      const mends = ['UNDER_REPLICATED', 'UNKNOWN_EDGE'] as const
      if (mends.some((code) => isHoldfastError(error, code))) return null
      throw error
    }
  }

  #openSink(signal: AbortSignal): ChunkSink {
    const { keys, compressor } = this.#deps
    const { session, request } = this.#plan
    const context = { ...this.#context, signal }
    const sender = new BlobSender(context, session, {
      repositoryId: keys.repositoryId,
      waitForServers: request.waitForServers ?? false,
    })
    const totals = this.#totals
    return new ChunkSink(context, session, { keys, compressor, sender, totals })
  }

  #startScan(): void {
    const { plan, excludes } = this.#plan
    const { onEvent } = this.#context
    const stop = (): boolean => this.done
    const { files } = this.#deps
    scan(this.#context, plan, { files, excludes, onEvent, stop }).catch(() => undefined)
  }

  #summary(made: {
    snapshot: string
    counts: Counts
    first: Counts
    problems: Problems
  }): BackupSummary {
    const { snapshot, counts, first, problems } = made
    this.#context.onEvent({ type: 'phase', phase: 'done', pass: 1 })
    return {
      snapshot,
      parent: this.#plan.origin.parent,
      files: counts.files,
      folders: counts.folders,
      others: counts.others,
      newFiles: first.newFiles,
      changedFiles: first.changedFiles,
      unmodifiedFiles: first.unmodifiedFiles,
      bytes: counts.sizes,
      ...this.#totals,
      seconds: 0,
      skipped: counts.skipped,
      warnings: problems.count,
      problems: problems.list,
      notices: counts.notices(),
      exitCode: problems.count > 0 ? 3 : 0,
    }
  }
}

const gaveUp = (): HoldfastError =>
  new HoldfastError(
    'UNDER_REPLICATED',
    'servers kept failing while pieces were sent again; nothing was called stored. ' +
      'See holdfast status, then repeat the command: what was confirmed is not sent twice',
  )
