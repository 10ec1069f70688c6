// src/rpc/strangers.ts — how much may those ask whom nobody knows yet?
import type { Session } from '../../protocol/types.ts'
import { HeaderRoom } from './header-room.ts'

/** A stranger asks one thing after the other. More than this is not even answered: answers wait to
 * be taken. */
export const STRANGER_CALLS_MAX = 2
/** An enrolment is small. A renewal carries the chain of directories and the list of revoked keys:
 * 200 KiB at the longest. */
const SIZES = { smallBytesMax: 16 * 1024, largestBytes: 256 * 1024, roomBytes: 2 * 2 ** 20 }

/** All strangers of one node. */
export class Strangers {
  readonly has: (session: Session) => boolean
  readonly room = new HeaderRoom(SIZES)

  constructor(has: (session: Session) => boolean) {
    this.has = has
  }
}
