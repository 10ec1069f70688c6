// src/identity/make-folder.ts — how is a folder made, with all those above it?
import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** As mkdir with `recursive`, except that it ends: Node 24's own tries for ever where a folder that
 * is there answers ENOENT to every new name, as /proc does. Throws what mkdir throws. */
export function makeFolder(path: string | Buffer, mode = 0o777): void {
  try {
    mkdirIfAbsent(path, mode)
  } catch (error) {
    const above = folderAbove(path)
    if (codeOf(error) !== 'ENOENT' || above === null) throw error
    makeFolder(above, mode)
    mkdirIfAbsent(path, mode)
  }
}

function mkdirIfAbsent(path: string | Buffer, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Not every system says EEXIST for a folder that is there: macOS has EISDIR for the root.
    const isThere = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
    if (!isThere) throw error
  }
}

/** Null: there is none. latin1 keeps bytes that are no UTF-8. */
function folderAbove(path: string | Buffer): string | Buffer | null {
  const text = typeof path === 'string' ? path : path.toString('latin1')
  const above = dirname(text)
  if (above === text) return null
  return typeof path === 'string' ? above : Buffer.from(above, 'latin1')
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : null
