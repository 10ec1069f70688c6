// src/identity/folder-lock.ts — is another process at work in this folder?
import { link, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HoldfastError } from '../errors.ts'

export interface FolderLock {
  release(): Promise<void>
}

interface Holder {
  readonly pid: number
  /** When the process started, in the kernel's ticks: a pid alone may be somebody else's by now. */
  readonly started: string
}

const ATTEMPTS = 10

/** Takes the folder for this process. DATA_FOLDER_LOCKED names the process that has it; the lock
 * of a process that is gone is taken over. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, 'lock')
  const mine = `${path}.${process.pid}`
  const holder: Holder = { pid: process.pid, started: await startOf(process.pid) }
  await writeFile(mine, JSON.stringify(holder), { mode: 0o600 })
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      if (await tryLink(mine, path)) return { release: () => release(path, holder) }
      await removeStale(path, folder)
    }
    throw new HoldfastError('DATA_FOLDER_LOCKED', `${folder} is being locked by others; try again`)
  } finally {
    await unlink(mine)
  }
}

async function tryLink(mine: string, path: string): Promise<boolean> {
  try {
    await link(mine, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Moves the lock of a dead process away. Rename picks one winner among several starters; what it
 * got is looked at again, in case the lock changed hands in between. */
async function removeStale(path: string, folder: string): Promise<void> {
  const holder = await readHolder(path)
  if (holder && (await isAlive(holder))) throw locked(folder, holder.pid)
  const aside = `${path}.stale.${process.pid}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  const moved = await readHolder(aside)
  if (moved && (await isAlive(moved))) {
    // A live one's after all: put it back.
    await link(aside, path).catch(() => undefined)
    await unlink(aside)
    throw locked(folder, moved.pid)
  }
  await unlink(aside)
}

const locked = (folder: string, pid: number): HoldfastError =>
  new HoldfastError(
    'DATA_FOLDER_LOCKED',
    `process ${pid} is at work in ${folder}; stop it first, or use another --data folder`,
  )

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const { pid, started } = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder>
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null
  } catch {
    return null
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return holder.started === '' || (await startOf(holder.pid)) === holder.started
}

/** Field 22 of /proc/PID/stat; empty where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

async function release(path: string, mine: Holder): Promise<void> {
  const holder = await readHolder(path)
  if (holder?.pid === mine.pid && holder.started === mine.started) await unlink(path)
}
