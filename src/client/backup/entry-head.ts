// src/client/backup/entry-head.ts — what does the tree say about an entry, besides its content?

import { type DeviceNumber, unpackDevice } from '../os/native.ts'
import type { Owners } from '../os/owners.ts'
import { bytesOfLatin1 } from '../path.ts'
import type { SourceStat } from '../source/files.ts'

export interface EntryHead {
  readonly name: Buffer
  /** Permission bits with setuid, setgid and sticky; the type stands apart. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly user: Buffer
  readonly group: Buffer
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
  readonly inode: bigint
  /** Only where the inode has several names. */
  readonly hardlink: {
    readonly device: bigint
    readonly inode: bigint
    readonly links: number
  } | null
  /** Of a device node. */
  readonly device: DeviceNumber
}

export function headOf(name: string, stat: SourceStat, owners: Owners): EntryHead {
  const links = Number(stat.nlink)
  return {
    name: bytesOfLatin1(name),
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    user: owners.user(Number(stat.uid)),
    group: owners.group(Number(stat.gid)),
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    inode: stat.ino,
    hardlink: links > 1 ? { device: stat.dev, inode: stat.ino, links } : null,
    device: unpackDevice(stat.rdev),
  }
}
