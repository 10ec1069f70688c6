// bench/rivals/tls.ts — Node's TLS 1.3 over TCP with AES-256-GCM and a certificate made at run time
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import type { Rival } from './rival.ts'
import { selfSigned } from './self-signed.ts'

const VERSIONS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
const CIPHERS = 'TLS_AES_256_GCM_SHA384'

export const tls: Rival = {
  copiesOnWrite: true,
  takesPieces: false,
  async listen(host, handle) {
    const settings = { ...selfSigned(), ...VERSIONS, ciphers: CIPHERS, allowHalfOpen: true }
    const server = createServer({ ...settings, noDelay: true }, handle)
    server.listen(0, host)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
  async dial(host, port) {
    // Nobody has signed the certificate; holdfast's keys are not looked up anywhere either.
    const trust = { rejectUnauthorized: false }
    const socket = connect({ host, port, ...VERSIONS, ...trust, ciphers: CIPHERS })
    socket.allowHalfOpen = true
    await once(socket, 'secureConnect')
    socket.setNoDelay(true)
    const { standardName } = socket.getCipher()
    if (standardName !== CIPHERS) throw new Error(`TLS chose ${standardName}`)
    return socket
  },
}
