// bench/rivals/udx.ts — udx-native: a reliable transport on UDP in C, without encryption or checksum
import type { Duplex } from 'node:stream'
import UDX, { type UDXSocket } from 'udx-native'
import type { Rival } from './rival.ts'

/** It has no handshake: both ends know the stream's number beforehand. */
const STREAM_ID = 1
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024

function open(host: string): { udx: UDX; socket: UDXSocket } {
  const udx = new UDX()
  const socket = udx.createSocket()
  socket.bind(0, host)
  // What the kernel grants, as holdfast asks for.
  socket.setRecvBufferSize(SOCKET_BUFFER_BYTES)
  socket.setSendBufferSize(SOCKET_BUFFER_BYTES)
  return { udx, socket }
}

export const udx: Rival = {
  copiesOnWrite: false,
  takesPieces: false,
  async listen(host, handle) {
    const { udx: instance, socket } = open(host)
    const stream = instance.createStream(STREAM_ID, {
      firewall(from, port, address) {
        if (!stream.connected) stream.connect(from, STREAM_ID, port, address)
        return false
      },
    })
    // Its Duplex is streamx's, which has what is used here: data, end, drain, write and end.
    handle(stream as unknown as Duplex)
    return socket.address().port
  },
  async dial(host, port) {
    const { udx: instance, socket } = open(host.startsWith('127.') ? '127.0.0.1' : '0.0.0.0')
    const stream = instance.createStream(STREAM_ID)
    stream.connect(socket, STREAM_ID, port, host)
    return stream as unknown as Duplex
  },
}
