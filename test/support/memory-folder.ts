// test/support/memory-folder.ts — where do tests make stores of 4,096 folders, again and again?
import { mkdtemp, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const SHARED_MEMORY = '/dev/shm'
const ROOM_BYTES = 2 ** 30

/** A new folder, in memory where the system has such a place: making and removing thousands of
 * folders takes an ext4 disk seconds each time. Remove it in the end. */
export async function makeMemoryFolder(prefix: string): Promise<string> {
  const free = await statfs(SHARED_MEMORY).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  )
  return mkdtemp(join(free >= ROOM_BYTES ? SHARED_MEMORY : tmpdir(), prefix))
}
