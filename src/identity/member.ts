// src/identity/member.ts — how does a node keep its certificate fresh, and know its manager again?
import { HoldfastError, isHoldfastError } from '../errors.ts'
import type { Method, RequestOf, ResponseOf } from '../messages.ts'
import type { NodeIdentity } from './authority.ts'
import { CLOCK_SLACK_MS, decodeCertificate, type Role } from './certificate.ts'
import { joinProof } from './join-proof.ts'
import { HOW_TO_GET_A_TOKEN } from './token.ts'
import type { Peer, Trust } from './trust.ts'

/** One request to the manager, on a connection that the caller has. */
export type Ask = <M extends Method>(method: M, request: RequestOf<M>) => Promise<ResponseOf<M>>

interface Place {
  readonly host: string
  readonly port: number
}

export interface MemberParts {
  readonly identity: NodeIdentity
  readonly trust: Trust
  readonly roles: readonly Role[]
  readonly name: string
  readonly number: number
  readonly wallMs: () => number
  /** Whether roles, name and number are this node's to choose; elsewhere the token decides. */
  readonly canEnrol: boolean
  /** The data folder's join secret as it is now; null elsewhere. */
  readonly readJoinSecret: () => Promise<string | null>
  readonly saveCertificate: (certificate: Uint8Array) => Promise<void>
  readonly saveTrust: (trust: Trust) => Promise<void>
}

/** A certificate is renewed when so much of its life is left. */
const LAST_PART = 1 / 3

/** One node (server, client, operator) in the eyes of its cluster. */
export class Member {
  readonly trust: Trust
  readonly #parts: MemberParts
  readonly #told: Place | null
  #identity: NodeIdentity
  #onIdentity: (identity: NodeIdentity) => void = () => undefined
  #tending: Promise<void> | null = null
  #saving: Promise<void> = Promise.resolve()

  /** `told`: where the token said that the manager is. */
  constructor(parts: MemberParts, told: Place | null = null) {
    this.#parts = parts
    this.#told = told
    this.trust = parts.trust
    this.#identity = parts.identity
    this.trust.onChange(() => this.#saveTrust())
  }

  /** The certificate is empty before the first enrolment. */
  get identity(): NodeIdentity {
    return this.#identity
  }

  /** Would others take our certificate now? */
  get isCertified(): boolean {
    try {
      this.trust.certificate(this.#identity, { nowMs: this.#parts.wallMs() })
      return true
    } catch {
      return false
    }
  }

  /** Where the manager is: the config knows best; where it was left as it came, the token does. */
  managerAt({ host, port }: Place): Place {
    const isAsItCame = ['127.0.0.1', '::1', 'localhost'].includes(host)
    return isAsItCame && this.#told ? this.#told : { host, port }
  }

  /** Called with each new certificate. */
  onIdentity(handle: (identity: NodeIdentity) => void): void {
    this.#onIdentity = handle
  }

  /** Call for every new connection to the manager, before it is used. Makes sure that it is the
   * manager, follows it to new keys, and gets the certificate that this node lacks. Throws
   * WRONG_CLUSTER, CLOCK_WRONG, NOT_ENROLLED, REVOKED, NOT_ALLOWED. */
  async admitManager(session: { readonly peer: Peer }, ask: Ask): Promise<void> {
    if (!this.#isManager(session.peer)) {
      await this.#learn(ask)
      this.#mustBeManager(session.peer)
    }
    if (!this.#isDue()) return
    try {
      await this.#obtain(ask)
    } catch (error) {
      // Due is not ended: the next heartbeat tries again.
      if (!this.isCertified || isHoldfastError(error, 'REVOKED')) throw error
    }
  }

  /** What to say when whoever answers at `where` (host:port), for the manager, has another key. */
  strangerAt(where: string): HoldfastError {
    const { clusterId, managerKey, successorKey } = this.trust.directory
    const keys = `key ${managerKey.slice(0, 8)}, a successor's ${successorKey.slice(0, 8)}`
    const problem = `the manager at ${where} is not that of cluster ${clusterId} (${keys})`
    return new HoldfastError(
      'WRONG_CLUSTER',
      `${problem}, to which this node belongs: correct manager.host and manager.port in the ` +
        'config, or give the --data folder of that cluster; if the manager was replaced more ' +
        "than once, remove this node's .cert file and join with a new token",
    )
  }

  /** Rejects unless the peer is a server of this cluster. `ask`, where nothing else brings news of
   * the cluster: the server may be certified by a key that this node has not heard of. */
  async admitServer(session: { readonly peer: Peer }, ask?: Ask): Promise<void> {
    const check = () =>
      this.trust.certificate(session.peer, { nowMs: this.#parts.wallMs(), role: 'server' })
    try {
      check()
    } catch (error) {
      if (!ask || isHoldfastError(error, 'REVOKED')) throw error
      await this.tend(ask)
      check()
    }
  }

  /** Call now and then: learns what is new, and renews the certificate in time. `version` is the
   * manager's, when it is known. */
  tend(ask: Ask, version: number | null = null): Promise<void> {
    this.#tending ??= this.#tend(ask, version).finally(() => {
      this.#tending = null
    })
    return this.#tending
  }

  /** Resolves when all that was learned is on disk. */
  async saved(): Promise<void> {
    await this.#saving
  }

  async #tend(ask: Ask, version: number | null): Promise<void> {
    if (version !== this.trust.version) await this.#learn(ask)
    if (this.#isDue()) await this.#obtain(ask)
  }

  async #learn(ask: Ask): Promise<void> {
    const news = await ask('cluster.directory', {})
    this.#compareClocks(news.nowMs)
    this.trust.learn(news)
  }

  #isManager(peer: Peer): boolean {
    try {
      this.#mustBeManager(peer)
      return true
    } catch {
      return false
    }
  }

  #mustBeManager(peer: Peer): void {
    const { name } = this.trust.certificate(peer, {
      nowMs: this.#parts.wallMs(),
      role: 'manager',
    })
    if (Buffer.from(peer.publicKey).toString('hex') === this.trust.directory.managerKey) return
    const detail = `${name} is no longer the manager of cluster ${this.trust.clusterId}`
    throw new HoldfastError('WRONG_CLUSTER', `${detail}; stop it`)
  }

  async #obtain(ask: Ask): Promise<void> {
    const answer = await this.#request(ask)
    this.#compareClocks(answer.nowMs)
    this.trust.learn(answer)
    const certificate = Uint8Array.from(answer.certificate)
    const { publicKey } = this.#identity
    this.trust.certificate({ publicKey, certificate }, { nowMs: this.#parts.wallMs() })
    await this.#parts.saveCertificate(certificate)
    this.#identity = { ...this.#identity, certificate }
    if (this.trust.before) {
      this.trust.setBefore(null)
      this.#saveTrust()
    }
    this.#onIdentity(this.#identity)
  }

  async #request(ask: Ask): Promise<ResponseOf<'certificate.renew'>> {
    const joinSecret = await this.#parts.readJoinSecret()
    // Who may enrol need not be known already, and may have been given other roles than it had.
    if (joinSecret !== null && !this.#hasItsRoles()) return await this.#enrol(ask, joinSecret)
    const { certificate } = this.#identity
    try {
      return await ask('certificate.renew', { certificate, ...this.trust.evidence })
    } catch (error) {
      if (!isHoldfastError(error, 'NOT_ENROLLED')) throw error
      if (joinSecret !== null) return await this.#enrol(ask, joinSecret)
      throw new HoldfastError('NOT_ENROLLED', `${error.detail}; ${HOW_TO_GET_A_TOKEN}`)
    }
  }

  async #enrol(ask: Ask, joinSecret: string): Promise<ResponseOf<'node.enrol'>> {
    const { roles, name, number } = this.#parts
    const mac = joinProof(joinSecret, {
      clusterId: this.trust.clusterId,
      managerKey: this.trust.directory.managerKey,
      publicKey: Buffer.from(this.#identity.publicKey).toString('hex'),
      roles,
      number,
      name,
    })
    return await ask('node.enrol', {
      roles: [...roles],
      name,
      number,
      proof: { kind: 'join', mac },
    })
  }

  #hasItsRoles(): boolean {
    if (!this.#parts.canEnrol) return true
    const decoded = decodeCertificate(this.#identity.certificate)
    if (!decoded.ok) return false
    const { roles, name, number } = decoded.certificate
    const wanted = this.#parts
    if (name !== wanted.name || number !== wanted.number) return false
    return wanted.roles.every((role) => roles.includes(role))
  }

  #isDue(): boolean {
    const decoded = decodeCertificate(this.#identity.certificate)
    if (!decoded.ok || !this.isCertified) return true
    const { notBeforeMs, notAfterMs } = decoded.certificate
    const leftMs = notAfterMs - this.#parts.wallMs()
    return leftMs < (notAfterMs - notBeforeMs) * LAST_PART || !this.#hasItsRoles()
  }

  #compareClocks(managerMs: number): void {
    compareClocks(this.#parts.wallMs(), managerMs)
  }

  #saveTrust(): void {
    this.#saving = this.#saving.then(() =>
      // What could not be written is learned again after the next start.
      this.#parts.saveTrust(this.trust).catch(() => undefined),
    )
  }
}

/** CLOCK_WRONG when certificates could not be judged. */
export function compareClocks(ownMs: number, managerMs: number): void {
  const aheadMs = ownMs - managerMs
  if (Math.abs(aheadMs) <= CLOCK_SLACK_MS) return
  const [own, theirs] = [ownMs, managerMs].map((ms) => new Date(ms).toISOString())
  const minutes = Math.round(Math.abs(aheadMs) / 60_000)
  const how = `${minutes} minutes ${aheadMs > 0 ? 'ahead of' : 'behind'} the manager's`
  throw new HoldfastError(
    'CLOCK_WRONG',
    `this machine's clock (${own}) is ${how} (${theirs}); set the wrong one right, then start again`,
  )
}
