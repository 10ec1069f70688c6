// src/cli/commands/operator.ts — how does an operator let nodes in, shut them out, and change the key?
import type { Client } from '../../client/index.ts'
import { HoldfastError } from '../../errors.ts'
import { canEnrolHere } from '../../identity/index.ts'
import { formatTime } from '../format.ts'
import { interruptSignal } from '../interrupt.ts'
import type { Output } from '../output.ts'
import { type Settings, wholeNumber } from '../settings.ts'
import { withClient } from './with-client.ts'

const HOUR_MS = 3_600_000
const HOURS_DEFAULT = '1'
const HOURS_MAX = 24

/** `token server N`, `token client N --role backup[,restore]`. The token is the last line. */
export async function runToken(
  settings: Settings,
  output: Output,
  words: { kind: string; number: string; role: string | undefined; hours: string | undefined },
): Promise<number> {
  const { kind } = words
  if (kind !== 'server' && kind !== 'client') {
    const detail = `a token is for a server or a client, not for '${kind}'`
    throw new HoldfastError('BAD_USAGE', `${detail}: holdfast token server 5`)
  }
  const number = wholeNumber(words.number, kind)
  const roles = kind === 'server' ? serverRole(words.role) : clientRoles(words.role)
  const hours = wholeNumber(words.hours ?? HOURS_DEFAULT, 'hours')
  if (hours > HOURS_MAX) {
    throw new HoldfastError('BAD_USAGE', `a token lives for at most ${HOURS_MAX} hours`)
  }
  const request = { roles, number, lifeMs: hours * HOUR_MS }
  const { token, notAfterMs } = await asOperator(settings, (client) => client.createToken(request))
  output.result({ type: 'token', token, kind, number, roles, ends: iso(notAfterMs) }, [
    `for ${kind} ${number} (${roles.join(', ')}), once, until ${formatTime(notAfterMs)}; on that machine:`,
    `  holdfast ${kind} ${number} --join TOKEN`,
    token,
  ])
  return 0
}

export async function runRevoke(settings: Settings, output: Output, node: string): Promise<number> {
  const { revoked } = await asOperator(settings, (client) => client.revoke(node))
  for (const { name, roles, publicKey } of revoked) {
    const line = `${name} (${roles.join(', ')}, key ${publicKey.slice(0, 8)}) is revoked`
    output.result({ type: 'revoked', name, roles, publicKey }, line)
  }
  return 0
}

export async function runRotateKey(settings: Settings, output: Output): Promise<number> {
  const { signingKey, oldUntilMs } = await asOperator(settings, (client) =>
    client.rotateClusterKey(),
  )
  const until = formatTime(oldUntilMs)
  output.result({ type: 'rotated', signingKey, oldUntil: iso(oldUntilMs) }, [
    `the cluster signs with the new key ${signingKey.slice(0, 8)} in a minute;`,
    `what the old one signed is good until ${until}. Nobody has to do anything.`,
  ])
  return 0
}

/** NOT_ALLOWED where the manager's data folder can't be read. */
async function asOperator<T>(settings: Settings, work: (client: Client) => Promise<T>): Promise<T> {
  if (!(await canEnrolHere(settings.dataDir))) {
    const detail = `${settings.dataDir} is not the manager's data folder, or is not yours to read`
    throw new HoldfastError('NOT_ALLOWED', `${detail}; run this where the manager runs`)
  }
  return await withClient(settings, { signal: interruptSignal(), asOperator: true }, work)
}

function serverRole(word: string | undefined): 'server'[] {
  if (word === undefined || word === 'server') return ['server']
  throw new HoldfastError('BAD_USAGE', `a server has the role server, not '${word}'`)
}

function clientRoles(word: string | undefined): ('backup' | 'restore')[] {
  const roles = (word ?? '').split(',').map((role) => role.trim())
  const isKnown = (role: string): role is 'backup' | 'restore' =>
    role === 'backup' || role === 'restore'
  if (roles.every(isKnown)) return [...new Set(roles)]
  const detail = word === undefined ? 'say what the client may do' : `there is no role '${word}'`
  throw new HoldfastError('BAD_USAGE', `${detail}: --role backup, restore, or backup,restore`)
}

const iso = (ms: number): string => new Date(ms).toISOString()
