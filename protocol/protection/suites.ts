// protocol/protection/suites.ts — which ciphers does this machine offer, the best one first?
import { aes256Gcm, isAesFast } from './aes-256-gcm.ts'
import { chacha20Poly1305 } from './chacha20-poly1305.ts'
import type { Suite } from './suite.ts'

/** AES only where it is fast: whoever offers it prefers it, so that it is used when both ends do. */
export const suitesOfThisMachine = (): readonly Suite[] =>
  isAesFast() ? [aes256Gcm, chacha20Poly1305] : [chacha20Poly1305]
