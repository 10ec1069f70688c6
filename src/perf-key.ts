// src/perf-key.ts — which key does everybody have, so that it may prove nothing?
import { createHash } from 'node:crypto'

/** The secret of the X25519 key that `holdfast perf serve` answers with, 32 bytes: whoever measures
 * a link knows it beforehand, and so does everybody else. */
export const PERF_SECRET_KEY: Uint8Array = createHash('sha256')
  .update('holdfast perf: everybody has this key\n')
  .digest()

/** Its public half, 64 hex digits. No node of a cluster has it or listens to who has it. */
export const PERF_PUBLIC_KEY = 'e28d2c7cf80e55d73dcea10cf8bb170750f6715f5b7de16b1213076e8efb456d'
