// src/identity/recovery.ts — what brings a cluster back whose manager's machine is lost?
//
// From the secret in the recovery file come an Ed25519 key, which signs the first directory of every
// generation, and the X25519 keys of all managers that will ever take over, one after the other: the
// public half of the next one is in each directory, so that nodes can reach a successor whom they
// have never met. The manager forgets the secret as soon as the file is written.
import { hkdfSync, randomBytes } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import { type KeyPair, keyPairFrom } from './key-pair.ts'
import { readPrivate } from './private-file.ts'
import { SigningKey } from './signing.ts'

export interface RecoveryKey {
  readonly clusterId: string
  /** Counts the managers that this file has made or will make: the next one is this. From 1. */
  readonly successor: number
  readonly secret: Uint8Array
}

const SECRET_BYTES = 32
const HEAD =
  'holdfast recovery key v1: keep this file elsewhere, offline, and nowhere else.\n' +
  'Who has it can take the cluster over; without it a lost manager is lost for good.\n'
const SHAPE = /^cluster ([0-9a-f]{32})\nsuccessor (\d{1,6})\nsecret ([0-9a-f]{64})\n$/

export const newRecoveryKey = (clusterId: string): RecoveryKey => ({
  clusterId,
  successor: 1,
  secret: Uint8Array.from(randomBytes(SECRET_BYTES)),
})

export const recoverySigner = ({ secret }: RecoveryKey): SigningKey =>
  new SigningKey(derive(secret, 'holdfast recovery signing key'))

export const successorKeys = ({ secret, successor }: RecoveryKey): KeyPair =>
  keyPairFrom(derive(secret, `holdfast successor ${successor}`))

export const formatRecoveryKey = ({ clusterId, successor, secret }: RecoveryKey): string =>
  `${HEAD}cluster ${clusterId}\nsuccessor ${successor}\n` +
  `secret ${Buffer.from(secret).toString('hex')}\n`

/** BAD_FILE: it is not there, others can read it, or it is no recovery key. */
export async function readRecoveryKey(path: string): Promise<RecoveryKey> {
  const text = await readPrivate(path)
  const found = text?.startsWith(HEAD) ? SHAPE.exec(text.slice(HEAD.length)) : null
  if (!found) {
    const problem = text === null ? 'is not there' : 'is no recovery key, or not a whole one'
    throw new HoldfastError('BAD_FILE', `${path} ${problem}; give the recovery.key of the cluster`)
  }
  const [, clusterId = '', successor, secret = ''] = found
  return { clusterId, successor: Number(successor), secret: Buffer.from(secret, 'hex') }
}

const derive = (secret: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), purpose, SECRET_BYTES))
