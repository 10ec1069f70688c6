// test/support/memory-stream.ts — how does one stream of the memory network behave?
import { Duplex, type DuplexOptions } from 'node:stream'
import { TransportError, type TransportStream } from '../../protocol/types.ts'
import type { MemorySession } from './memory-session.ts'

const HIGH_WATER_BYTES = 64 * 1024

type Done = (error?: Error | null) => void

/** Bytes that the other end's user has not taken yet count against the window, so a reader that
 * stops reading stops the writer. A reset by the peer, or its giving up to read, ends the whole
 * stream with an error: the harsher of what the types allow. */
export class MemoryStream extends Duplex implements TransportStream {
  readonly streamId: number
  readonly session: MemorySession
  // Sending.
  #creditBytes: number
  #waiting: { bytes: Uint8Array; done: Done } | null = null
  #sentBytes = 0
  #deliveredBytes = 0
  #finSent = false
  #finDelivered = false
  #gaveUpSending = false
  readonly #settled: (() => void)[] = []
  // Receiving.
  readonly #arrived: Uint8Array[] = []
  #wants = false
  #finArrived = false
  #gaveUpReading = false

  constructor(session: MemorySession, streamId: number, isOurs: boolean) {
    const isUni = (streamId & 2) !== 0
    super({
      readableHighWaterMark: HIGH_WATER_BYTES,
      writableHighWaterMark: HIGH_WATER_BYTES,
      readable: !isUni || !isOurs,
      writable: !isUni || isOurs,
    } as DuplexOptions)
    this.session = session
    this.streamId = streamId
    this.#creditBytes = session.windowBytes
  }

  setUrgency(_urgency: number): void {}

  reset(code: number): void {
    if (this.#gaveUpSending || this.#finSent) return
    this.#gaveUpSending = true
    this.#tell((peer) => peer.#handleReset(code))
    this.#waiting?.done()
    this.#waiting = null
    this.#settle()
  }

  stopReceiving(code: number): void {
    if (this.#gaveUpReading || this.#finArrived) return
    this.#gaveUpReading = true
    this.#arrived.length = 0
    this.#tell((peer) => peer.#handleStopped(code))
  }

  acknowledged(): Promise<void> {
    return this.drained().then(() => {
      if (this.#finDelivered) return
      throw this.errored ?? new TransportError('ERR_HOLDFAST_CLOSED', 'closed before the end')
    })
  }

  /** When nothing that was written waits to be delivered, for whatever reason. Never rejects. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#settled.push(resolve)
      this.#settleWhenDrained()
    })
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    if (this.#gaveUpSending) {
      done() // after a reset nobody wants it
      return
    }
    this.#waiting = { bytes: chunk, done }
    this.#sendWaiting()
  }

  override _final(done: Done): void {
    if (!this.#gaveUpSending) {
      this.#finSent = true
      this.#tell((peer) => {
        peer.#handleFin()
        this.#finDelivered = true
        this.#settleWhenDrained()
      })
    }
    done()
  }

  override _read(): void {
    this.#wants = true
    this.#handOver()
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#waiting = null
    if (!this.#finSent) this.reset(0)
    if (!this.#finArrived) this.stopReceiving(0)
    this.#arrived.length = 0
    this.#settle()
    this.session.forget(this.streamId)
    done(error)
  }

  handleSessionEnd(error: Error): void {
    this.#gaveUpSending = true
    this.#gaveUpReading = true
    this.destroy(error)
  }

  // — the other end's messages, when they arrive here —

  #handleData(bytes: Uint8Array): void {
    if (this.destroyed || this.#gaveUpReading) return
    this.session.countReceived(bytes.length)
    this.#arrived.push(bytes)
    this.#handOver()
  }

  #handleFin(): void {
    if (this.destroyed || this.#gaveUpReading) return
    this.#finArrived = true
    this.#handOver()
  }

  #handleCredit(bytes: number): void {
    this.#creditBytes += bytes
    this.#sendWaiting()
  }

  #handleReset(code: number): void {
    this.#gaveUpReading = true
    const options = { wireCode: code, remote: true }
    const error = new TransportError('ERR_HOLDFAST_STREAM_RESET', `reset with ${code}`, options)
    this.destroy(error)
  }

  #handleStopped(code: number): void {
    if (this.writableFinished && this.readableEnded) return
    const options = { wireCode: code, remote: true }
    const error = new TransportError('ERR_HOLDFAST_STREAM_STOPPED', `stopped with ${code}`, options)
    this.destroy(error)
  }

  #sendWaiting(): void {
    while (this.#waiting && this.#creditBytes > 0 && !this.#gaveUpSending) {
      const { bytes, done } = this.#waiting
      const count = Math.min(bytes.length, this.#creditBytes)
      const part = bytes.subarray(0, count)
      this.#creditBytes -= count
      this.#sentBytes += count
      this.session.countSent(count)
      this.#tell((peer) => {
        // Copied on arrival: a sender that reuses its memory too early shows as damage.
        peer.#handleData(Uint8Array.from(part))
        this.#deliveredBytes += count
        this.#settleWhenDrained()
      })
      this.#waiting = count < bytes.length ? { bytes: bytes.subarray(count), done } : null
      if (this.#waiting === null) done()
    }
  }

  #handOver(): void {
    while (this.#wants && this.#arrived.length > 0) {
      const bytes = this.#arrived.shift()!
      this.#wants = this.push(bytes)
      this.#tell((peer) => peer.#handleCredit(bytes.length))
    }
    if (this.#finArrived && this.#arrived.length === 0) this.push(null)
  }

  #tell(act: (peer: MemoryStream) => void): void {
    this.session.tellStream(this.streamId, act)
  }

  #settleWhenDrained(): void {
    const isWritten = this.writableLength === 0 && this.#waiting === null
    const isDelivered = this.#deliveredBytes === this.#sentBytes
    const isEnded = !this.writableEnded || this.#finDelivered
    if (this.destroyed || this.#gaveUpSending || (isWritten && isDelivered && isEnded))
      this.#settle()
  }

  #settle(): void {
    for (const resolve of this.#settled.splice(0)) resolve()
  }
}
