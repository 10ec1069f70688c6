// src/identity/join-proof.ts — how does a node show that it can read the join secret, without sending it?
import { createHmac, timingSafeEqual } from 'node:crypto'
import { FieldWriter } from './byte-fields.ts'
import { bitsOf, type Role } from './certificate.ts'

export interface JoinClaim {
  readonly clusterId: string
  /** X25519 of the manager it is for and of the node it is from, 64 hex digits each: of no use to
   * whoever overhears it, as the transport proves both. */
  readonly managerKey: string
  readonly publicKey: string
  readonly roles: readonly Role[]
  readonly number: number
  readonly name: string
}

/** HMAC-SHA-256 under the join secret (64 hex digits). */
export function joinProof(joinSecret: string, claim: JoinClaim): Uint8Array {
  const fields = new FieldWriter()
    .hex(claim.clusterId)
    .hex(claim.managerKey)
    .hex(claim.publicKey)
    .u16(bitsOf(claim.roles))
    .u16(claim.number)
    .text(claim.name)
    .finish()
  const mac = createHmac('sha256', Buffer.from(joinSecret, 'hex'))
  return Uint8Array.from(mac.update('holdfast join v1\0').update(fields).digest())
}

export function isJoinProof(proof: Uint8Array, joinSecret: string, claim: JoinClaim): boolean {
  const right = joinProof(joinSecret, claim)
  return proof.length === right.length && timingSafeEqual(proof, right)
}
