// src/client/source/paths.ts — which parts of the tree did the user name, and how do they join?
import { HoldfastError } from '../../errors.ts'
import type { Problem } from '../events.ts'
import {
  absolutePath,
  bytesOfLatin1,
  displayPath,
  joinPath,
  namesOf,
  ROOT,
  SLASH,
} from '../path.ts'
import { codeOf, type SourceFiles, type SourceType, typeOf } from './files.ts'

/** One folder on the way to the named paths, or a named path itself. */
export interface PlanNode {
  /** True: everything below belongs to the backup. False: only `children` do. */
  whole: boolean
  /** By name as latin1 text. Empty when `whole`. */
  readonly children: Map<string, PlanNode>
}

export interface Plan {
  readonly root: PlanNode
  /** What was asked for and can be read, absolute, cleaned, without doubles, in byte order: names the
   * group. */
  readonly paths: readonly Buffer[]
  /** Named paths that are not there or can't be read. */
  readonly problems: readonly Problem[]
}

/**
 * Lays the named paths over each other: a path inside another is part of it. Throws BAD_USAGE when
 * none is given, NOT_FOUND when none can be read. A path that goes through a symlink which lies inside
 * another named path is refused: a tree can't hold the link and the folder behind it at one place.
 */
export function planPaths(given: readonly (string | Uint8Array)[], files: SourceFiles): Plan {
  if (given.length === 0) throw new HoldfastError('BAD_USAGE', 'name at least one PATH to back up')
  const paths = distinct(given.map((path) => absolutePath(path)))
  const root: PlanNode = { whole: false, children: new Map() }
  const problems: Problem[] = []
  const readable: Buffer[] = []
  for (const path of paths) {
    // Paths come in byte order, so an enclosing folder is in the plan before what it encloses.
    const isEnclosed = readable.some((above) => encloses(above, path))
    try {
      const type = typeOf(files.lstat(path))
      // What is enclosed belongs to the other's tree, which reports what it cannot read.
      if (!isEnclosed) mustBeReadable(path, type, files)
    } catch (error) {
      problems.push(unreadable(path, error))
      continue
    }
    const link = addPath(root, path, files)
    if (link === null) readable.push(path)
    else problems.push(throughLink(path, link))
  }
  if (readable.length === 0) {
    throw new HoldfastError('NOT_FOUND', `nothing to back up: ${problems[0]?.message}`)
  }
  return { root, paths: readable, problems }
}

/** Throws a system error for a file or folder whose content we may not see. */
function mustBeReadable(path: Buffer, type: SourceType | null, files: SourceFiles): void {
  if (type === 'file') files.open(path).close()
  else if (type === 'dir') files.readNames(path)
}

const encloses = (above: Buffer, path: Buffer): boolean => {
  if (above.equals(ROOT)) return true
  const isPrefix = above.length < path.length && path.subarray(0, above.length).equals(above)
  return isPrefix && path[above.length] === SLASH
}

function unreadable(path: Buffer, error: unknown): Problem {
  const code = codeOf(error)
  const isGone = code === 'ENOENT' || code === 'ENOTDIR'
  const what = isGone ? 'does not exist' : `cannot be read (${code})`
  return { path, code, message: `${displayPath(path)} ${what}; it is not backed up` }
}

function distinct(paths: readonly Buffer[]): Buffer[] {
  const sorted = paths.toSorted(Buffer.compare)
  return sorted.filter((path, at) => at === 0 || Buffer.compare(path, sorted[at - 1]!) !== 0)
}

/** Null when the path is in the plan now, else the symlink that is in the way. */
function addPath(root: PlanNode, path: Buffer, files: SourceFiles): Buffer | null {
  let node = root
  let at: Buffer = ROOT
  for (const name of namesOf(path)) {
    if (node.whole && at !== ROOT && typeOf(files.lstat(at)) === 'symlink') return at
    at = joinPath(at, bytesOfLatin1(name))
    if (node.whole) continue // Inside a named path: only looking for symlinks from here on.
    const child = node.children.get(name) ?? { whole: false, children: new Map() }
    node.children.set(name, child)
    node = child
  }
  node.whole = true
  return null
}

const throughLink = (path: Buffer, link: Buffer): Problem => ({
  path,
  code: 'ELOOP',
  message:
    `${displayPath(path)} goes through the symlink ${displayPath(link)} inside another PATH; ` +
    'it is not backed up: name the folder that the link points to',
})
