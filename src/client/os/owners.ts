// src/client/os/owners.ts — what are the names of user and group numbers?
import { readFileSync } from 'node:fs'

/** Names beside the numbers, for a person who restores on another machine; restore itself goes by
 * the numbers, as restic and rsync --numeric-ids do. */
export interface Owners {
  /** Empty when the number has no name here. */
  user(uid: number): Buffer
  group(gid: number): Buffer
}

const NONE = Buffer.alloc(0)

/** Reads /etc/passwd and /etc/group once; users of a directory service have no name then. */
export function openOwners(): Owners {
  const users = readNames('/etc/passwd')
  const groups = readNames('/etc/group')
  return { user: (uid) => users.get(uid) ?? NONE, group: (gid) => groups.get(gid) ?? NONE }
}

function readNames(path: string): Map<number, Buffer> {
  const names = new Map<number, Buffer>()
  let text = ''
  try {
    text = readFileSync(path, 'latin1')
  } catch {
    return names // A machine without the file: numbers alone.
  }
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':')
    if (!name || !number || !/^\d+$/.test(number) || name.length > 255) continue
    if (!names.has(Number(number))) names.set(Number(number), Buffer.from(name, 'latin1'))
  }
  return names
}
