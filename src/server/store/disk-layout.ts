// src/server/store/disk-layout.ts — which folders make a store, and what does a start find there?
//
//   blobs/<first 3 hex>/<64 hex>   whole, verified, durable; never changed
//   tmp/<64 hex>.<n>.part          on the way in; removed at every start
//   quarantine/<64 hex>[.<n>]      taken out of service, kept for a person or a repair
//   trash/                         condemned blobs in their grace period
//   layout.json                    written once all of this exists
import { join } from 'node:path'
import type { BlobEntry, StoreProblem } from './blob-store.ts'
import { codeOf, type FileSystem } from './file-system.ts'

const FOLDERS = 4096 // 3 hex digits: at 4 MiB a blob, 1 TiB puts 64 into each
const AT_ONCE = 16 // enough to keep the disk's queue filled, few enough to leave the pool to others
const LAYOUT = JSON.stringify({ version: 1, folders: FOLDERS })
const PART = /^[0-9a-f]{64}\.\d+\.part$/
const BLOB = /^[0-9a-f]{64}$/

export const blobFolder = (root: string, blobId: string): string =>
  join(root, 'blobs', blobId.slice(0, 3))
export const blobPath = (root: string, blobId: string): string =>
  join(blobFolder(root, blobId), blobId)
export const partPath = (root: string, blobId: string, serial: number): string =>
  join(root, 'tmp', `${blobId}.${serial}.part`)

/** Makes what is missing. Everything is synced with its parent before layout.json says so, and a
 * start that finds layout.json does none of it again. Rejects with Node's own errors. */
export async function makeLayout(fs: FileSystem, root: string): Promise<void> {
  if (await hasLayout(fs, root)) return
  await fs.makeFolder(root)
  for (const name of ['blobs', 'tmp', 'trash', 'quarantine']) await fs.makeFolder(join(root, name))
  const folders = Array.from({ length: FOLDERS }, (_, place) => folderAt(root, place))
  await eachOf(folders, (folder) => fs.makeFolder(folder))
  // The first sync carries nearly all in one journal commit; the others then find little to do.
  await fs.syncFolder(join(root, 'blobs'))
  await eachOf(folders, (folder) => fs.syncFolder(folder))
  await fs.syncFolder(root)
  await writeLayout(fs, root)
}

export interface Found {
  readonly blobs: BlobEntry[]
  readonly problems: StoreProblem[]
}

/** Looks at every name and size, reads no content. Leftovers of tmp/ go; names that are not ours
 * are reported and left; a size that no blob can have goes to quarantine. Every folder that holds
 * blobs is synced: a crash may have come between a rename and its sync. One folder or file that
 * cannot be read is a problem of its own, the rest goes on. */
export async function surveyStore(
  fs: FileSystem,
  root: string,
  sizeBytes: { min: number; max: number },
): Promise<Found> {
  const found: Found = { blobs: [], problems: [] }
  await clearParts(fs, root, found.problems)
  const places = Array.from({ length: FOLDERS }, (_, place) => place)
  await eachOf(places, async (place) => {
    const folder = folderAt(root, place)
    try {
      await surveyFolder(fs, root, folder, sizeBytes, found)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') await remakeFolder(fs, root, folder, found.problems)
      else found.problems.push({ path: folder, problem: `cannot be read: ${codeOf(error)}` })
    }
  })
  return found
}

/** Renames into quarantine/ under a name that is free: two damaged copies may mend each other. */
export async function moveToQuarantine(fs: FileSystem, root: string, path: string, name: string) {
  const folder = join(root, 'quarantine')
  const taken = new Set((await fs.list(folder)).map((entry) => entry.name))
  let free = name
  for (let serial = 1; taken.has(free); serial += 1) free = `${name}.${serial}`
  await fs.rename(path, join(folder, free))
  await fs.syncFolder(folder)
  return join(folder, free)
}

async function surveyFolder(
  fs: FileSystem,
  root: string,
  folder: string,
  sizeBytes: { min: number; max: number },
  found: Found,
): Promise<void> {
  const entries = await fs.list(folder)
  if (entries.length > 0) await fs.syncFolder(folder)
  for (const { name, isFile } of entries) {
    const path = join(folder, name)
    if (!isFile || !BLOB.test(name) || !folder.endsWith(name.slice(0, 3))) {
      found.problems.push({ path, problem: 'not a blob, or in the wrong folder; left as it is' })
      continue
    }
    try {
      const size = await fs.sizeBytes(path)
      if (size >= sizeBytes.min && size <= sizeBytes.max) {
        found.blobs.push({ blobId: name, sizeBytes: size })
        continue
      }
      const to = await moveToQuarantine(fs, root, path, name)
      await fs.syncFolder(folder)
      found.problems.push({ path, problem: `no blob has ${size} bytes; moved to ${to}` })
    } catch (error) {
      found.problems.push({ path, problem: `cannot be read: ${codeOf(error)}; left as it is` })
    }
  }
}

async function clearParts(fs: FileSystem, root: string, problems: StoreProblem[]): Promise<void> {
  for (const { name, isFile } of await fs.list(join(root, 'tmp'))) {
    const path = join(root, 'tmp', name)
    try {
      if (isFile && PART.test(name)) await fs.remove(path)
      else problems.push({ path, problem: 'not ours; left as it is' })
    } catch (error) {
      problems.push({ path, problem: `cannot be removed: ${codeOf(error)}` })
    }
  }
}

async function remakeFolder(
  fs: FileSystem,
  root: string,
  folder: string,
  problems: StoreProblem[],
): Promise<void> {
  await fs.makeFolder(folder)
  await fs.syncFolder(join(root, 'blobs'))
  problems.push({ path: folder, problem: 'was gone with all it held; made again, empty' })
}

async function hasLayout(fs: FileSystem, root: string): Promise<boolean> {
  try {
    const bytes = await fs.readSmall(join(root, 'layout.json'))
    return Buffer.from(bytes).toString('utf8').trim() === LAYOUT
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

async function writeLayout(fs: FileSystem, root: string): Promise<void> {
  const part = join(root, 'layout.json.part')
  await fs.remove(part).catch(() => {}) // of a start that was cut off just here
  const file = await fs.create(part)
  try {
    await file.write([Buffer.from(`${LAYOUT}\n`)], 0)
    await file.datasync()
  } finally {
    await file.close()
  }
  await fs.rename(part, join(root, 'layout.json'))
  await fs.syncFolder(root)
}

const folderAt = (root: string, place: number): string =>
  join(root, 'blobs', place.toString(16).padStart(3, '0'))

async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < items.length) await act(items[next++] as T)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}
