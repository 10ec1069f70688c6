// test/support/compare-trees.ts — are two folders the same, to the last bit that a backup keeps?
import { createHash } from 'node:crypto'
import { type BigIntStats, createReadStream } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

const DIFFERENCES_MAX = 20

/** One line per difference in names, types, contents, modes, owners, mtimes (ns), link targets and
 * hardlink groups; empty when the folders are equal. Names are compared as bytes. */
export async function compareTrees(left: string, right: string): Promise<string[]> {
  const [a, b] = await Promise.all([describe(left), describe(right)])
  const differences: string[] = []
  for (const [path, line] of a) {
    const other = b.get(path)
    if (other === undefined) differences.push(`missing: ${path}`)
    else if (other !== line) differences.push(`${path}: ${line} became ${other}`)
  }
  for (const path of b.keys()) if (!a.has(path)) differences.push(`extra: ${path}`)
  return differences.slice(0, DIFFERENCES_MAX)
}

/** Path (bytes as latin1, relative) to a line that says all there is to compare. */
async function describe(root: string): Promise<Map<string, string>> {
  const lines = new Map<string, string>()
  const firstOfInode = new Map<string, string>()
  const visit = async (path: Buffer, relative: string): Promise<void> => {
    const stats = await lstat(path, { bigint: true })
    const kind = stats.isDirectory()
      ? 'dir'
      : stats.isSymbolicLink()
        ? 'link'
        : stats.isFile()
          ? 'file'
          : 'special'
    const content =
      kind === 'file' ? await hashFile(path) : kind === 'link' ? await readlink(path, 'latin1') : ''
    const group =
      kind === 'file' && stats.nlink > 1n ? hardlinkGroup(stats, relative, firstOfInode) : ''
    lines.set(
      relative,
      [kind, stats.mode.toString(8), stats.uid, stats.gid, stats.mtimeNs, content, group].join(' '),
    )
    if (kind !== 'dir') return
    const names = await readdir(path, { encoding: 'buffer' })
    names.sort(Buffer.compare)
    for (const name of names) {
      await visit(
        Buffer.concat([path, Buffer.from('/'), name]),
        join(relative, name.toString('latin1')),
      )
    }
  }
  await visit(Buffer.from(root), '.')
  return lines
}

function hardlinkGroup(stats: BigIntStats, path: string, first: Map<string, string>): string {
  const inode = `${stats.dev}:${stats.ino}`
  const known = first.get(inode)
  if (known === undefined) first.set(inode, path)
  return `same as ${known ?? path}`
}

async function hashFile(path: Buffer): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer)
  return hash.digest('hex')
}
