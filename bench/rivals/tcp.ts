// bench/rivals/tcp.ts — Node's TCP: the kernel's transport, no encryption
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import type { Rival } from './rival.ts'

export const tcp: Rival = {
  copiesOnWrite: true,
  takesPieces: false,
  async listen(host, handle) {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, handle)
    server.listen(0, host)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
  async dial(host, port) {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true })
    await once(socket, 'connect')
    return socket
  },
}
