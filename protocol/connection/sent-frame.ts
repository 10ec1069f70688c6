// protocol/connection/sent-frame.ts — what is remembered of a frame, until its fate is known?

/** What a packet carried that must reach the peer: streams' bytes by range, the rest by kind. */
export interface SentFrame {
  readonly kind: number
  readonly id: number
  readonly offset: number
  readonly lengthBytes: number
  readonly fin: boolean
}

export interface FrameFate {
  handleFrameAcked(frame: SentFrame): void
  handleFrameLost(frame: SentFrame, nowMs: number): void
  /** For each packet that obliged the peer to answer; what it carried is told apart. */
  handlePacketAcked(packetNumber: number, bytes: number): void
  handlePacketLost(nowMs: number, packetNumber: number, bytes: number, sentMs: number): void
}
