// test/sim/plain-suite.ts — what protects packets in a simulation that has to look into them? Nothing.
import type { Suite } from '../../protocol/protection/suite.ts'
import { TAG_BYTES } from '../../protocol/wire/header.ts'

/** 16 zero bytes as the tag: the CRC-32 alone guards data, and frames can be read on their way. */
export const plainSuite: Suite = {
  id: 7,
  name: 'none',
  packetsPerKeyMax: Number.POSITIVE_INFINITY,
  makeKey: () => ({
    seal: (bytes, _at, plaintextEnd) => {
      bytes.fill(0, plaintextEnd, plaintextEnd + TAG_BYTES)
    },
    open: (bytes, _at, end) => bytes.subarray(end - TAG_BYTES, end).every((byte) => byte === 0),
  }),
}
