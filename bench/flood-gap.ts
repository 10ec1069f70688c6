// bench/flood-gap.ts — how does a peer send streams whose first byte never comes?

import { chacha20Poly1305 } from '../protocol/protection/chacha20-poly1305.ts'
import type { Suite } from '../protocol/protection/suite.ts'
import { type FrameSink, parseFrames } from '../protocol/wire/frames.ts'
import { HEADER_BYTES } from '../protocol/wire/header.ts'

const STREAM_HEADER_BYTES = 13
const OFFSET_AT = 5
const LENGTH_AT = 11
const ignore = (): void => undefined

/** The receiver can hand nothing to its application, and keeps what came as long as it must. */
export const gapSuite: Suite = {
  ...chacha20Poly1305,
  makeKey(key, salt) {
    const inner = chacha20Poly1305.makeKey(key, salt)
    return {
      seal: (bytes, at, plaintextEnd) => {
        dropFirstBytes(bytes, at + HEADER_BYTES, plaintextEnd)
        inner.seal(bytes, at, plaintextEnd)
      },
      open: (bytes, at, end) => inner.open(bytes, at, end),
    }
  },
}

/** A stream's byte 0 becomes padding in front of its frame. */
function dropFirstBytes(bytes: Buffer, start: number, end: number): void {
  const starts: number[] = []
  const sink = new Proxy({} as FrameSink, {
    get: (_, name) =>
      name === 'handleStream'
        ? (_id: number, offset: number, from: number, to: number) => {
            if (offset === 0 && to - from > 1) starts.push(from - STREAM_HEADER_BYTES)
          }
        : ignore,
  })
  parseFrames(bytes, start, end, sink)
  for (const at of starts) {
    const lengthBytes = bytes.readUInt16LE(at + LENGTH_AT)
    bytes.copyWithin(at + 1, at, at + STREAM_HEADER_BYTES)
    bytes[at] = 0
    bytes.writeUIntLE(1, at + 1 + OFFSET_AT, 6)
    bytes.writeUInt16LE(lengthBytes - 1, at + 1 + LENGTH_AT)
  }
}
