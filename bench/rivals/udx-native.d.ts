// bench/rivals/udx-native.d.ts — as much of udx-native's interface as the benchmark calls
declare module 'udx-native' {
  export interface UDXSocket {
    bind(port: number, host: string): void
    address(): { host: string; port: number }
    setRecvBufferSize(bytes: number): void
    setSendBufferSize(bytes: number): void
  }
  export interface UDXStream {
    readonly connected: boolean
    connect(socket: UDXSocket, remoteId: number, port: number, host: string): void
  }
  interface StreamOptions {
    /** Asked at the first packet; false lets it in. */
    firewall(socket: UDXSocket, port: number, host: string): boolean
  }
  export default class UDX {
    createSocket(): UDXSocket
    createStream(id: number, options?: StreamOptions): UDXStream
  }
}
