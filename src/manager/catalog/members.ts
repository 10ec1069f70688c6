// src/manager/catalog/members.ts — how does the catalog remember whom the manager let in?
import type { Kysely, Selectable, Transaction } from 'kysely'
import type { Role } from '../../identity/index.ts'
import { batches, toBytes, toHex } from './bytes.ts'
import type { MemberRow, TokenUse } from './catalog.ts'
import type { Tables } from './schema.ts'

const KEYS_PER_STATEMENT = 500

export async function members(db: Kysely<Tables>): Promise<MemberRow[]> {
  return (await db.selectFrom('members').selectAll().orderBy('name').execute()).map(toRow)
}

export async function member(db: Kysely<Tables>, publicKey: string): Promise<MemberRow | null> {
  const row = await db
    .selectFrom('members')
    .selectAll()
    .where('public_key', '=', toBytes(publicKey))
    .executeTakeFirst()
  return row ? toRow(row) : null
}

export async function putMember(
  tx: Transaction<Tables>,
  row: Omit<MemberRow, 'revokedMs'>,
): Promise<boolean> {
  const changes = {
    name: row.name,
    number: row.number,
    roles: row.roles.join(','),
    not_after_ms: row.notAfterMs,
  }
  const written = await tx
    .insertInto('members')
    .values({ public_key: toBytes(row.publicKey), ...changes, revoked_ms: null })
    .onConflict((conflict) =>
      conflict.column('public_key').doUpdateSet(changes).where('members.revoked_ms', 'is', null),
    )
    .returning('public_key')
    .execute()
  return written.length > 0
}

export async function revokeMembers(
  tx: Transaction<Tables>,
  { publicKeys, nowMs }: { publicKeys: readonly string[]; nowMs: number },
): Promise<void> {
  for (const batch of batches(publicKeys, KEYS_PER_STATEMENT)) {
    await tx
      .updateTable('members')
      .set({ revoked_ms: nowMs })
      .where('public_key', 'in', batch.map(toBytes))
      .where('revoked_ms', 'is', null)
      .execute()
  }
}

export async function useToken(tx: Transaction<Tables>, use: TokenUse): Promise<boolean> {
  await tx.deleteFrom('used_tokens').where('not_after_ms', '<', use.nowMs).execute()
  const token_id = toBytes(use.tokenId)
  await tx
    .insertInto('used_tokens')
    .values({ token_id, public_key: toBytes(use.publicKey), not_after_ms: use.notAfterMs })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const row = await tx
    .selectFrom('used_tokens')
    .select('public_key')
    .where('token_id', '=', token_id)
    .executeTakeFirst()
  return row !== undefined && toHex(row.public_key) === use.publicKey
}

const toRow = (row: Selectable<Tables['members']>): MemberRow => ({
  publicKey: toHex(row.public_key),
  name: row.name,
  number: row.number,
  roles: row.roles.split(',') as Role[],
  notAfterMs: row.not_after_ms,
  revokedMs: row.revoked_ms,
})
