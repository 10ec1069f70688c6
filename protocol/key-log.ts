// protocol/key-log.ts — how do a dissector's eyes get through the encryption, when someone asks?
//
//   HOLDFAST_KEY <receiver's CID, 16 hex> <phase, from 0> <suite> <key, 64 hex> <salt, 8 hex>
//
// One line per direction and key phase, with the derived key and salt. Never written unless a path
// was given; docs/debugging.md says what it opens.
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs'
import type { KeyLog } from './connection/keys.ts'
import { keysOf } from './handshake/key-schedule.ts'
import { TransportError } from './types.ts'

export interface KeyFile {
  /** For `onKeys` of an endpoint: appends one line at once, so that a live capture can be read.
   * Never throws. */
  readonly write: KeyLog
  close(): void
}

/** Appends to the file, made with mode 0600. Throws ERR_HOLDFAST_INVALID when it cannot be opened or
 * others than its owner may read it. */
export function openKeyLog(path: string): KeyFile {
  let fd: number | null = openForOwner(path)
  const close = (): void => {
    if (fd !== null) closeSync(fd)
    fd = null
  }
  return {
    write({ cid, phase, suite, secret }) {
      if (fd === null) return
      const { key, salt } = keysOf(secret)
      const cidHex = Buffer.from(Uint32Array.from(cid).buffer).toString('hex')
      const name = suite.name.toLowerCase()
      const words = ['HOLDFAST_KEY', cidHex, phase, name, key.toString('hex'), salt.toString('hex')]
      try {
        writeSync(fd, `${words.join(' ')}\n`)
      } catch {
        close() // A full disk must not end connections; the keys of later ones are missing.
      }
    },
    close,
  }
}

function openForOwner(path: string): number {
  let fd: number
  try {
    fd = openSync(path, 'a', 0o600)
  } catch (cause) {
    const detail = `the key log cannot be opened: ${(cause as Error).message}`
    throw new TransportError('ERR_HOLDFAST_INVALID', detail, { cause })
  }
  if ((fstatSync(fd).mode & 0o077) === 0) return fd
  closeSync(fd)
  const detail = `others can read the key log ${path}: chmod 600 it, or name another file`
  throw new TransportError('ERR_HOLDFAST_INVALID', detail)
}
