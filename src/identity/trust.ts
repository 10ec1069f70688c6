// src/identity/trust.ts — whose word does this node believe, and of whom must it not hear any more?
import { createHash } from 'node:crypto'
import { HoldfastError } from '../errors.ts'
import { PERF_PUBLIC_KEY } from '../perf-key.ts'
import { type Certificate, checkCertificate, decodeCertificate, type Role } from './certificate.ts'
import { type Chain, type Directory, decodeChain, replaces } from './directory.ts'
import { checkGrant, decodeGrant, type Grant, type GrantUse } from './grant.ts'
import { decodeRevocations, type Revocations } from './revocations.ts'
import { type Domain, isSealedBy } from './signing.ts'

/** Verifying costs 50 to 100 µs, looking up a hash 2 µs. */
const VERIFIED_MAX = 4096

export interface Peer {
  /** Proven by the transport, 32 bytes. */
  readonly publicKey: Uint8Array
  readonly certificate: Uint8Array
}

/** What a manager tells of the cluster; see `cluster.directory` in messages.ts. */
export interface ClusterNews {
  readonly directory: Uint8Array
  readonly revocations: Uint8Array
}

/** The chain of directories and the list of revoked keys that a node has accepted. */
export class Trust {
  #chain: Chain
  #list: Revocations | null = null
  #listBytes: Uint8Array = new Uint8Array(0)
  #revoked: ReadonlySet<string> = new Set()
  #before: ClusterNews | null = null
  /** Hashes of what a listed key has signed. */
  readonly #verified = new Set<string>()
  readonly #listeners: (() => void)[] = []

  private constructor(chain: Chain) {
    this.#chain = chain
  }

  /** BAD_FILE when the bytes are no chain that holds. */
  static from(chain: Uint8Array): Trust {
    const decoded = decodeChain(chain)
    if (!decoded) throw new HoldfastError('BAD_FILE', "the cluster's directory is damaged")
    return new Trust(decoded)
  }

  get directory(): Directory {
    return this.#chain.newest
  }

  get clusterId(): string {
    return this.#chain.newest.clusterId
  }

  get news(): ClusterNews {
    return { directory: this.#chain.bytes, revocations: this.#listBytes }
  }

  /** What shows a manager that has taken over, and lost all memory, that a certificate of before is
   * good: the chain that was followed when it was signed. */
  get evidence(): ClusterNews {
    return this.#before ?? this.news
  }

  /** There is a certificate of the manager that is now (null), or still one of before. */
  setBefore(before: ClusterNews | null): void {
    this.#before = before
  }

  get before(): ClusterNews | null {
    return this.#before
  }

  /** Any change raises it; two nodes with the same one know the same. */
  get version(): number {
    return Math.max(this.directory.sequence, this.#list?.sequence ?? 0)
  }

  /** Called after each change. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Takes over what is newer and vouched for. True when anything changed. Throws WRONG_CLUSTER
   * when it comes from a manager that is not, or no longer, this cluster's. */
  learn(news: ClusterNews): boolean {
    const chain = decodeChain(news.directory)
    if (!chain) throw new HoldfastError('WRONG_CLUSTER', 'that manager shows a false directory')
    const isNewer = replaces(chain, this.#chain)
    if (isNewer) {
      if (chain.newest.generation > this.directory.generation) {
        this.#before ??= this.news
        this.#list = null
      }
      this.#chain = chain
      this.#verified.clear()
    }
    const isListed = this.#learnRevocations(news.revocations)
    if (isNewer || isListed) for (const listener of this.#listeners) listener()
    return isNewer || isListed
  }

  #learnRevocations(bytes: Uint8Array): boolean {
    const list = decodeRevocations(bytes)
    if (!list || list.clusterId !== this.clusterId) return false
    if (list.sequence <= (this.#list?.sequence ?? -1)) return false
    if (!this.#isSigned('revocations', bytes)) return false
    this.#list = list
    this.#listBytes = Uint8Array.from(bytes)
    this.#revoked = new Set(list.keys)
    return true
  }

  get revokedKeys(): ReadonlySet<string> {
    return this.#revoked
  }

  /** `publicKey`: 64 hex digits. The key that everybody has counts as revoked from the start. */
  isRevoked(publicKey: string): boolean {
    return publicKey === PERF_PUBLIC_KEY || this.#revoked.has(publicKey)
  }

  /** The peer's certificate. Throws NOT_ALLOWED, REVOKED or WRONG_CLUSTER unless it holds now, for
   * the key that the transport has proven, and with the role if one is asked for. */
  certificate(peer: Peer, now: { nowMs: number; role?: Role }): Certificate {
    const refuse = (detail: string): never => {
      throw new HoldfastError('NOT_ALLOWED', detail)
    }
    const decoded = decodeCertificate(peer.certificate)
    if (!decoded.ok) return refuse(decoded.defect)
    const { certificate } = decoded
    const { clusterId } = this
    checkCertificate(certificate, { ...now, clusterId, publicKey: peer.publicKey })
    if (this.isRevoked(certificate.publicKey)) throw revoked(certificate.name)
    if (!this.#isSigned('certificate', peer.certificate)) {
      return refuse(`${certificate.name}: its certificate is not signed by this cluster's key`)
    }
    return certificate
  }

  /** The grant, signed by the manager, or GRANT_REFUSED with what does not fit. */
  grant(bytes: Uint8Array, use: Omit<GrantUse, 'clusterId'>): Grant {
    const grant = this.#signedGrant(bytes)
    checkGrant(grant, { ...use, clusterId: this.clusterId })
    return grant
  }

  #signedGrant(bytes: Uint8Array): Grant {
    const refuse = (detail: string): never => {
      throw new HoldfastError('GRANT_REFUSED', detail)
    }
    const decoded = decodeGrant(bytes)
    if (!decoded.ok) return refuse(decoded.defect)
    if (decoded.grant.clusterId !== this.clusterId) return refuse('the grant is of another cluster')
    if (!this.#isSigned('grant', bytes)) return refuse("no key of this cluster's signed the grant")
    return decoded.grant
  }

  #isSigned(domain: Domain, sealed: Uint8Array): boolean {
    const name = createHash('sha256').update(`${domain}\0`).update(sealed).digest('base64')
    if (this.#verified.has(name)) return true
    const { signingKeys } = this.directory
    if (!signingKeys.some((key) => isSealedBy(key, domain, sealed))) return false
    if (this.#verified.size >= VERIFIED_MAX) this.#verified.clear()
    this.#verified.add(name)
    return true
  }
}

export const revoked = (name: string): HoldfastError =>
  new HoldfastError(
    'REVOKED',
    `${name}: its key is revoked; to let the machine in again remove its .key and .cert file ` +
      'there, and enrol it with a new token',
  )
