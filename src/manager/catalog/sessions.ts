// src/manager/catalog/sessions.ts — is a backup session still open, and what goes with it?
import type { Transaction } from 'kysely'
import { HoldfastError } from '../../errors.ts'
import { toBytes } from './bytes.ts'
import type { Tables } from './schema.ts'

/** SESSION_EXPIRED when it is gone: what is pinned for it now would stay for ever, and what it
 * pinned is free already. */
export async function mustBeOpen(tx: Transaction<Tables>, sessionId: string): Promise<void> {
  const row = await tx
    .selectFrom('sessions')
    .select('session_id')
    .where('session_id', '=', toBytes(sessionId))
    .executeTakeFirst()
  if (row) return
  const detail = 'the backup session is gone; begin again, what is stored stays valid'
  throw new HoldfastError('SESSION_EXPIRED', detail)
}

/** Its pins go too. */
export async function endSession(tx: Transaction<Tables>, sessionId: string): Promise<void> {
  const id = toBytes(sessionId)
  await tx.deleteFrom('pins').where('session_id', '=', id).execute()
  await tx.deleteFrom('sessions').where('session_id', '=', id).execute()
}
