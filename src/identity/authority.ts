// src/identity/authority.ts — how does the manager vouch for nodes?
import { randomBytes } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import { type Certificate, CLOCK_SLACK_MS, type Role, signCertificate } from './certificate.ts'
import type { ClusterKeys } from './cluster-keys.ts'
import { type Directory, decodeChain, encodeChain, signDirectory } from './directory.ts'
import { type Grant, signGrant } from './grant.ts'
import { isJoinProof, type JoinClaim } from './join-proof.ts'
import type { KeyPair } from './key-pair.ts'
import { decodeRevocations, REVOKED_KEYS_MAX, signRevocations } from './revocations.ts'
import { isSealedBy } from './signing.ts'
import { decodeToken, HOW_TO_GET_A_TOKEN, signToken, type Token } from './token.ts'
import type { Trust } from './trust.ts'

/** Fits the transport's LocalIdentity. */
export interface NodeIdentity extends KeyPair {
  /** Empty: none yet. */
  readonly certificate: Uint8Array
}

export interface Subject {
  readonly publicKey: string
  readonly roles: readonly Role[]
  readonly name: string
  readonly number: number
}

const HOUR_MS = 3_600_000
const LIFE_MS = { node: 24 * HOUR_MS, client: HOUR_MS } as const
/** A token's signature must not outlive the key that made it. */
export const TOKEN_LIFE_MS_MAX = 24 * HOUR_MS

export interface AuthorityParts {
  readonly keyPair: KeyPair
  readonly keys: ClusterKeys
  readonly trust: Trust
  /** 64 hex digits. */
  readonly joinSecret: string
  /** Makes what is trusted now durable, before anybody is told. */
  readonly save: () => Promise<void>
  readonly name: string
  readonly wallMs: () => number
}

export class Authority {
  readonly trust: Trust
  readonly #parts: AuthorityParts
  #writing: Promise<void> = Promise.resolve()

  constructor(parts: AuthorityParts) {
    this.#parts = parts
    this.trust = parts.trust
  }

  get clusterId(): string {
    return this.trust.clusterId
  }

  /** The manager's own, with a certificate from now on. */
  identity(): NodeIdentity {
    const { keyPair, name } = this.#parts
    const publicKey = Buffer.from(keyPair.publicKey).toString('hex')
    const { bytes } = this.issue({ publicKey, roles: ['manager'], name, number: 0 })
    return { ...keyPair, certificate: bytes }
  }

  issue(subject: Subject): { bytes: Uint8Array; certificate: Certificate } {
    const nowMs = this.#parts.wallMs()
    const isNode = subject.roles.some((role) => role === 'server' || role === 'manager')
    const certificate: Certificate = {
      version: 1,
      clusterId: this.clusterId,
      ...subject,
      notBeforeMs: Math.max(0, Math.floor(nowMs - CLOCK_SLACK_MS)),
      notAfterMs: Math.floor(nowMs + (isNode ? LIFE_MS.node : LIFE_MS.client)),
      serial: randomBytes(16).toString('hex'),
    }
    return { bytes: signCertificate(certificate, this.#signer), certificate }
  }

  grant(grant: Omit<Grant, 'version' | 'clusterId'>): Uint8Array {
    return signGrant({ version: 1, clusterId: this.clusterId, ...grant }, this.#signer)
  }

  // — who may join —

  isJoinProof(proof: Uint8Array, claim: Omit<JoinClaim, 'clusterId' | 'managerKey'>): boolean {
    const { managerKey } = this.trust.directory
    const whole = { ...claim, clusterId: this.clusterId, managerKey }
    return isJoinProof(proof, this.#parts.joinSecret, whole)
  }

  token(what: Pick<Token, 'host' | 'port' | 'roles' | 'number'> & { lifeMs: number }): {
    token: string
    notAfterMs: number
  } {
    const { lifeMs, ...rest } = what
    const notAfterMs = Math.floor(this.#parts.wallMs() + Math.min(lifeMs, TOKEN_LIFE_MS_MAX))
    const { managerKey } = this.trust.directory
    const tokenId = randomBytes(16).toString('hex')
    const fields = { ...rest, clusterId: this.clusterId, managerKey, notAfterMs, tokenId }
    // The established key: the joining node compares it with the directory.
    return { token: signToken(fields, this.#parts.keys.established), notAfterMs }
  }

  /** The token, if this cluster made it and its time is not over. Whether it was used is for the
   * catalog to say. TOKEN_REFUSED, WRONG_CLUSTER. */
  checkToken(text: string): Token {
    const token = decodeToken(text)
    if (token.clusterId !== this.clusterId) {
      const detail = `the token is for cluster ${token.clusterId}, this is ${this.clusterId}`
      throw new HoldfastError('WRONG_CLUSTER', `${detail}; ${HOW_TO_GET_A_TOKEN}`)
    }
    if (!this.trust.directory.signingKeys.includes(token.signingKey)) {
      const detail = "the token was not made by this cluster's manager, or long ago"
      throw new HoldfastError('TOKEN_REFUSED', `${detail}; ${HOW_TO_GET_A_TOKEN}`)
    }
    if (this.#parts.wallMs() > token.notAfterMs) {
      const ended = new Date(token.notAfterMs).toISOString()
      throw new HoldfastError('TOKEN_REFUSED', `the token ended ${ended}; ${HOW_TO_GET_A_TOKEN}`)
    }
    return token
  }

  // — what changes —

  /** The keys whose certificates have not ended yet. Nodes hear of it with their next heartbeat. */
  async revoke(publicKeys: readonly string[]): Promise<void> {
    await this.#change(async () => {
      this.#list(publicKeys.slice(-REVOKED_KEYS_MAX))
    })
  }

  /** Adds a signing key. INVALID_REQUEST while the last rotation is under way. */
  async rotate(): Promise<{ signingKey: string; oldUntilMs: number }> {
    const { keys, wallMs } = this.#parts
    await this.#change(async () => {
      if (keys.isRotating) {
        const until = new Date(keys.listedUntilMs ?? 0).toISOString()
        const detail = `the last rotation is under way until ${until}; repeat the command then`
        throw new HoldfastError('INVALID_REQUEST', detail)
      }
      await keys.add(wallMs())
      this.#append(keys.publicKeys)
    })
    return { signingKey: keys.publicKeys.at(-1) ?? '', oldUntilMs: keys.listedUntilMs ?? 0 }
  }

  /** Call now and then: takes an old key from the list when its time is over. */
  async tend(): Promise<void> {
    const { keys, wallMs } = this.#parts
    const { signingKeys } = this.trust.directory
    const isOver = keys.listedUntilMs !== null && wallMs() >= keys.listedUntilMs
    // A crash may have come between the two files.
    const isCutOff = signingKeys.some((key) => !keys.publicKeys.includes(key))
    if (!isOver && !isCutOff) return
    await this.#change(async () => {
      const listed = keys.publicKeys.slice(-1)
      this.#append(listed)
      // What the old key has signed would be refused by nodes that come later.
      await keys.keep(listed)
      this.#list([...this.trust.revokedKeys])
    })
  }

  /** One after the other, each on disk before the next and before anybody is told. */
  #change(change: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(async () => {
      await change()
      await this.#parts.save()
    })
    this.#writing = done.catch(() => undefined)
    return done
  }

  #append(signingKeys: readonly string[]): void {
    const { newest, links } = decodeChain(this.trust.news.directory) ?? neverNull()
    const changes = { signer: 'cluster' as const, signingKeys, sequence: this.#nextSequence }
    const next: Directory = { ...newest, ...changes }
    const key = newest.signingKeys.length > 1 ? this.#newestKey : this.#parts.keys.established
    const directory = encodeChain([...links.map((l) => l.sealed), signDirectory(next, key)])
    this.trust.learn({ ...this.trust.news, directory })
  }

  #list(keys: readonly string[]): void {
    const list = { clusterId: this.clusterId, sequence: this.#nextSequence, keys }
    const revocations = signRevocations(list, this.#signer)
    this.trust.learn({ ...this.trust.news, revocations })
  }

  get #nextSequence(): number {
    return Math.max(Math.floor(this.#parts.wallMs()), this.trust.version + 1)
  }

  /** Only a key that the directory lists: one that is not was made just before a crash. */
  get #signer() {
    return this.#parts.keys.current(this.#parts.wallMs())
  }

  get #newestKey() {
    return this.#parts.keys.current(Number.MAX_SAFE_INTEGER)
  }
}

function neverNull(): never {
  throw new HoldfastError('INTERNAL', 'the directory that this manager made does not hold')
}

/** What a node of a manager before this one can prove of it; null when the chain is not of this
 * cluster, that is: does not begin with this cluster's recovery key. */
export function testimony(
  of: { certificate: Uint8Array; directory: Uint8Array; revocations: Uint8Array },
  trust: Trust,
): { isCertified: boolean; revokedKeys: readonly string[] } | null {
  const { clusterId, recoveryKey } = trust.directory
  const chain = decodeChain(of.directory, recoveryKey)
  if (chain?.newest.clusterId !== clusterId) return null
  const keys = [...new Set(chain.links.flatMap(({ directory }) => directory.signingKeys))]
  const isSigned = (domain: 'certificate' | 'revocations', bytes: Uint8Array): boolean =>
    keys.some((key) => isSealedBy(key, domain, bytes))
  const list = decodeRevocations(of.revocations)
  const isListGood = list?.clusterId === clusterId && isSigned('revocations', of.revocations)
  return {
    isCertified: isSigned('certificate', of.certificate),
    revokedKeys: isListGood ? list.keys : [],
  }
}
