// test/support/test-authority.ts — who signs in tests that need no files?
import type { LocalIdentity } from '../../protocol/types.ts'
import { Authority } from '../../src/identity/authority.ts'
import { type Role, signCertificate } from '../../src/identity/certificate.ts'
import { ClusterKeys } from '../../src/identity/cluster-keys.ts'
import { encodeChain, signDirectory } from '../../src/identity/directory.ts'
import { type Grant, signGrant } from '../../src/identity/grant.ts'
import { Member } from '../../src/identity/member.ts'
import { SigningKey } from '../../src/identity/signing.ts'
import { Trust } from '../../src/identity/trust.ts'

const FOREVER_MS = 2 ** 47
export const JOIN_SECRET = '70'.repeat(32)

/** A cluster's keys, made up from a number and the same in each run. */
export class TestAuthority {
  readonly clusterId: string
  readonly key: SigningKey
  readonly recoveryKey: SigningKey
  readonly #managerKey: string
  readonly #seed: Uint8Array

  constructor(options: { clusterId: string; managerKey: Uint8Array; seed?: number }) {
    const { clusterId, managerKey, seed = 1 } = options
    this.clusterId = clusterId
    this.#seed = new Uint8Array(32).fill(seed)
    this.key = new SigningKey(this.#seed)
    this.recoveryKey = new SigningKey(new Uint8Array(32).fill(seed + 100))
    this.#managerKey = Buffer.from(managerKey).toString('hex')
  }

  trust(): Trust {
    const directory = {
      clusterId: this.clusterId,
      generation: 0,
      sequence: 1,
      managerKey: this.#managerKey,
      successorKey: 'ee'.repeat(32),
      recoveryKey: this.recoveryKey.publicKey,
      signingKeys: [this.key.publicKey],
      signer: 'recovery' as const,
    }
    return Trust.from(encodeChain([signDirectory(directory, this.recoveryKey)]))
  }

  certificate(
    publicKey: Uint8Array,
    what: { roles: readonly Role[]; number?: number; name?: string; notAfterMs?: number },
  ): Uint8Array {
    const { roles, number = 0, name = roles.join('-'), notAfterMs = FOREVER_MS } = what
    const certificate = {
      version: 1 as const,
      clusterId: this.clusterId,
      publicKey: Buffer.from(publicKey).toString('hex'),
      roles,
      name,
      number,
      notBeforeMs: 0,
      notAfterMs,
      serial: '5e'.repeat(16),
    }
    return signCertificate(certificate, this.key)
  }

  grant(grant: Omit<Grant, 'version' | 'clusterId'>): Uint8Array {
    return signGrant({ version: 1, clusterId: this.clusterId, ...grant }, this.key)
  }

  /** A real one, that forgets with the process. */
  async inMemory(wallMs: () => number): Promise<Authority> {
    const keys = await ClusterKeys.create(async () => undefined, this.#seed)
    const publicKey = Buffer.from(this.#managerKey, 'hex')
    return new Authority({
      keyPair: { publicKey, secretKey: new Uint8Array(32) },
      keys,
      trust: this.trust(),
      joinSecret: JOIN_SECRET,
      save: async () => undefined,
      name: 'manager',
      wallMs,
    })
  }

  member(identity: LocalIdentity, what: { roles: readonly Role[]; wallMs: () => number }): Member {
    return new Member({
      identity,
      trust: this.trust(),
      name: what.roles.join('-'),
      number: 0,
      canEnrol: false,
      readJoinSecret: async () => null,
      saveCertificate: async () => undefined,
      saveTrust: async () => undefined,
      ...what,
    })
  }
}
