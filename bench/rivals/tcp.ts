// bench/rivals/tcp.ts — Node's TCP: the kernel's transport, no encryption
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import koffi from 'koffi'
import type { Rival, RivalSpec } from './rival.ts'

/** Linux's numbers. */
const IPPROTO_TCP = 6
const TCP_CONGESTION = 13

export const tcp = ({ congestion }: RivalSpec): Rival => ({
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
    if (congestion) setCongestion(socket, congestion)
    return socket
  },
})

/** Node has no way to say it. A namespace's default would do for BBR only: the kernel lets no
 * namespace but the first choose what is not on its list of allowed ones. */
function setCongestion(socket: Socket, name: string): void {
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  const types = 'int setsockopt(int, int, int, const char *, unsigned int)'
  const setsockopt = koffi.load(null).func(types)
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, name.length) !== 0) {
    throw new Error(`the kernel has no TCP congestion control '${name}'`)
  }
}
