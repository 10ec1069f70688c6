// test/support/identity.ts — who are the nodes of a test? Keys that need no chance.
import { keysFrom } from '../../protocol/handshake/noise.ts'
import type { LocalIdentity } from '../../protocol/types.ts'

/** A node of its own for each number from 0 to 255. */
export const identityOf = (number: number): LocalIdentity => ({
  ...keysFrom(new Uint8Array(32).fill(number)),
  certificate: new Uint8Array(0),
})
