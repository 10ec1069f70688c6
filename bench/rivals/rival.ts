// bench/rivals/rival.ts — what must a transport be able to do to be measured?
import type { Duplex } from 'node:stream'

export interface Rival {
  /** Hands over the stream of whoever dials, and returns the port. */
  listen(host: string, handle: (stream: Duplex) => void): Promise<number>
  dial(host: string, port: number): Promise<Duplex>
  /** May the bytes of a write() be changed once it has drained? Else the transport still holds
   * them, to send them again. */
  readonly copiesOnWrite: boolean
  /** Takes several pieces in one write(). */
  readonly takesPieces: boolean
}

/** Which transport, and how it is set; travels to the child process as JSON. */
export interface RivalSpec {
  readonly kind: 'tcp' | 'tls' | 'udx' | 'holdfast'
  /** holdfast's or TCP's. */
  readonly congestion?: string
  readonly crc?: 'full' | 'header'
  readonly mtuBytes?: number
  /** HOLDFAST_UDP of the child. */
  readonly driver?: string
}

export async function openRival(spec: RivalSpec): Promise<Rival> {
  switch (spec.kind) {
    case 'tcp':
      return (await import('./tcp.ts')).tcp(spec)
    case 'tls':
      return (await import('./tls.ts')).tls
    case 'udx':
      return (await import('./udx.ts')).udx
    case 'holdfast':
      return (await import('./holdfast.ts')).holdfast(spec)
  }
}
