// protocol/handshake/prologue.ts — what else do both ends agree on by agreeing on keys?
import { VERSION } from '../wire/header.ts'
import type { Cid } from './messages.ts'
import { blake2b256 } from './sodium.ts'

const LABEL = Buffer.from('holdfast1')

/** "holdfast1" ‖ u8 version ‖ the HELLO's two CIDs ‖ BLAKE2b-256 of its token: whatever of these was
 * changed on the way, the handshake fails. */
export function prologueOf(hello: { dcid: Cid; scid: Cid; token: Uint8Array }): Buffer {
  const cids = Buffer.alloc(17)
  cids[0] = VERSION
  cids.writeUInt32LE(hello.dcid[0], 1)
  cids.writeUInt32LE(hello.dcid[1], 5)
  cids.writeUInt32LE(hello.scid[0], 9)
  cids.writeUInt32LE(hello.scid[1], 13)
  return Buffer.concat([LABEL, cids, blake2b256(hello.token)])
}
