// src/identity/whole-file.ts — how does a small file come to be either whole or absent?
import { randomBytes } from 'node:crypto'
import { link, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Makes the file unless it exists; of several processes at once one wins, and all then see its
 * file. Synced, name included. True when this call made it. */
export async function createWhole(path: string, text: string, mode: number): Promise<boolean> {
  const temporary = await writeTemporary(path, text, mode)
  try {
    await link(temporary, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await unlink(temporary)
  }
  await syncFolder(dirname(path))
  return true
}

/** Puts the text in place of what was there, if anything. Synced, name included. */
export async function replaceWhole(path: string, text: string, mode: number): Promise<void> {
  const temporary = await writeTemporary(path, text, mode)
  try {
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw error
  }
  await syncFolder(dirname(path))
}

async function writeTemporary(path: string, text: string, mode: number): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  return temporary
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
