// src/rpc/cbor.ts — how do messages become bytes, and hostile bytes a value or a defect?
//
// cbor-x does the work, but it also knows tags that build class instances, compile records and
// share references. So the bytes are first checked, without recursion or allocation, to be plain:
// maps with text keys, arrays, text, bytes, numbers, booleans, null.
import { isUtf8 } from 'node:buffer'
import { Encoder } from 'cbor-x'

/** Deeper than any message of the catalogue. */
const DEPTH_MAX = 16
/** The largest message (a page of snapshots) has some 200,000 in 4 MiB. */
const ITEMS_MAX = 2 ** 18
/** Names of fields; also keeps a peer from filling the decoder's cache of property names. */
const KEY_BYTES_MAX = 64
/** No message has as many fields; a map of 100,000 took half a second to become an object. */
const KEYS_MAX = 64
const KEYS_REFUSED = new Set(['__proto__', 'constructor', 'prototype'])

const codec = new Encoder({
  useRecords: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
})

export type Decoded = { ok: true; value: unknown } | { ok: false; defect: string }

export const encodeCbor = (value: unknown): Uint8Array => codec.encode(value)

/** Total: any bytes give a value or a defect. Byte strings in the value are views of `bytes`. */
export function decodeCbor(bytes: Uint8Array): Decoded {
  const defect = defectOf(bytes)
  if (defect !== null) return { ok: false, defect }
  try {
    return { ok: true, value: codec.decode(bytes) }
  } catch (error) {
    return { ok: false, defect: `CBOR: ${error instanceof Error ? error.message : 'unreadable'}` }
  }
}

const MAJOR = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 }

/** Null when the bytes are one plain item and nothing follows. */
function defectOf(bytes: Uint8Array): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  // How many items are still to come, for each open array or map (whose items count twice).
  const left = [1]
  const isMap = [false]
  let offset = 0
  let items = 0
  while (left.length > 0) {
    const top = left.length - 1
    if (left[top] === 0) {
      left.pop()
      isMap.pop()
      continue
    }
    const isKey = isMap[top] && left[top]! % 2 === 0
    left[top]! -= 1
    items += 1
    if (items > ITEMS_MAX) return `CBOR: more than ${ITEMS_MAX} items`
    if (offset >= bytes.length) return 'CBOR: truncated'
    const major = bytes[offset]! >> 5
    const info = bytes[offset]! & 0x1f
    offset += 1
    if (major === MAJOR.tag) return 'CBOR: tags are not allowed'
    if (isKey && major !== MAJOR.text) return 'CBOR: a key that is not text'
    const width = info < 24 ? 0 : info < 28 ? 2 ** (info - 24) : -1
    if (width < 0) return 'CBOR: indefinite lengths are not allowed'
    if (offset + width > bytes.length) return 'CBOR: truncated'
    if (major === MAJOR.simple) {
      // false, true, null, undefined, and floats of 2, 4 and 8 bytes.
      if (info < 20 || info > 27 || info === 24) return `CBOR: simple value ${info}`
      offset += width
      continue
    }
    const argument = readArgument(view, offset, info)
    offset += width
    if (major === MAJOR.unsigned || major === MAJOR.negative) {
      if (argument > Number.MAX_SAFE_INTEGER) return 'CBOR: an integer too large'
      continue
    }
    if (major === MAJOR.bytes || major === MAJOR.text) {
      if (argument > bytes.length - offset) return 'CBOR: truncated'
      const content = bytes.subarray(offset, offset + argument)
      // Replacement characters would be longer than what they stand for, and equal to others.
      if (major === MAJOR.text && !isUtf8(content)) return 'CBOR: text that is not UTF-8'
      if (isKey) {
        if (argument > KEY_BYTES_MAX) return 'CBOR: a key too long'
        const key = Buffer.from(content).toString()
        if (KEYS_REFUSED.has(key)) return `CBOR: the key ${key} is not allowed`
      }
      offset += argument
      continue
    }
    if (major === MAJOR.map && argument > KEYS_MAX) return `CBOR: a map of ${argument} keys`
    const children = major === MAJOR.map ? argument * 2 : argument
    if (children > bytes.length - offset) return 'CBOR: truncated'
    if (left.length > DEPTH_MAX) return `CBOR: deeper than ${DEPTH_MAX}`
    left.push(children)
    isMap.push(major === MAJOR.map)
  }
  return offset === bytes.length ? null : 'CBOR: bytes after the end'
}

function readArgument(view: DataView, offset: number, info: number): number {
  if (info < 24) return info
  if (info === 24) return view.getUint8(offset)
  if (info === 25) return view.getUint16(offset)
  if (info === 26) return view.getUint32(offset)
  return view.getUint32(offset) * 2 ** 32 + view.getUint32(offset + 4)
}
