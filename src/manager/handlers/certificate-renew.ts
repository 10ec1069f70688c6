// src/manager/handlers/certificate-renew.ts — may this node go on being what it was?
import { HoldfastError } from '../../errors.ts'
import { decodeCertificate, testimony } from '../../identity/index.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall, Session } from '../../rpc/index.ts'
import type { MemberRow } from '../catalog/catalog.ts'
import { keyOf, type Manager } from '../manager.ts'

/** No certificate lives longer. */
const DAY_MS = 86_400_000

type Subject = Pick<MemberRow, 'publicKey' | 'roles' | 'name' | 'number'>

/** For a key that is known: its certificate may have ended long ago. */
export async function renewCertificate(
  manager: Manager,
  request: RequestOf<'certificate.renew'>,
  call: IncomingCall<'certificate.renew'>,
): Promise<ResponseOf<'certificate.renew'>> {
  const publicKey = keyOf(call.peer)
  const known = await manager.catalog.member(publicKey)
  const subject = known ?? (await knownBefore(manager, request, publicKey))
  if (!subject) {
    throw new HoldfastError('NOT_ENROLLED', 'the manager does not know this key')
  }
  return await certify(manager, call.session, subject)
}

/** A manager that was recovered has lost its memory. A certificate that one before it has signed is
 * as good. Whom that one had revoked, it learns from the nodes that heard of it. */
async function knownBefore(
  manager: Manager,
  request: RequestOf<'certificate.renew'>,
  publicKey: string,
): Promise<Subject | null> {
  const { authority, log } = manager
  const decoded = decodeCertificate(request.certificate)
  if (!decoded.ok || decoded.certificate.publicKey !== publicKey) return null
  const proven = testimony(request, authority.trust)
  if (!proven?.isCertified) return null
  await shutOutAgain(manager, proven.revokedKeys)
  manager.mustHaveListened()
  const { roles, name, number } = decoded.certificate
  if (roles.includes('manager')) return null
  log.info('a node of the manager before this one is here', { name, number })
  return { publicKey, roles: [...roles], name, number }
}

async function shutOutAgain(manager: Manager, publicKeys: readonly string[]): Promise<void> {
  const { authority, catalog, clock } = manager
  const fresh = publicKeys.filter((key) => !authority.trust.isRevoked(key))
  if (fresh.length === 0) return
  const nowMs = clock.wallMs()
  for (const publicKey of fresh) {
    const known = await catalog.member(publicKey)
    const unknown = { name: 'revoked before', number: 0, roles: ['backup' as const] }
    await catalog.putMember({ publicKey, ...unknown, ...known, notAfterMs: nowMs + DAY_MS })
  }
  await catalog.revokeMembers({ publicKeys: fresh, nowMs })
  await manager.applyRevocations()
}

/** Signs, remembers, and lets the session go on with the new certificate. REVOKED. */
export async function certify(
  manager: Manager,
  session: Session,
  { publicKey, roles, name, number }: Subject,
): Promise<ResponseOf<'certificate.renew'>> {
  const { authority, catalog, clock } = manager
  const { bytes, certificate } = authority.issue({ publicKey, roles, name, number })
  const { notAfterMs } = certificate
  const isLetIn = await catalog.putMember({ publicKey, roles, name, number, notAfterMs })
  if (!isLetIn) {
    const detail = `the key of ${name} is revoked; remove its .key and .cert file, and enrol it anew`
    throw new HoldfastError('REVOKED', detail)
  }
  manager.gate.renew(session, bytes)
  return { ...authority.trust.news, certificate: bytes, nowMs: clock.wallMs() }
}
