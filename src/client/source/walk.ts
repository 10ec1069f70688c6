// src/client/source/walk.ts — which entries does a backup meet, in which order?
//
// A synchronous generator: folders before their content, names in byte order, as the tree format
// wants them. It holds the names of the folders on the current path and nothing else: about 24
// bytes and the name for each entry of a folder, so a folder of a million files costs some 40 MB.
import type { Problem } from '../events.ts'
import { bytesOfLatin1, displayPath, joinPath, latin1Of, ROOT } from '../path.ts'
import type { Excludes } from './excludes.ts'
import { codeOf, type SourceFiles, type SourceStat, type SourceType, typeOf } from './files.ts'
import type { Plan, PlanNode } from './paths.ts'

export type WalkItem =
  | { readonly kind: 'folder'; readonly path: Buffer; readonly name: string; stat: SourceStat }
  /** The innermost open folder is complete. */
  | { readonly kind: 'leave' }
  | {
      readonly kind: 'entry'
      readonly path: Buffer
      readonly name: string
      readonly type: Exclude<SourceType, 'dir'>
      readonly stat: SourceStat
      /** Of a symlink. */
      readonly target: Buffer | null
    }
  /** Something that could not be looked at. The walk goes on behind it. */
  | { readonly kind: 'problem'; readonly problem: Problem }
  /** The content of a virtual file system, left out on purpose. */
  | { readonly kind: 'virtual'; readonly path: Buffer }

export interface WalkOptions {
  readonly files: SourceFiles
  readonly excludes: Excludes
}

/** The entries below the root, which itself is not yielded: it has no name. */
export function* walk(plan: Plan, options: WalkOptions): Generator<WalkItem, void, void> {
  if (plan.root.whole) yield* walkFolder(ROOT, null, options)
  else yield* walkPlan(plan.root, ROOT, options)
}

/** A folder on the way to named paths: only the named children. */
function* walkPlan(node: PlanNode, folder: Buffer, options: WalkOptions): Generator<WalkItem> {
  for (const name of [...node.children.keys()].sort()) {
    const child = node.children.get(name)!
    const path = joinPath(folder, bytesOfLatin1(name))
    if (child.whole) {
      yield* walkEntry(path, name, null, options)
      continue
    }
    let stat: SourceStat
    try {
      // A symlink on the way to a named path stands for its folder.
      stat = options.files.stat(path)
    } catch (error) {
      yield problemOf(path, error, 'cannot be read')
      continue
    }
    yield { kind: 'folder', path, name, stat }
    yield* walkPlan(child, path, options)
    yield { kind: 'leave' }
  }
}

function* walkEntry(
  path: Buffer,
  name: string,
  device: bigint | null,
  options: WalkOptions,
): Generator<WalkItem> {
  let stat: SourceStat
  let target: Buffer | null = null
  let type: SourceType | null
  try {
    stat = options.files.lstat(path)
    type = typeOf(stat)
    if (type === 'symlink') target = options.files.readLink(path)
  } catch (error) {
    const gone = codeOf(error) === 'ENOENT'
    yield problemOf(path, error, gone ? 'vanished while it was being backed up' : 'cannot be read')
    return
  }
  if (type === null) {
    yield problemOf(path, { code: 'EINVAL' }, 'is of an unknown type')
  } else if (type !== 'dir') {
    yield { kind: 'entry', path, name, type, stat, target }
  } else {
    yield { kind: 'folder', path, name, stat }
    if (stat.dev !== device && options.files.isVirtual(path)) yield { kind: 'virtual', path }
    else yield* walkFolder(path, stat.dev, options)
    yield { kind: 'leave' }
  }
}

function* walkFolder(
  folder: Buffer,
  device: bigint | null,
  options: WalkOptions,
): Generator<WalkItem> {
  let names: string[]
  try {
    names = options.files.readNames(folder).sort()
  } catch (error) {
    yield problemOf(folder, error, 'cannot be listed; what it holds is not backed up')
    return
  }
  for (const name of names) {
    const path = joinPath(folder, bytesOfLatin1(name))
    if (options.excludes(latin1Of(path), false)) continue
    // Patterns for folders only need a look at the entry first.
    if (options.excludes(latin1Of(path), true) && isFolder(path, options.files)) continue
    yield* walkEntry(path, name, device, options)
  }
}

function isFolder(path: Buffer, files: SourceFiles): boolean {
  try {
    return typeOf(files.lstat(path)) === 'dir'
  } catch {
    return false // Reported by the lstat that follows.
  }
}

const problemOf = (path: Buffer, error: unknown, what: string): WalkItem => ({
  kind: 'problem',
  problem: {
    path,
    code: codeOf(error),
    message: `${displayPath(path)} ${what} (${codeOf(error)})`,
  },
})
