// protocol/connection/streams.ts — which streams are open, and how much may each side send?
import type { TransportLimits } from './api.ts'
import { CLOSE_CODE, STRANGER_STREAMS_MAX } from './limits.ts'
import type { MemoryShare } from './memory-budget.ts'
import { ReceiveStream } from './receive-stream.ts'
import { ReceiveWindow } from './receive-window.ts'
import { Scheduler } from './scheduler.ts'
import { SendBuffer } from './send-buffer.ts'
import { SendCredit } from './send-credit.ts'
import { SendStream } from './send-stream.ts'
import type { PeerLimits, StreamsHost } from './stream-events.ts'
import { BIDI, kindOf, StreamIds, UNI } from './stream-ids.ts'
import { StreamWindows } from './stream-windows.ts'

const INITIAL_URGENCY = 2

export class Streams {
  readonly scheduler = new Scheduler()
  readonly sending = new Map<number, SendStream>()
  readonly receiving = new Map<number, ReceiveStream>()
  /** Streams whose RESET_STREAM, STOP_SENDING or BLOCKED wait to be sent. */
  readonly owedResets = new Set<number>()
  readonly owedStops = new Map<number, number>()
  readonly owedStreamBlocked = new Map<number, number>()
  readonly limits: TransportLimits
  readonly #host: StreamsHost
  #peer: PeerLimits = { streamWindowBytes: 0, connectionWindowBytes: 0, streamsMax: 0 }
  readonly ids: StreamIds
  readonly #readable = new Set<number>()
  readonly share: MemoryShare
  /** The peer's limit left nothing to take for any stream that is scheduled. */
  isStarved = false
  readonly credit = new SendCredit()
  readonly buffer: SendBuffer
  readonly window: ReceiveWindow
  readonly windows: StreamWindows

  constructor(
    isInitiator: boolean,
    host: StreamsHost,
    options: { limits: TransportLimits; share: MemoryShare; isAdmitted: boolean },
  ) {
    const { limits, share, isAdmitted } = options
    this.limits = limits
    this.#host = host
    this.share = share
    this.buffer = new SendBuffer(limits.sendBufferBytes, share, (id) => {
      host.emitStream('stream-writable', id, 0)
    })
    this.window = new ReceiveWindow(
      {
        firstBytes: firstWindowBytesOf(limits),
        usualBytes: limits.connectionWindowBytes,
        mostBytes: limits.connectionWindowBytesMax,
      },
      share,
      isAdmitted,
    )
    this.windows = new StreamWindows(limits.streamWindowBytesMax, this.window)
    const streamsMax = isAdmitted ? limits.streamsMax : strangerStreamsMaxOf(limits)
    this.ids = new StreamIds(isInitiator, streamsMax)
  }

  /** What the peer said in the handshake; from now on it may send. */
  begin(peer: PeerLimits): void {
    this.#peer = peer
    this.credit.begin(peer.connectionWindowBytes)
    this.window.begin()
    this.ids.begin(peer.streamsMax)
  }

  /** The application knows the peer: it may open as many streams as others, and windows grow. */
  admit(): void {
    if (this.window.isAdmitted) return
    this.window.admit()
    const more = this.limits.streamsMax - strangerStreamsMaxOf(this.limits)
    if (more > 0) this.ids.allowAll(more)
  }

  /** The connection is over. */
  release(): void {
    this.share.release()
  }

  get bufferedBytes(): number {
    return this.buffer.bufferedBytes
  }

  /** Is there something that the peer has not taken, or has left out? */
  get isOwed(): boolean {
    return this.buffer.bufferedBytes > 0 || this.window.pieces > 0
  }

  /** Streams' bytes that came or arrived since the connection began. */
  get movedBytes(): number {
    return this.buffer.releasedBytes + this.window.receivedBytes
  }

  get isEmpty(): boolean {
    return this.sending.size === 0 && this.receiving.size === 0
  }

  get isAllAcknowledged(): boolean {
    for (const stream of this.sending.values()) {
      if (!stream.isAcknowledged && (stream.bufferedBytes > 0 || stream.finished)) return false
    }
    return true
  }

  open(direction: 'bidi' | 'uni', urgency: number): number | null {
    const kind = direction === 'uni' ? UNI : BIDI
    const id = this.ids.open(kind)
    if (id === null) return null
    this.sending.set(id, new SendStream(id, urgency, this.#peer.streamWindowBytes))
    if (kind === BIDI) this.receiving.set(id, new ReceiveStream(id, this.limits.streamWindowBytes))
    return id
  }

  /** Makes sure that a stream which a frame names exists. False: it never may, or is gone. */
  #accept(id: number, needs: 'send' | 'receive'): boolean {
    const defect = this.ids.defectOf(id, needs)
    if (defect) {
      this.#host.fail(defect.code, defect.reason)
      return false
    }
    for (let next = this.ids.acceptNext(id); next !== null; next = this.ids.acceptNext(id)) {
      this.receiving.set(next, new ReceiveStream(next, this.limits.streamWindowBytes))
      if (kindOf(next) === BIDI) {
        this.sending.set(next, new SendStream(next, INITIAL_URGENCY, this.#peer.streamWindowBytes))
      }
      this.#host.emitStream('stream-opened', next, 0)
    }
    return true
  }

  // — the application's side —

  write(id: number, bytes: Uint8Array): number {
    const stream = this.sending.get(id)
    if (!stream || stream.isReset || stream.finished) return 0
    const count = this.buffer.take(stream, bytes.length)
    if (count === 0) return 0
    stream.write(count === bytes.length ? bytes : bytes.subarray(0, count))
    this.touch(stream)
    return count
  }

  finish(id: number): void {
    const stream = this.sending.get(id)
    if (!stream || stream.isReset) return
    stream.finished = true
    this.touch(stream)
  }

  setUrgency(id: number, urgency: number): void {
    const stream = this.sending.get(id)
    if (!stream) return
    this.scheduler.remove(stream)
    stream.urgency = urgency
    this.touch(stream)
  }

  /** Queues the stream when it has something to send; notes when a limit holds it back. */
  touch(stream: SendStream): void {
    if (stream.hasData) {
      this.isStarved = false
      this.scheduler.add(stream)
    }
    if (stream.isBlockedByLimit && stream.blockedTold !== stream.limit) {
      stream.blockedTold = stream.limit
      this.owedStreamBlocked.set(stream.id, stream.limit)
    }
  }

  /** Is there something to send that only the peer's limits keep back? */
  get isHeldByPeer(): boolean {
    if (this.isStarved && !this.scheduler.isEmpty) return true
    for (const stream of this.sending.values()) if (stream.isBlockedByLimit) return true
    return false
  }

  read(id: number, bytesMax: number, nowMs: number, rttMs: number): Uint8Array | null {
    const stream = this.receiving.get(id)
    if (!stream) return null
    const bytes = stream.read(bytesMax)
    if (bytes === null) this.#readable.delete(id)
    else {
      this.window.handleRead(bytes.length, nowMs, rttMs)
      this.windows.handleRead(stream, nowMs, rttMs)
    }
    this.collect(id)
    return bytes
  }

  reset(id: number, code: number): void {
    const stream = this.sending.get(id)
    if (!stream || stream.isReset || stream.isAcknowledged) return
    const { bufferedBytes } = stream
    this.scheduler.remove(stream)
    stream.reset(code)
    this.buffer.release(stream, bufferedBytes)
    this.owedResets.add(id)
    this.owedStreamBlocked.delete(id)
  }

  stopSending(id: number, code: number): void {
    const stream = this.receiving.get(id)
    if (!stream || stream.stopped || stream.isReadFinished || stream.isReset) return
    stream.stopped = true
    this.#giveUp(stream)
    if (stream.finalSize === null) this.owedStops.set(id, code)
    this.collect(id)
  }

  /** Returns unread bytes to the connection's window. */
  #giveUp(stream: ReceiveStream): void {
    const unread = stream.highest - stream.consumed
    this.window.pieces -= stream.pieceCount
    stream.discard()
    this.window.giveBack(unread)
  }

  // — the peer's side —

  /** `source[from, to)` stands at `offset` of the stream; what is kept of it is copied. */
  handleStream(
    id: number,
    offset: number,
    source: Uint8Array,
    from: number,
    to: number,
    fin: boolean,
  ): void {
    if (!this.#accept(id, 'receive')) return
    const stream = this.receiving.get(id)
    if (!stream) return
    const end = offset + to - from
    const fresh = Math.max(0, end - stream.highest)
    if (end > stream.limit || !this.window.allows(fresh)) {
      this.#host.fail(CLOSE_CODE.flowControl, `stream ${id}: ${end} is over its limit`)
      return
    }
    const before = stream.readableBytes
    const piecesBefore = stream.pieceCount
    const result = stream.insert(offset, source, from, to, fin)
    this.window.pieces += stream.pieceCount - piecesBefore
    this.window.handleReceived(fresh)
    if (result !== 'ok' || this.window.isCrowded) {
      const code = result === 'final-size' ? CLOSE_CODE.finalSize : CLOSE_CODE.tooMuchDisorder
      this.#host.fail(code, `stream ${id}: ${result === 'ok' ? 'too many pieces' : result}`)
      return
    }
    if (stream.stopped || stream.isReset) {
      this.window.giveBack(fresh)
      if (stream.finalSize !== null) this.collect(id)
      return
    }
    if (stream.readableBytes > before || stream.isReadFinished) this.#announce(stream)
  }

  #announce(stream: ReceiveStream): void {
    if (this.#readable.has(stream.id) && !stream.isReadFinished) return
    this.#readable.add(stream.id)
    this.#host.emitStream('stream-readable', stream.id, 0)
  }

  handleReset(id: number, code: number, finalSize: number): void {
    if (!this.#accept(id, 'receive')) return
    const stream = this.receiving.get(id)
    if (!stream || stream.isReset) return
    // Only what a FIN has completed before is safe from a reset (RFC 9000 §3.2): without one, all
    // bytes up to the final size are still not all that the sender meant to say.
    const wasComplete = stream.isComplete
    const unseen = finalSize - stream.highest
    if (finalSize > stream.limit || !this.window.allows(unseen)) {
      this.#host.fail(CLOSE_CODE.flowControl, `stream ${id}: ${finalSize} is over its limit`)
      return
    }
    if (!stream.setFinalSize(finalSize)) {
      this.#host.fail(CLOSE_CODE.finalSize, `stream ${id}: final size ${finalSize}`)
      return
    }
    if (wasComplete) return
    this.window.handleReceived(unseen)
    stream.highest = finalSize
    stream.isReset = true
    stream.resetCode = code
    const wasStopped = stream.stopped
    this.#giveUp(stream)
    if (!wasStopped) this.#host.emitStream('stream-reset', id, code)
    this.collect(id)
  }

  handleStop(id: number, code: number): void {
    if (!this.#accept(id, 'send')) return
    const stream = this.sending.get(id)
    if (!stream || stream.isReset || stream.isAcknowledged) return
    this.reset(id, code)
    this.#host.emitStream('stream-stopped', id, code)
  }

  handleMaxData(limit: number): void {
    if (this.credit.handleMaxData(limit)) this.isStarved = false
  }

  handleMaxStreamData(id: number, limit: number): void {
    if (!this.#accept(id, 'send')) return
    const stream = this.sending.get(id)
    if (!stream || limit <= stream.limit) return
    stream.limit = limit
    this.owedStreamBlocked.delete(id)
    this.touch(stream)
  }

  handleMaxStreams(uni: boolean, limit: number): void {
    if (!this.ids.handleMax(uni ? UNI : BIDI, limit)) return
    this.#host.emitStreamsAvailable(uni ? 'uni' : 'bidi')
  }

  /** The peer says that a limit holds it back; null: the connection's. */
  handleBlocked(id: number | null, limit: number): void {
    const stream = id === null ? undefined : this.receiving.get(id)
    if (stream) this.windows.handleBlocked(stream, limit)
    else if (id === null) this.window.handleBlocked(limit)
  }

  // — what became of frames —

  handleAcked(id: number, offset: number, lengthBytes: number, fin: boolean): void {
    const stream = this.sending.get(id)
    // A second copy of what was acknowledged already tells nothing new.
    if (!stream || stream.isReset || stream.isAcknowledged) return
    const before = stream.bufferedBytes
    stream.handleAcked(offset, lengthBytes, fin)
    this.buffer.release(stream, before - stream.bufferedBytes)
    if (stream.isAcknowledged) {
      this.#host.emitStream('stream-acknowledged', id, 0)
      this.collect(id)
    }
  }

  handleLost(id: number, offset: number, lengthBytes: number, fin: boolean): void {
    const stream = this.sending.get(id)
    if (!stream || stream.isReset || stream.isAcknowledged) return
    stream.handleLost(offset, lengthBytes, fin)
    this.touch(stream)
  }

  handleResetAcked(id: number): void {
    const stream = this.sending.get(id)
    if (!stream) return
    stream.isResetAcked = true
    this.collect(id)
  }

  /** The word that a stream is blocked was lost: say it again while it is so. */
  repeatStreamBlocked(id: number, limit: number): void {
    const stream = this.sending.get(id)
    if (stream?.isBlockedByLimit && stream.limit === limit) this.owedStreamBlocked.set(id, limit)
  }

  /** Forgets a stream when both halves are done; a peer's stream makes room for another. */
  collect(id: number): void {
    const sending = this.sending.get(id)
    const receiving = this.receiving.get(id)
    if (sending && !sending.isAcknowledged) return
    if (receiving && !(receiving.isReadFinished || receiving.isReset || this.#isStopped(receiving)))
      return
    if (!sending && !receiving) return
    if (sending) this.scheduler.remove(sending)
    this.sending.delete(id)
    this.receiving.delete(id)
    this.#readable.delete(id)
    this.buffer.forget(id)
    this.windows.owed.delete(id)
    this.owedStreamBlocked.delete(id)
    if (!this.ids.isOurs(id)) this.ids.allow(kindOf(id), 1)
  }

  #isStopped(stream: ReceiveStream): boolean {
    return stream.stopped && stream.finalSize !== null
  }
}

/** What a peer may send on a new connection before anything arrived. */
export const firstWindowBytesOf = (limits: TransportLimits): number =>
  Math.min(limits.connectionWindowBytesFirst, limits.connectionWindowBytes)

/** … and how many streams it may open while nobody has admitted it. */
export const strangerStreamsMaxOf = (limits: TransportLimits): number =>
  Math.min(STRANGER_STREAMS_MAX, limits.streamsMax)
