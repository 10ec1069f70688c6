// src/client/path.ts — how are paths of bytes joined, cleaned and shown?
import { isUtf8 } from 'node:buffer'
import path from 'node:path'

export const SLASH = 0x2f
export const ROOT = Buffer.from('/')

/** Names travel inside as latin1 strings where they are many: one byte per unit, so that the
 * built-in string order is the order of the bytes, and a name costs no Buffer of its own. */
export function bytesOfLatin1(name: string): Buffer {
  const bytes = room(name.length)
  bytes.write(name, 'latin1')
  return bytes
}

export const latin1Of = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')

const SLAB_BYTES = 8_192
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
let slabUsed = 0

/** Names and paths stay while their entry waits, so they have slabs of their own. In Node's pool they
 * would lie between contents of files, and one name keeps all 64 KiB around it. */
function room(length: number): Buffer {
  if (length > SLAB_BYTES / 8) return Buffer.allocUnsafeSlow(length)
  if (slabUsed + length > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    slabUsed = 0
  }
  slabUsed += length
  return slab.subarray(slabUsed - length, slabUsed)
}

/** A copy of bytes that are about to go. */
export function keptBytes(bytes: Uint8Array): Buffer {
  const kept = room(bytes.length)
  kept.set(bytes)
  return kept
}

/** `folder/name`; both may hold any bytes but NUL. */
export function joinPath(folder: Uint8Array, name: Uint8Array): Buffer {
  const gap = folder[folder.length - 1] === SLASH ? 0 : 1
  const joined = room(folder.length + gap + name.length)
  joined.set(folder)
  if (gap === 1) joined[folder.length] = SLASH
  joined.set(name, folder.length + gap)
  return joined
}

/** Absolute and without `.`, `..`, doubled or trailing slashes, decided on the text alone. */
export function absolutePath(given: string | Uint8Array, currentFolder = process.cwd()): Buffer {
  // latin1 keeps every byte through path.resolve, which knows only strings.
  const text = typeof given === 'string' ? Buffer.from(given).toString('latin1') : latin1Of(given)
  return bytesOfLatin1(path.posix.resolve(Buffer.from(currentFolder).toString('latin1'), text))
}

/** The names on the way to an absolute path; none for `/`. */
export const namesOf = (absolute: Uint8Array): string[] =>
  latin1Of(absolute)
    .split('/')
    .filter((name) => name !== '')

/** One printable line: control characters, and bytes that are not UTF-8, become `\xNN`. */
export function displayPath(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const text = isUtf8(buffer) ? buffer.toString('utf8') : displayBytes(buffer)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a screen
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) =>
    [...Buffer.from(character)].map(hexEscape).join(''),
  )
}

const hexEscape = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`

/** Runs of UTF-8 stay readable; each other byte is escaped. */
function displayBytes(buffer: Buffer): string {
  let shown = ''
  for (let at = 0; at < buffer.length; ) {
    const width = [1, 2, 3, 4].find(
      (n) => at + n <= buffer.length && isUtf8(buffer.subarray(at, at + n)),
    )
    shown += width ? buffer.toString('utf8', at, at + width) : hexEscape(buffer[at]!)
    at += width ?? 1
  }
  return shown
}
