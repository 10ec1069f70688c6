// src/client/source/paths.ts — which parts of the tree did the user name, and how do they join?
import { HoldfastError } from '../../errors.ts'
import type { Problem } from '../events.ts'
import { absolutePath, bytesOfLatin1, displayPath, joinPath, namesOf, ROOT } from '../path.ts'
import { codeOf, type SourceFiles, typeOf } from './files.ts'

/** One folder on the way to the named paths, or a named path itself. */
export interface PlanNode {
  /** True: everything below belongs to the backup. False: only `children` do. */
  whole: boolean
  /** By name as latin1 text. Empty when `whole`. */
  readonly children: Map<string, PlanNode>
}

export interface Plan {
  readonly root: PlanNode
  /** What was asked for, absolute, cleaned, without doubles, in byte order: names the group. */
  readonly paths: readonly Buffer[]
  /** Named paths that are not there or can't be reached. */
  readonly problems: readonly Problem[]
}

/**
 * Lays the named paths over each other: a path inside another is part of it. Throws BAD_USAGE when
 * none is given, NOT_FOUND when none exists. A path that goes through a symlink which lies inside
 * another named path is refused: a tree can't hold the link and the folder behind it at one place.
 */
export function planPaths(given: readonly (string | Uint8Array)[], files: SourceFiles): Plan {
  if (given.length === 0) throw new HoldfastError('BAD_USAGE', 'name at least one PATH to back up')
  const paths = distinct(given.map((path) => absolutePath(path)))
  const root: PlanNode = { whole: false, children: new Map() }
  const problems: Problem[] = []
  let found = 0
  for (const path of paths) {
    try {
      files.lstat(path)
    } catch (error) {
      const code = codeOf(error)
      const what = code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : 'cannot be read'
      problems.push({ path, code, message: `${displayPath(path)} ${what}; it is not backed up` })
      continue
    }
    // Paths come in byte order, so an enclosing folder is in the plan before what it encloses.
    const link = addPath(root, path, files)
    if (link === null) found += 1
    else problems.push(throughLink(path, link))
  }
  if (found === 0) {
    throw new HoldfastError('NOT_FOUND', `nothing to back up: ${problems[0]?.message}`)
  }
  return { root, paths, problems }
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
