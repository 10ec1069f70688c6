// src/manager/members.ts — of which revoked keys must nodes be told?
import type { MemberRow } from './catalog/catalog.ts'

/** Clocks differ, and a revocation must not be forgotten before what it revokes has ended. */
const LISTED_MS = 3_600_000

/** Those with a certificate that might still be shown; an older one is refused by its date. */
export const revokedKeys = (members: readonly MemberRow[], nowMs: number): string[] =>
  members
    .filter((row) => row.revokedMs !== null && row.notAfterMs + LISTED_MS > nowMs)
    .map((row) => row.publicKey)
