// protocol/connection/stream-events.ts — what do streams and their connection tell each other?

export type StreamEventType =
  | 'stream-opened'
  | 'stream-readable'
  | 'stream-writable'
  | 'stream-acknowledged'
  | 'stream-reset'
  | 'stream-stopped'

export interface StreamsHost {
  emitStream(type: StreamEventType, streamId: number, code: number): void
  emitStreamsAvailable(direction: 'bidi' | 'uni'): void
  /** The peer broke a rule: the connection ends with this code. */
  fail(code: number, reason: string): void
}

/** What the peer said in the handshake. */
export interface PeerLimits {
  readonly streamWindowBytes: number
  readonly connectionWindowBytes: number
  readonly streamsMax: number
}
