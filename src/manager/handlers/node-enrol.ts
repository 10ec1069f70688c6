// src/manager/handlers/node-enrol.ts — may this stranger become a node of the cluster?
import { HoldfastError } from '../../errors.ts'
import type { Role } from '../../identity/index.ts'
import type { RequestOf, ResponseOf } from '../../messages.ts'
import type { IncomingCall } from '../../rpc/index.ts'
import { keyOf, type Manager } from '../manager.ts'
import { certify } from './certificate-renew.ts'

type Request = RequestOf<'node.enrol'>

/** Whoever can read the data folder may be any of these, whoever has a token what it says. */
const BY_JOIN_SECRET: readonly Role[] = ['server', 'backup', 'restore', 'operator']

export async function enrolNode(
  manager: Manager,
  request: Request,
  call: IncomingCall<'node.enrol'>,
): Promise<ResponseOf<'node.enrol'>> {
  const { roles, name, number, proof } = request
  const publicKey = keyOf(call.peer)
  const subject = { publicKey, roles, name, number }
  if (proof.kind === 'join') {
    const isRight = manager.authority.isJoinProof(proof.mac, subject)
    if (!isRight || roles.some((role) => !BY_JOIN_SECRET.includes(role))) {
      const detail = `${name} does not know the join secret of this cluster's data folder`
      throw new HoldfastError('NOT_ALLOWED', `${detail}; use a token`)
    }
    return await certify(manager, call.session, subject)
  }
  const token = manager.authority.checkToken(proof.token)
  const { tokenId, notAfterMs } = token
  const isSame = token.number === number && token.roles.join() === roles.join()
  if (!isSame) throw new HoldfastError('TOKEN_REFUSED', 'the token is for another node or role')
  const use = { tokenId, publicKey, notAfterMs, nowMs: manager.clock.wallMs() }
  if (!(await manager.catalog.useToken(use))) {
    const detail = 'the token was used already, and each lets one node in; print a new one'
    throw new HoldfastError('TOKEN_REFUSED', detail)
  }
  return await certify(manager, call.session, subject)
}
